"""Need and verdict from what a real server was told of a simulated engine."""

import pytest

from advisor.samples.metrics import METRICS, Kind, exposition_name
from advisor.samples.need.fleet import METRICS_NEEDED, assess_summaries
from advisor.samples.need.verdict import Code, Fixed
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusBackend, PrometheusEndpoint
from samples.need import simulate
from samples.need.simulate import GIB, drawn, run, serving
from samples.query.fleets import END_US
from samples.query.remote_writing import write

FIXED = Fixed(17 * GIB, 19 * GIB)


def exported(timeline, labels, fleet):
    """Series of the agent's own names, one point a row, that end with the window."""
    for metric, means in timeline.means.items():
        if METRICS[metric].kind is not Kind.GAUGE:
            continue
        for statistic, values in (("mean", means), ("max", timeline.greatest(metric))):
            name = exposition_name(METRICS[metric], statistic)
            first_us = END_US - len(values) * timeline.grid.row_us
            points = [
                ((first_us + (row + 1) * timeline.grid.row_us) // 1000, float(value))
                for row, value in enumerate(values)
            ]
            yield {"__name__": name, "fleet": fleet, **labels}, points


@pytest.mark.parametrize(("name", "code"), [("WITHIN", Code.WITHIN_LIMITS), ("BANDWIDTH", Code.BANDWIDTH_BOUND)])
def test_a_server_knows_the_need_of_an_engine(server_url, name, code):
    """The agent's own rows in a server lead to verdict and need: KV use and memory meet by the name of their host."""
    seconds = run(getattr(simulate, name))
    gpu = {"host": "host-a", "index": "0", "uuid": "GPU-0", "accelerator": "NVIDIA H100 80GB HBM3", "source": "nvml"}
    engine = {"host": "host-a", "rank": "0", "endpoint": "http://localhost:8000/metrics", "model": "a-model"}
    fleet = f"need-{name.lower()}"
    write(server_url, [*exported(drawn(seconds), gpu, fleet), *exported(serving(seconds), engine, fleet)])
    backend = PrometheusBackend(PrometheusEndpoint.of(server_url, environment={}), f'fleet="{fleet}"')
    window = Window(END_US - 1800 * 1_000_000, END_US)
    (one,) = assess_summaries(list(backend.summaries(METRICS_NEEDED, window)))
    one = one.besides(FIXED)
    assert one.verdict.code is code
    assert one.engines == 1
    expected = 18 + 54 * float(serving(seconds).greatest("kv_cache_used_ratio").max())
    assert one.memory.need_bytes / GIB == pytest.approx(expected, rel=1e-6)
