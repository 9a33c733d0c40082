"""Services that agents sampled, with the machines that they ran on."""

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.cli.init import command
from advisor.discovery.find import services_of_samples
from advisor.discovery.proposal import proposal_of
from demand.simulated_fleet import LLAMA, QWEN, Load, Process, processes, record

SECONDS = 900
FACTS = {"provider": "aws", "region": "us-east-1", "instance_type": "g6e.xlarge", "purchase": "spot"}
BOUNDS = (0.1, 0.2, 0.5, 1.0)


class Timed(Process):
    """An engine that shows how long the first token took: nine tenths within 0.2 s, all within 0.5 s."""

    def page(self, second, engine="0"):
        """The metrics page with one histogram more."""
        base, who = "vllm:time_to_first_token_seconds", f'engine="{engine}",model_name="{self.model}"'
        count = float(np.searchsorted(self.ends, second, side="right"))
        shares = zip(BOUNDS, (0.0, 0.9, 1.0, 1.0), strict=True)
        lines = [f'{base}_bucket{{{who},le="{bound}"}} {share * count}' for bound, share in shares]
        lines += [
            f'{base}_bucket{{{who},le="+Inf"}} {count}',
            f"{base}_count{{{who}}} {count}",
            f"{base}_sum{{{who}}} {count}",
        ]
        return super().page(second, engine) + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two hosts with a model each, of which one says what it is."""
    place = tmp_path_factory.mktemp("samples")
    lines = f"vllm {LLAMA} --tensor-parallel-size 1 --max-model-len 16384 --quantization fp8"
    for host, model, facts in (("chat-1", LLAMA, {**FACTS, "engines": lines}), ("code-1", QWEN, None)):
        (engine,) = processes(Load(model, 1.0), 1, SECONDS)
        engine.__class__ = Timed
        record(place, host, lambda _, engine=engine: engine, "http://127.0.0.1:8000", SECONDS, facts=facts)
    return place


def test_each_model_is_a_service_with_its_machines(samples, tmp_path):
    """Model, flags, machines and latency are those of the hosts that served it, which its demand selects."""
    services = {service.model: service for service in services_of_samples([str(samples)], tmp_path, None).services}

    chat, code = services[LLAMA], services[QWEN]
    assert (chat.launch.engine, chat.launch.context_tokens, chat.launch.precision) == ("vLLM", 16_384, "fp8")
    assert {machine.kind for machine in chat.machines} == {("aws", "us-east-1", "g6e.xlarge", "spot")}
    assert chat.observed.fields["hosts"] == ("chat-1",)
    assert (tmp_path / chat.observed.fields["path"]).resolve() == samples.resolve()
    assert chat.observed.counts_tokens
    assert chat.observed.latency.ttft_p95_ms == pytest.approx(350)
    assert chat.observed.latency.tpot_p95_ms is None
    assert not any(machine.is_known for machine in code.machines)
    assert code.launch.engine == "vLLM"


def test_accelerators_alone_leave_model_and_lengths_open(tmp_path):
    """Of hosts without a sampled engine one service is made, whose model and token lengths are missing."""
    inventory = services_of_samples(["examples/gpu-samples/samples"], tmp_path, None)

    (service,) = inventory.services
    assert "no serving engine was sampled" in inventory.notes[0]
    assert {missing.key for missing in proposal_of(service, load_catalog()).missing} == {"model", "lengths"}


def test_a_file_of_samples_is_planned_as_it_is(samples, tmp_path):
    """`init --samples` writes a file whose demand is the sampled one, from wherever the folder lies."""
    done = CliRunner().invoke(
        command, ["--samples", str(samples), "--out", str(tmp_path / "a" / "b"), "--yes", "--window", "1d"]
    )

    assert done.exit_code == 0, done.output
    text = (tmp_path / "a/b/llama-3-1-8b-instruct.yaml").read_text()
    assert "precisions: [fp8]" in text
    assert "slo: {ttft_p95: 400ms, within_ratio: 0.95}" in text
    assert "count: 1, purchase: spot,\n  measured: {requests_per_second: " in text
    assert "limits: {fault_tolerant_ratio: 1}" in text
    assert "Llama-3.1-8B-Instruct" in done.stdout
