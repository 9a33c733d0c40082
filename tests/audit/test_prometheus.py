"""Compute by what it was for, from what a real Prometheus-compatible server was told."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from audit.bills import Charge, write_focus
from samples.query.remote_writing import write
from services import prometheus
from services.prometheus import running_prometheus

HOURS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with two hours of a host of four accelerators, busy half of the time, and the begin of them."""
    if prometheus.PROGRAM is None:
        pytest.skip(prometheus.ABSENT)
    begin = int(time.time()) // 3600 * 3600 - (HOURS + 1) * 3600
    series = [
        (
            {"__name__": "DCGM_FI_DEV_GPU_UTIL", "Hostname": "ip-10-0-0-7", "gpu": str(index), "UUID": f"GPU-{index}",
             "modelName": "NVIDIA A10G", "instance": "10.0.0.7:9400", "job": "dcgm"},
            [((begin + second) * 1000, 50.0) for second in range(0, HOURS * 3600 + 1, 15)],
        )
        for index in range(4)
    ]  # fmt: skip
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), out_of_order="100d") as url:
        write(url, series)
        yield url, datetime.fromtimestamp(begin, tz=UTC)


def test_a_server_says_how_busy_billed_machines_were(server, tmp_path, audit):
    """Two sampled hours of four: half of them is needed by half, the others nobody knows."""
    url, begin = server
    charge = Charge(cost=Decimal(10), resource="i-0aaa", tags={"aws:eks:node": "ip-10-0-0-7"})
    charges = [replace(charge, at=begin + timedelta(hours=number - HOURS)) for number in range(2 * HOURS)]

    found = audit(write_focus(tmp_path / "bill.csv", charges), telemetry=(url,))

    parts = found.split.parts
    assert sum(parts.values()) == 40
    assert float(parts["needed"]) == pytest.approx(10, abs=0.2)
    assert float(parts["unattributed"]) == pytest.approx(20, abs=0.4)
    assert [(host.resource, host.use.accelerators) for host in found.split.hosts] == [("i-0aaa", 4)]
