"""The simulated estate on loopback: two API servers, a server that scraped their engines, and a kubeconfig."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from discovery.api_server import Cluster, api_server, kubeconfig
from discovery.simulated import EKS, GKE, SERVICES, Truth, objects, series
from samples.query.remote_writing import write


@dataclass(frozen=True)
class Estate:
    """Where it is."""

    kubeconfig: Path
    prometheus: str
    truths: Sequence[Truth] = SERVICES

    @property
    def places(self) -> list[str]:
        """Options of `advisor init`."""
        clusters = ["--kubernetes", EKS, "--kubernetes", GKE, "--kubeconfig", str(self.kubeconfig)]
        return [*clusters, "--prometheus", self.prometheus]


@contextmanager
def estate(directory: Path, prometheus: str, hours: float, denied: frozenset[str] = frozenset()) -> Iterator[Estate]:
    """Serve it until the block ends, with so many hours of metrics up to now."""
    end = time.time_ns() // 1_000_000
    times_ms = np.arange(end - round(hours * 3_600_000), end, 30_000)
    for truth in SERVICES:
        write(prometheus, series(truth, times_ms))
    with (
        api_server(Cluster(objects(EKS), denied=denied)) as eks,
        api_server(Cluster(objects(GKE), denied=denied)) as gke,
    ):
        yield Estate(kubeconfig(directory / "config", {EKS: eks, GKE: gke}), prometheus)
