"""Hugging Face Text Embeddings Inference, on NVIDIA, Gaudi and processors.

Options and images: its command line, Dockerfiles and table of supported hardware, read at release 1.9.3 (July 2026).
An image is built for one compute capability. The server speaks plain HTTP, and one process takes one accelerator. On
Gaudi it compiles batches of 1, 2, 4 … texts of 128, 256 … tokens before it is ready (backends/src/lib.rs).
"""

from collections.abc import Mapping

from advisor.catalog import load_catalog
from advisor.codegen.container import Container, Engine, Runtime
from advisor.codegen.engines.request import Program, Request, checkpoint_of, device_arguments, refusal, served_name
from advisor.codegen.engines.vllm import processor_image, server_of

NAME = "Text Embeddings Inference"
_TAGS: Mapping[float, str] = {
    7.5: "turing-",
    8.0: "",
    8.6: "86-",
    8.9: "89-",
    9.0: "hopper-",
    10.0: "100-",
    12.0: "120-",
}
"""Starts of the tags, by compute capability."""
_CPU_TAGS = {"x86_64": "cpu-", "arm64": "cpu-arm64-"}
_GAUDI_TAG = "hpu-"
_LEAST_COMPILED = 128
"""Tokens of the shortest text that Gaudi computes (PAD_SEQUENCE_TO_MULTIPLE_OF)."""
_CLIENT_ITEMS, _REQUESTS = 32, 512
"""Defaults of the most texts in a request, and of those in the server."""
_QUEUED_BATCHES = 64
"""Batches that the server takes in before it answers 429: more of them would miss any target."""


def container(request: Request) -> Container:
    """The container of Text Embeddings Inference. Raises InputError if no image of it is known for the accelerator."""
    serves = request.serves
    server = server_of(NAME, request)
    is_compiled = request.platform.runtime is Runtime.GAUDI
    is_wide = request.platform.runtime is Runtime.CPU or serves.precision == "fp32"
    longest = max(serves.context_tokens, _LEAST_COMPILED)
    return Container(
        engine=Engine.TEXT_EMBEDDINGS_INFERENCE,
        image=request.image or f"{server.image}:{_tag_start(request)}{server.release}",
        checkpoint=checkpoint_of(request.model, serves.precision, NAME),
        entrypoint="",
        command=(),
        model_option="--model-id=",
        arguments=(
            *served_name(request),
            f"--dtype={'bfloat16' if is_compiled else 'float32' if is_wide else 'float16'}",
            *request.demand.answer_options(NAME),
            f"--max-batch-tokens={server.batch_tokens(serves.context_tokens)}",
            f"--max-batch-requests={serves.max_concurrency}",
            f"--max-client-batch-size={max(_CLIENT_ITEMS, request.demand.most_items)}",
            f"--max-concurrent-requests={max(_REQUESTS, _QUEUED_BATCHES * serves.max_concurrency)}",
        ),
        tls_options=None,
        device_arguments=device_arguments(serves, request.platform),
        environment={"MAX_WARMUP_SEQUENCE_LENGTH": str(longest)} if is_compiled else {},
        health_path=server.health_path,
        hub_image=processor_image(request),  # its own has no Python
        cache_environment="HUGGINGFACE_HUB_CACHE",
        cache_folder="huggingface/hub",
        counted_per_request=request.demand.items,
    )


def _tag_start(request: Request) -> str:
    if request.platform.runtime is Runtime.CPU:
        return _CPU_TAGS[request.platform.cpu_architecture]
    if request.platform.runtime is Runtime.GAUDI:
        return _GAUDI_TAG
    accelerator = load_catalog().known_accelerator(request.serves.accelerator)
    start = None if accelerator is None else _TAGS.get(accelerator.compute_capability or 0.0)
    if start is None:
        raise refusal(request.serves, f"no image of {NAME} is known for {request.serves.accelerator}")
    return start


PROGRAMS = {Engine.TEXT_EMBEDDINGS_INFERENCE: Program(NAME, container)}
