"""GPUs that several pods share: how the nodes of a group hand them out, all alike.

By MPS, NVIDIA's device plugin and its control daemon mount the server's pipe and shared memory into the pods, which
need nothing of the host; GKE's own MPS needs its IPC namespace, which the standards that the namespace enforces forbid.

Sources: Google's guides to multi-instance GPUs, GPU time-sharing and NVIDIA MPS in GKE; Microsoft's guide to
multi-instance GPU node pools of AKS, and ``mig-partition.sh`` of Azure/AgentBaker; NVIDIA's device plugin 0.20 (README,
chart, ``internal/plugin/mps.go``: strategy ``single``, configurations by a label of the node, mounts of MPS); settings
of Bottlerocket 1.54. Read in November 2026.
"""

from collections.abc import Mapping
from enum import StrEnum

from advisor.deployable import SLICES
from advisor.records import dataclass

_GKE_LABEL = "cloud.google.com/gke-"
_PLUGIN_LABEL = "nvidia.com/device-plugin.config"
_GPU_LABEL = "nvidia.com/gpu.present"


class SharingKind(StrEnum):
    """Way of sharing a GPU."""

    SLICES = "slices"
    """MIG: each pod has memory, bandwidth and multiprocessors of its own."""
    TURNS = "turns"
    """Time-slicing: pods take turns on the whole GPU, and share its memory."""
    MPS = "mps"
    """MPS: pods run at once, each within an equal part of the GPU's threads and memory."""


@dataclass(frozen=True, slots=True)
class GpuSharing:
    """Sharing of every GPU of a group; a pod asks for one ``nvidia.com/gpu``: a slice, a turn or a part."""

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
        if self.kind is SharingKind.MPS:
            return f"{self.clients_per_accelerator} equal parts by MPS"
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
    def brings_shared_memory(self) -> bool:
        """Whether /dev/shm of the pods is the MPS server's, which its clients meet in, and no volume of their own."""
        return self.kind is SharingKind.MPS

    @property
    def plugin_configuration(self) -> str:
        """Name of the configuration of NVIDIA's device plugin by which it hands out a GPU in turns or parts."""
        return f"{self.kind.value}-{self.clients_per_accelerator}"

    @property
    def plugin_sharing(self) -> str:
        """Sharing in that configuration, as YAML."""
        resources = f"resources: [{{name: nvidia.com/gpu, replicas: {self.clients_per_accelerator}}}]"
        if self.kind is SharingKind.MPS:
            return f"{{mps: {{{resources}}}}}"
        return f"{{timeSlicing: {{failRequestsGreaterThanOne: true, {resources}}}}}"

    @property
    def plugin_labels(self) -> Mapping[str, str]:
        """Labels of the nodes for NVIDIA's device plugin: that it and its MPS daemon run there, and its configuration.

        The chart schedules them by that label, or by those of a feature discovery that it does not install by itself.
        """
        if self.kind is SharingKind.SLICES:
            return {}
        daemon = {"nvidia.com/mps.capable": "true"} if self.kind is SharingKind.MPS else {}
        return {_GPU_LABEL: "true", _PLUGIN_LABEL: self.plugin_configuration, **daemon}


def sharing_of(partition: str, replicas_per_instance: int, accelerators: float) -> GpuSharing | None:
    """Sharing of the accelerators of a machine as planned; None where they are not cut.

    *partition*: slices, as plans name them: mig-1g.10gb; "" for none.
    """
    if not partition:
        return None
    return GpuSharing(SharingKind.SLICES, replicas_per_instance // int(accelerators), partition.removeprefix(SLICES))
