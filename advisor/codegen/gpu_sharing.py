"""GPUs that several pods share: how the nodes of a group hand them out, all alike.

NVIDIA's MPS is not among the ways: on GKE its pods share the IPC namespace of the host, which the standards that the
namespace enforces forbid.

Sources: Google's guides to multi-instance GPUs, GPU time-sharing and NVIDIA MPS in GKE; Microsoft's guide to
multi-instance GPU node pools of AKS, and ``mig-partition.sh`` of Azure/AgentBaker; the README of NVIDIA's device plugin
(strategy ``single``, configurations by a label of the node). Read in November 2026.
"""

from collections.abc import Mapping
from enum import StrEnum

from advisor.deployable import SLICES
from advisor.records import dataclass

_GKE_LABEL = "cloud.google.com/gke-"


class SharingKind(StrEnum):
    """Way of sharing a GPU."""

    SLICES = "slices"
    """MIG: each pod has memory, bandwidth and multiprocessors of its own."""
    TURNS = "turns"
    """Time-slicing: pods take turns on the whole GPU, and share its memory."""


@dataclass(frozen=True, slots=True)
class GpuSharing:
    """Sharing of every GPU of a group; a pod asks for one ``nvidia.com/gpu``, which is a slice or a turn."""

    kind: SharingKind
    clients_per_accelerator: int
    """Pods that one GPU has at most."""
    profile: str = ""
    """Slices that it is cut into, as NVIDIA names them: 1g.10gb; "" where it is not cut."""

    @property
    def words(self) -> str:
        """How one accelerator is handed out, such as ``7 slices 1g.10gb``."""
        if self.kind is SharingKind.SLICES:
            return f"{self.clients_per_accelerator} slices {self.profile}"
        return f"{self.clients_per_accelerator} pods in turns"

    @property
    def gke_labels(self) -> Mapping[str, str]:
        """Labels of GKE's nodes that the pods select."""
        if self.kind is SharingKind.SLICES:
            return {f"{_GKE_LABEL}gpu-partition-size": self.profile}
        return {
            f"{_GKE_LABEL}gpu-sharing-strategy": "time-sharing",
            f"{_GKE_LABEL}max-shared-clients-per-gpu": str(self.clients_per_accelerator),
        }

    @property
    def gke_node_pool(self) -> Mapping[str, str | int]:
        """Values of a node pool of GKE, by the names in its code."""
        if self.kind is SharingKind.SLICES:
            return {"gpu_partition_size": self.profile}
        return {"gpu_sharing_strategy": "TIME_SHARING", "clients_per_gpu": self.clients_per_accelerator}

    @property
    def aks_instance_profile(self) -> str:
        """Slices as AKS names them: MIG1g cuts each GPU into the smallest slices, as many as it holds."""
        return f"MIG{self.profile.partition('.')[0]}"

    @property
    def plugin_configuration(self) -> str:
        """Name of the configuration of NVIDIA's device plugin by which it hands out a GPU in turns."""
        return f"turns-{self.clients_per_accelerator}"


def sharing_of(partition: str, replicas_per_instance: int, accelerators: float) -> GpuSharing | None:
    """Sharing of the accelerators of a machine as planned; None where they are not cut.

    Args:
        partition: slices, as plans name them: mig-1g.10gb; "" for none.
        replicas_per_instance: one for each slice.
        accelerators: of the machine.
    """
    if not partition:
        return None
    return GpuSharing(SharingKind.SLICES, replicas_per_instance // int(accelerators), partition.removeprefix(SLICES))
