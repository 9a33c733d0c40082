"""Cloud Run services with a GPU."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.codegen import Wanted
from advisor.codegen.container import Engine
from advisor.plan.values import Option
from codegen.plans import HOSTILE, Make, Scenario, make_fleet_plan, make_group, make_option, make_plan

_CLOUD_RUN = Wanted(target="cloud-run", rank=1)


def variables(*regions: str) -> Mapping[str, Any]:
    """What a user fills in."""
    return {
        "project_id": "my-project",
        "network": "inference",
        "subnetworks": {region: f"inference-{region}" for region in regions},
        "invokers": ["serviceAccount:app@my-project.iam.gserviceaccount.com"],
        "alert_emails": ["oncall@example.com"],
        "billing_account": "012345-567890-ABCDEF",
        "hf_token_secret": "projects/my-project/secrets/hub-token",
    }


def make_serverless(**changes: Any) -> Any:
    """One L4 of Cloud Run in the busy hours and none in the quiet ones."""
    fields = {
        "provider": "gcp",
        "region": "us-central1",
        "instance_type": "Cloud Run L4",
        "purchase": "serverless",
        "commitment": "Cloud Run",
        "instances": (1, 2),
        "instance_usd_per_hour": 1.04652,
    }
    return make_group(**(fields | changes))


def _alone(option: Option, models: Sequence[str] = (), **changes: Any) -> Scenario:
    filled = dict(variables(option.region)) | ({"model_ids": dict.fromkeys(models, "me/model")} if models else {})
    return Scenario(make_plan(option, **changes), _CLOUD_RUN, filled)


def l4_to_zero() -> Scenario:
    """The plan's own serverless group: nothing runs between the requests."""
    return Scenario(make_fleet_plan(make_serverless()), Wanted(), variables("us-central1"))


def l4_of_machines() -> Scenario:
    """A machine with one L4, moved to Cloud Run on request; the 4-bit checkpoint is the catalogued one."""
    option = make_option(
        provider="gcp",
        region="europe-west4",
        instance_type="g2-standard-4",
        precision="int4",
        weights_gib=5.4,
        usd_per_hour=0.78,
    )
    return _alone(option, ("europe-west4-1xl4-int4-tp1-vllm",), name="Summaries")


def rtx_pro_6000() -> Scenario:
    """The larger GPU: 80 GiB of memory hold the weights beside the engine."""
    option = make_option(
        provider="gcp",
        region="us-central1",
        instance_type="g4-standard-48",
        accelerator="RTX-PRO-6000",
        precision="fp8",
        kv_precision="fp8",
        weights_gib=30.5,
        usd_per_hour=4.5,
        max_concurrency=96,
        context_tokens=32768,
    )
    return _alone(option, model="Qwen/Qwen3-32B")


def two_regions() -> Scenario:
    """A redundant service in one region, two kinds of service in another."""
    groups = (
        make_serverless(region="europe-west4", instances=(1, 3), request_shares=(0.5, 0.5)),
        make_serverless(region="europe-west4", precision="fp8", weights_gib=8.1, request_shares=(0.2, 0.2)),
        make_serverless(instance_type="Cloud Run with zonal redundancy L4", request_shares=(0.3, 0.3)),
    )
    return Scenario(make_fleet_plan(*groups, zones=1), Wanted(), variables("europe-west4", "us-central1"))


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(
        provider="gcp",
        region="us-central1",
        instance_type="g2-standard-8",
        engine_version=HOSTILE,
        kv_precision=HOSTILE,
    )
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE)
    models = ("us-central1-1xl4-bf16-tp1-vllm",)
    return _alone(dataclasses.replace(option, cost=cost), models, name=HOSTILE, model=HOSTILE)


def nim() -> Scenario:
    """An image of the user's own, told by variables what to serve; Cloud Run cannot pull it from where it is."""
    option = make_option(provider="gcp", region="us-east4", instance_type="g2-standard-12", weights_gib=5.0)
    image = "nvcr.io/nim/meta/llama-3.2-3b-instruct:1.10.1"
    wanted = Wanted(target="cloud-run", rank=1, engine=Engine.CUSTOM, image=image)
    copies = {"us-east4-1xl4-bf16-tp1-custom": "us-docker.pkg.dev/my-project/copies/llama-3.2-3b-instruct:1.10.1"}
    return Scenario(make_plan(option), wanted, dict(variables("us-east4")) | {"container_images": copies})


SCENARIOS: Mapping[str, Make] = {
    "cloud-run-l4-to-zero": l4_to_zero,
    "cloud-run-l4-of-machines": l4_of_machines,
    "cloud-run-rtx-pro-6000": rtx_pro_6000,
    "cloud-run-two-regions": two_regions,
    "cloud-run-nim": nim,
    "cloud-run-hostile": hostile,
}
