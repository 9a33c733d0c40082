"""SGLang, on NVIDIA and AMD.

Options: ``sglang.launch_server`` of 0.5.9 and 0.5.23, read from the wheels (tests/codegen/data/engine_options). Images:
lmsysorg/sglang, tags seen in November 2026.
"""

from advisor.catalog import load_catalog
from advisor.codegen.container import Checkpoint, Container, Engine, Runtime, Serves
from advisor.codegen.engines.request import (
    KEEP_ALIVE_SECONDS,
    Program,
    Request,
    checkpoint_of,
    computes_in_half,
    device_arguments,
    precision_arguments,
    refusal,
    release_of,
    served_name,
    sglang_arguments,
    support_of,
)
from advisor.deployable import speaks_https

NAME = "SGLang"
_REPOSITORY = "lmsysorg/sglang"
_OUTSIDE_SHARE = 0.05
"""The planned share of memory holds activations and CUDA graphs too, which SGLang takes from what its share leaves.
Less this much, 0.9 gives 0.85, near SGLang's own rule (server_args.py of 0.5.9: 0.84 for 24 GB, 0.83 for 80 GB)."""


def container(request: Request) -> Container:
    """The container of SGLang. Raises InputError if SGLang does not serve this precision on this accelerator."""
    serves = request.serves
    if request.platform.runtime not in (Runtime.CUDA, Runtime.ROCM):
        raise refusal(serves, f"SGLang has no image for {request.platform.runtime.value}", "--engine vllm has one")
    half = computes_in_half(support_of(NAME, request))
    checkpoint = checkpoint_of(request.model, serves.precision, NAME)
    has_tls = speaks_https(NAME, release_of(NAME, request), load_catalog())
    return Container(
        engine=Engine.SGLANG,
        image=request.image or _image(request),
        checkpoint=checkpoint,
        entrypoint="python3",
        command=("-m", "sglang.launch_server"),
        model_option="--model-path=",
        arguments=(*_arguments(request, checkpoint, half=half), *_sharing_arguments(serves)),
        sharing_arguments=_sharing_arguments(serves),
        tls_options=("--ssl-keyfile=", "--ssl-certfile=") if has_tls else None,
        device_arguments=device_arguments(serves, request.platform),
        environment={"SGLANG_TIMEOUT_KEEP_ALIVE": f"{KEEP_ALIVE_SECONDS}"},
        shares_port=serves.replicas_per_instance > 1,
        adapters=request.demand.adapters.named if request.demand.adapters else (),
        adapter_option="--lora-paths" if request.demand.adapters else "",
    )


def _image(request: Request) -> str:
    tag = f"v{release_of(NAME, request)}"
    if request.platform.runtime is Runtime.ROCM:
        tag += "-rocm720-mi35x" if request.serves.accelerator.startswith("MI35") else "-rocm720-mi30x"
    return f"{_REPOSITORY}:{tag}"


def _arguments(request: Request, checkpoint: Checkpoint, *, half: bool) -> list[str]:
    serves = request.serves
    arguments = [
        *served_name(request),
        # It listens on the loopback interface alone otherwise.
        "--host=0.0.0.0",
        *precision_arguments(serves.precision, checkpoint, half=half),
        f"--tp-size={serves.tensor_parallel}",
        f"--context-length={serves.context_tokens}",
        f"--max-running-requests={serves.max_concurrency}",
        f"--mem-fraction-static={round(serves.memory_utilization - _OUTSIDE_SHARE, 3):g}",
        f"--kv-cache-dtype={'fp8_e4m3' if serves.kv_precision == 'fp8' else 'auto'}",
        "--enable-metrics",
        *sglang_arguments(request, NAME),
    ]
    if serves.pipeline_parallel > 1:
        arguments.append(f"--pp-size={serves.pipeline_parallel}")
    if serves.expert_parallel and serves.tensor_parallel > 1:
        arguments.append(f"--ep-size={serves.tensor_parallel}")
    return arguments


def _sharing_arguments(serves: Serves) -> tuple[str, ...]:
    return () if serves.replicas_per_instance == 1 else (f"--dp-size={serves.replicas_per_instance}",)


PROGRAMS = {Engine.SGLANG: Program(NAME, container)}
