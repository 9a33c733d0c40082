"""Managed instance groups on Google Cloud, with GPUs and with TPUs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Option
from codegen.plans import (
    HOSTILE,
    Make,
    Scenario,
    make_cache,
    make_cost,
    make_fleet_plan,
    make_group,
    make_option,
    make_plan,
)


def variables(*regions: str, **changes: Any) -> Mapping[str, Any]:
    """What a user fills in for a root in *regions*."""
    networks = {
        region: {
            "subnetwork": f"projects/net/regions/{region}/subnetworks/inference",
            "proxy_only_cidr": f"10.129.{2 * number}.0/23",
            "zones": [f"{region}-a", f"{region}-b", f"{region}-c"],
            "ssl_certificate": f"projects/my-project/regions/{region}/sslCertificates/chat",
        }
        for number, region in enumerate(regions)
    }
    return {
        "project_id": "my-project",
        "networks": networks,
        "billing_account": "012345-567890-ABCDEF",
        "alert_emails": ["oncall@example.com"],
        "hf_token_secret": "projects/my-project/secrets/hub-token",
        "dns": {"managed_zone": "internal", "name": "chat.example.internal."},
        **changes,
    }


_PACKAGE = {
    "agent_package": "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64
}


def _option(**changes: Any) -> Option:
    return make_option(**({"provider": "gcp", "region": "us-central1"} | changes))


def _alone(option: Option, *, filled: Mapping[str, Any] = _PACKAGE, **changes: Any) -> Scenario:
    return Scenario(make_plan(option, **changes), Wanted(rank=option.rank), variables(option.region, **filled))


def l4_spot() -> Scenario:
    """Spot, with other machine types that carry the same GPU."""
    chosen = _option(
        instance_type="g2-standard-8", purchase="spot", precision="fp8", weights_gib=8.1, usd_per_hour=0.34
    )
    larger = dataclasses.replace(chosen, rank=2, instance_type="g2-standard-12", cost=make_cost(0.4, 2))
    return Scenario(make_plan(chosen, larger), Wanted(rank=1), variables("us-central1", **_PACKAGE))


def a100_tp8() -> Scenario:
    """One replica over a whole machine, whose weights take longer to load than repair can wait."""
    option = _option(
        instance_type="a2-ultragpu-8g",
        accelerator="A100-80GB-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        instances=3,
        weights_gib=376.3,
        usd_per_hour=40.55,
        region="us-east4",
        max_concurrency=128,
        context_tokens=32768,
    )
    return _alone(option, name="Long documents", model="meta-llama/Llama-3.1-405B-Instruct", zones=3)


def h100() -> Scenario:
    """Four replicas on a machine."""
    option = _option(
        instance_type="a3-highgpu-8g",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=2,
        replicas_per_instance=4,
        precision="fp8",
        kv_precision="fp8",
        weights_gib=65.7,
        usd_per_hour=88.25,
        region="europe-west4",
    )
    return _alone(option, model="meta-llama/Llama-3.3-70B-Instruct")


def h200_reserved() -> Scenario:
    """Google starts it from a reservation only."""
    option = _option(
        instance_type="a3-ultragpu-8g",
        accelerator="H200",
        accelerator_count=8.0,
        tensor_parallel=8,
        instances=1,
        usd_per_hour=84.8,
        region="us-east5",
        weights_gib=140.0,
    )
    reserved = {"us-east5-a3-ultragpu-8g-bf16-tp-242cf5": "projects/my-project/reservations/h200"}
    variables = {"reservations": reserved}
    return _alone(option, filled=_PACKAGE | variables, model="meta-llama/Llama-3.3-70B-Instruct", zones=1)


def t4_attached() -> Scenario:
    """A GPU that is attached to an N1 machine."""
    option = _option(
        instance_type="n1-standard-8+1xT4",
        accelerator="T4",
        precision="fp16",
        kv_precision="fp16",
        usd_per_hour=0.73,
        region="asia-east1",
    )
    return _alone(option)


def rtx_pro_6000() -> Scenario:
    """A machine that takes no Persistent Disk; the 4-bit checkpoint is the catalogued one."""
    option = _option(
        instance_type="g4-standard-48",
        accelerator="RTX-PRO-6000",
        precision="nvfp4",
        weights_gib=40.2,
        usd_per_hour=4.5,
    )
    models = {"model_ids": {"us-central1-1xrtx-pro-6000-nvfp-eacea5": "organisation/llama-3.3-70b-nvfp4"}}
    return _alone(option, filled=_PACKAGE | models, model="meta-llama/Llama-3.3-70B-Instruct")


def two_regions() -> Scenario:
    """Spot and on demand side by side in one region, another machine in the other."""
    spot = make_group(
        **_place("us-central1", "g2-standard-8"), purchase="spot", instances=(4, 4), request_shares=(0.5, 0.5)
    )
    steady = make_group(**_place("us-central1", "g2-standard-8"), instances=(2, 2), request_shares=(0.2, 0.2))
    far = make_group(
        **_place("europe-west4", "a2-highgpu-1g", accelerator="A100-40GB-SXM"),
        instances=(1, 1),
        request_shares=(0.3, 0.3),
        requests_per_second_per_replica=steady.requests_per_second_per_replica,
        instance_usd_per_hour=3.67,
    )
    plan = make_fleet_plan(spot, steady, far, policy=Policy.STATIC)
    return Scenario(plan, variables=variables("us-central1", "europe-west4", **_PACKAGE))


def scheduled() -> Scenario:
    """By the clock, between three and six instances; one group never changes."""
    busy = make_group(**_place("us-central1", "g2-standard-8"), purchase="spot", instances=(1, 4))
    steady = make_group(**_place("us-central1", "g2-standard-8"), instances=(2, 2))
    return Scenario(make_fleet_plan(busy, steady), variables=variables("us-central1", **_PACKAGE))


def turns() -> Scenario:
    """A small machine at night, and a large one by day: each stays until the other has had twice the time of a start."""
    small = make_group(
        **_place("us-central1", "g2-standard-8"),
        instances=(1, 0),
        request_shares=(1.0, 0.0),
        planned_requests_per_second_per_instance=1.0,
    )
    large = make_group(
        **_place("us-central1", "a2-highgpu-1g", accelerator="A100-40GB-SXM"),
        instances=(0, 1),
        request_shares=(0.0, 1.0),
        planned_requests_per_second_per_instance=4.0,
    )
    return Scenario(make_fleet_plan(small, large), variables=variables("us-central1", **_PACKAGE))  # fmt: skip


def reactive() -> Scenario:
    """By the load, and mixed machines in one region."""
    small = make_group(**_place("us-central1", "g2-standard-8"), instances=(1, 3), request_shares=(0.4, 0.4))
    large = make_group(
        **_place("us-central1", "g4-standard-48", accelerator="RTX-PRO-6000"),
        instances=(0, 2),
        request_shares=(0.6, 0.6),
        instance_usd_per_hour=4.5,
    )
    plan = make_fleet_plan(small, large, policy=Policy.REACTIVE)
    return Scenario(plan, variables=variables("us-central1", **_PACKAGE))


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = _option(instance_type="g2-standard-8", engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE)
    models = {"model_ids": {"us-central1-1x-resource-null-re-591352": "organisation/model"}}
    hostile_option = dataclasses.replace(option, cost=cost)
    return _alone(hostile_option, filled=_PACKAGE | models, name=HOSTILE, model=HOSTILE)


def _place(region: str, instance_type: str, accelerator: str = "L4") -> dict[str, Any]:
    return {"provider": "gcp", "region": region, "instance_type": instance_type, "accelerator": accelerator}


def _tpu(instance_type: str, chips: int, **changes: Any) -> Option:
    fields = {
        "accelerator": "TPU-v6e",
        "accelerator_count": float(chips),
        "tensor_parallel": chips,
        "region": "us-east5",
    }
    return _option(instance_type=instance_type, **(fields | changes))


def tpu_v6e() -> Scenario:
    """Four chips of a host for one replica."""
    option = _tpu("ct6e-standard-4t", 4, usd_per_hour=10.8, weights_gib=65.7, instances=2)
    return _alone(option, filled={}, model="Qwen/Qwen3-32B", zones=1)


def tpu_v6e_spot() -> Scenario:
    """One chip, as spot."""
    return _alone(_tpu("ct6e-standard-1t", 1, purchase="spot", usd_per_hour=1.0, instances=4), filled={})


def tpu_v5p_scheduled() -> Scenario:
    """Four larger chips, by the clock."""
    place = _place("us-east5", "ct5p-hightpu-4t", accelerator="TPU-v5p")
    group = make_group(**place, accelerator_count=4.0, tensor_parallel=4, instances=(1, 2), instance_usd_per_hour=16.8)
    return Scenario(make_fleet_plan(group), variables=variables("us-east5"))


def gpu_and_tpu() -> Scenario:
    """Both kinds in one fleet, in two regions: only GPU hosts come with Docker."""
    gpus = make_group(**_place("us-central1", "g2-standard-8"), instances=(2, 2), request_shares=(0.5, 0.5))
    tpus = make_group(
        **_place("us-east5", "ct6e-standard-1t", accelerator="TPU-v6e"),
        instances=(1, 1),
        request_shares=(0.5, 0.5),
        instance_usd_per_hour=2.7,
    )
    plan = make_fleet_plan(gpus, tpus, policy=Policy.STATIC)
    return Scenario(plan, variables=variables("us-central1", "us-east5", **_PACKAGE))


def cached() -> Scenario:
    """A response cache beside the hosts that nothing has to survive."""
    cache = make_cache(provider="gcp", region="us-central1", node="standard-small", nodes=1, node_memory_gib=6.05)
    group = make_group(**_place("us-central1", "g2-standard-8"), instances=(2, 2))
    plan = make_fleet_plan(group, policy=Policy.STATIC, fleet={"response_cache": cache})
    return Scenario(plan, variables=variables("us-central1", **_PACKAGE))


SCENARIOS: Mapping[str, Make] = {
    "mig-l4-spot": l4_spot,
    "mig-a100-tp8": a100_tp8,
    "mig-h100": h100,
    "mig-h200-reserved": h200_reserved,
    "mig-t4-attached": t4_attached,
    "mig-rtx-pro-6000": rtx_pro_6000,
    "mig-two-regions": two_regions,
    "mig-scheduled": scheduled,
    "mig-turns": turns,
    "mig-reactive": reactive,
    "mig-gpu-and-tpu": gpu_and_tpu,
    "mig-hostile": hostile,
    "tpu-vm-v6e": tpu_v6e,
    "tpu-vm-v6e-spot": tpu_v6e_spot,
    "tpu-vm-v5p-scheduled": tpu_v5p_scheduled,
    "mig-cache": cached,
}
