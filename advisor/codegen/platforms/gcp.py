"""What Google Cloud calls things: machine images, runtimes and quotas of its accelerated machine types.

Sources: Google's guides to GPU machine types, Deep Learning VM images, Cloud TPU and allocation quotas, read in
November 2026. Image families are renamed often, so the generated variable takes another.
"""

import re

from advisor.codegen.model import Platform, Quota, Runtime, Serves
from advisor.codegen.platforms import gcp_cloud_run
from advisor.errors import InputError

_MACHINE_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+(\+\d+x[A-Za-z0-9]+)?")
_TPU = re.compile(r"ct\d[a-z]*-")
_ARM = re.compile(r"a4x-")
_GPU_IMAGE = "deeplearning-platform-release/common-cu129-ubuntu-2204-nvidia-580"
_TPU_RUNTIMES = {"ct6e": "v2-alpha-tpuv6e", "ct5lp": "v2-alpha-tpuv5-lite", "ct5l": "v2-alpha-tpuv5-lite"}


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* boot.

    Raises:
        InputError: the type is malformed, or no machine image is known for it.
    """
    if serves.purchase == "serverless":
        return gcp_cloud_run.platform_of(serves)
    if _MACHINE_TYPE.fullmatch(serves.instance_type) is None:
        raise InputError(f"{serves.instance_type!r} is no machine type", hint="expected something like g2-standard-4")
    family = serves.instance_type.split("-", maxsplit=1)[0]
    is_tpu = _TPU.match(serves.instance_type) is not None
    if is_tpu and family not in _TPU_RUNTIMES:
        raise InputError(
            f"{serves.instance_type}: no TPU runtime is known for this family",
            hint="generate another option with --option RANK",
        )
    chip = serves.accelerator.upper()
    kind = "PREEMPTIBLE_" if serves.purchase == "spot" else ""
    return Platform(
        runtime=Runtime.TPU if is_tpu else Runtime.CUDA,
        cpu_architecture="arm64" if _ARM.match(serves.instance_type) else "x86_64",
        machine_image=_TPU_RUNTIMES[family] if is_tpu else _GPU_IMAGE,
        quota=Quota(f"{kind}{chip}", f"{kind.title().replace('_', ' ')}{serves.accelerator} chips", "accelerators"),
    )
