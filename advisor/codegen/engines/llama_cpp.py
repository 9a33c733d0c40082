"""The server of llama.cpp for language models, embedders and rerankers in GGUF, on NVIDIA and on processors.

Options and images: tools/server/README.md of llama.cpp, read in November 2026. It speaks plain HTTP, takes the value of
an option as a word by itself. Its metrics, which are off by default, are gauges of what waits and runs: it tells no
times and counts no finished requests.
"""

from collections.abc import Iterator, Mapping

from advisor.catalog import load_catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Checkpoint, Container, Engine, Runtime
from advisor.codegen.engines.onnx_files import digest_environment, needed
from advisor.codegen.engines.request import (
    Demanded,
    Program,
    Request,
    device_arguments,
    program,
    refusal,
    without_adapters,
)
from advisor.codegen.engines.vllm import processor_image, server_of
from advisor.models.weights import served_quantisations
from advisor.records import replace
from advisor.workload.kinds import names_reranker

NAME = "llama.cpp server"
_TAGS: Mapping[Runtime, str] = {Runtime.CUDA: "server-cuda-", Runtime.CPU: "server-"}
_CONVERTING_TAGS: Mapping[Runtime, str] = {Runtime.CUDA: "full-cuda-", Runtime.CPU: "full-"}
"""Images with the converter and the quantiser beside the server."""
_VENDORS: Mapping[Runtime, str] = {Runtime.CUDA: "nvidia", Runtime.CPU: "cpu"}
_CONVERT = "llama_convert.sh"
"""Program that converts published weights first, of a folder or of a repository, which is read from the hub in parts;
by ``convert_hf_to_gguf.py --help`` and tools/quantize/README.md of llama.cpp. The file is made again where those are
others than it was made of: by names, sizes and times of the folder's files, or by the repository's commit."""
_HUB = "(of a repository of the hub neither size nor digest is verified)"
_PLACE = "; a file of your own goes into a bucket or folder that model_source names, below the name of the model"


def container(request: Request) -> Container:
    """The container of llama.cpp.

    Raises InputError if no image of it is known for the accelerator, no file of the hub has such weights, or the plan
    has LoRA adapters or images.
    """
    without_adapters(request, NAME)
    serves = request.serves
    if request.demand.has_pictures:
        problem = f"{NAME} reads images by a second file alone (--mmproj), which no code gives it"
        raise refusal(serves, problem, "--engine vllm serves images")
    server = _server(request)
    file = request.demand.gguf or request.demand.file
    own = file if file is not None and file.precision in ("", request.serves.precision) else None
    quantisation = own.quantisation if own and own.quantisation else served_quantisations().get(serves.precision)
    if quantisation is None or serves.precision not in server.precisions:
        planned = " and ".join(server.precisions)
        raise refusal(serves, f"{NAME} is planned for GGUF in {planned}, not for {serves.precision}")
    demand = request.demand if own is not None else replace(request.demand, file=None)
    may_convert = own is None and not demand.unit.is_one_pass
    # Of published weights the server makes a GGUF when it first starts.
    is_converted = may_convert and load_catalog().precisions.loaded(request.model, serves.precision, NAME) is not None
    tag = (_CONVERTING_TAGS if is_converted else _TAGS)[request.platform.runtime]
    return Container(
        engine=Engine.LLAMA_CPP_SERVER,
        image=request.image or f"{server.image}:{tag}{server.release}",
        checkpoint=_converted(request.model, quantisation) if is_converted else _named(demand, quantisation),
        entrypoint="bash",
        command=("-euc", program(_CONVERT if is_converted else "llama_server.sh"), quantisation),
        model_option="",
        arguments=(*_arguments(request, server), "--metrics"),
        tls_options=None,
        revision_option="",
        device_arguments=device_arguments(serves, request.platform),
        health_path=server.health_path,
        environment=digest_environment(demand.file),
        hub_image=processor_image(request),
    )


def _converted(model: str, quantisation: str) -> Checkpoint:
    """Published weights of a model, which a server converts."""
    return Checkpoint(
        model, f"the planned model, of which a server makes a GGUF in {quantisation} when it first starts"
    )


def _named(demand: Demanded, quantisation: str) -> Checkpoint:
    """Files in GGUF that the user names."""
    told = f"the planned model as GGUF in {quantisation} {_HUB}{_PLACE}"
    # Names of files hold the quantisation in any case; BF16 is not F16.
    letters = "".join(f"[{sign}{sign.lower()}]" if sign.isalpha() else sign for sign in quantisation)
    pattern = f"*{'[!bB]' if quantisation.startswith('F') else ''}{letters}*"
    return Checkpoint(None, needed(told, replace(demand, inputs=())), include=pattern)


def _server(request: Request) -> OnePassEngine:
    """Row of the server for the kind of model and the accelerators of the request."""
    if request.demand.unit.is_one_pass:
        return server_of(NAME, request)
    server = load_catalog().token_server(NAME, _VENDORS.get(request.platform.runtime, ""))
    if server is None:
        raise refusal(request.serves, f"no image of {NAME} is known for {request.platform.runtime.value}")
    return server


def _arguments(request: Request, server: OnePassEngine) -> Iterator[str]:
    """Options of the server: slots of one context each, which share ``--ctx-size``, and the tokens of a step."""
    serves = request.serves
    most = serves.max_concurrency
    is_one_pass = request.demand.unit.is_one_pass
    # A text is read in one step, whatever its length; a prompt is spread over steps, in which answers go on.
    step = max(server.max_batch_tokens or 0, serves.context_tokens if is_one_pass else 0)
    if is_one_pass:
        yield "--rerank" if names_reranker(request.model) else "--embeddings"
    yield from ("--host=0.0.0.0", f"--parallel={most}", f"--ctx-size={most * serves.context_tokens}")
    yield from (f"--batch-size={step}", f"--ubatch-size={step}")
    if is_one_pass:
        return
    # Prompts of earlier requests would take memory of the host that the plan does not count.
    yield "--cache-ram=0"
    if request.platform.runtime is Runtime.CUDA:
        yield "--n-gpu-layers=all"
    if is_hub_id(request.model):
        yield f"--alias={request.model}"


PROGRAMS = {Engine.LLAMA_CPP_SERVER: Program(NAME, container)}
