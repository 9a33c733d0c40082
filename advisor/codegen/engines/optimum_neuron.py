"""Optimum Neuron on Inferentia2 and Trainium1: encoders behind Hugging Face's inference toolkit, embedders by vLLM.

Both compile a model for one batch and one length, to which texts are padded. Sources, read in November 2026:

- The toolkit: Dockerfile.neuronx of the AWS Deep Learning Containers (Hugging Face, PyTorch 2.8), the toolkit's
  mms_model_server.py and optimum_utils.py. It starts a worker on each NeuronCore, each with the model and one request
  at a time, answers POST /invocations in plain HTTP, and tells neither times nor a queue. What it compiles itself it
  computes in fp32, so that it is given a model that was exported in bf16.
- vLLM: optimum/commands/neuron/serve.py and docker/vllm/Dockerfile of optimum-neuron 0.4.5.
"""

from advisor.codegen.aws_places import registry_of
from advisor.codegen.container import Api, Checkpoint, Container, Engine
from advisor.codegen.engines.request import (
    Program,
    Request,
    checkpoint_of,
    device_arguments,
    program,
    ranks_of,
    refusal,
    served_name,
)
from advisor.codegen.engines.vllm import KEEP_ALIVE, compiled_folder, processor_image, server_of
from advisor.demand.values import Unit
from advisor.plan.words import split_words
from advisor.workload.kinds import names_reranker

TOOLKIT, VLLM = "Optimum Neuron", "Optimum Neuron (vLLM)"
"""Servers as engines.csv of the catalog names them."""
_COMPILE_CACHE = "NEURON_COMPILE_CACHE_URL"
"""Folder of what the compiler has made, by content."""
_LONGEST_LOAD_SECONDS = "3600"
"""Of a worker; without it one that takes longer than a request is started anew."""
_CLIENTS = (
    'Clients send POST /invocations: a text as {"inputs": TEXT}, a pair as {"inputs": {"text": …, "text_pair": …}}, an '
    "image as its bytes; one in a request, so that all cores have work. Texts longer than what was compiled are "
    "answered with an error."
)


def toolkit_container(request: Request) -> Container:
    """The container of Hugging Face's inference toolkit for Neuron, in AWS's registry of each region.

    Raises InputError if AWS has no registry of its images in the region.
    """
    serves = request.serves
    server = server_of(TOOLKIT, request)
    registry = registry_of(serves.region)
    if not registry and not request.image:
        raise refusal(serves, f"no registry of AWS's images is known in {serves.region}")
    task = _task(request)
    return Container(
        engine=Engine.OPTIMUM_NEURON,
        image=request.image or f"{registry}/{server.image}:{server.release}",
        checkpoint=Checkpoint(None, _needed(request, task)),
        entrypoint="bash",
        command=("-euc", program("neuron_toolkit.sh")),
        model_option="",
        arguments=(),
        tls_options=None,
        device_arguments=device_arguments(serves, request.platform),
        environment={
            "HF_TASK": task,
            "HF_OPTIMUM_BATCH_SIZE": "1",
            "HF_OPTIMUM_SEQUENCE_LENGTH": str(serves.context_tokens),
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": _LONGEST_LOAD_SECONDS,
        },
        api=Api("Inference-toolkit", "/invocations", _clients(request)),
        http_requests_per_request=serves.http_requests_per_call,
        health_path=server.health_path,
        shares_port=serves.replicas_per_instance > 1,
        hub_image=processor_image(request),
        writes_system_files=True,
    )


def vllm_container(request: Request) -> Container:
    """The container of vLLM with Optimum Neuron, whose task embed serves Qwen3. Raises InputError without an image."""
    serves = request.serves
    server = server_of(VLLM, request)
    checkpoint = checkpoint_of(request.model, serves.precision, VLLM)
    image = request.image or f"{server.image}:{server.release}"
    arguments = (
        *served_name(request),
        "--task=embed",
        f"--batch-size={serves.max_concurrency}",
        f"--sequence-length={serves.context_tokens}",
        f"--tensor-parallel-size={ranks_of(serves)}",
        "--allow-non-cached-model",
    )
    return Container(
        engine=Engine.OPTIMUM_NEURON_VLLM,
        image=image,
        checkpoint=checkpoint,
        entrypoint="optimum-cli",
        command=("neuron", "serve"),
        model_option="--model=",
        arguments=arguments,
        tls_options=None,
        device_arguments=device_arguments(serves, request.platform),
        environment=KEEP_ALIVE,
        health_path=server.health_path,
        compiled_environment=_COMPILE_CACHE,
        compiled_folder=compiled_folder(checkpoint, image, arguments),
        cache_environment="HUGGINGFACE_HUB_CACHE",
        cache_folder="huggingface/hub",
        hub_image=processor_image(request),
        counted_per_request=request.demand.items,
        finished_per_request=request.demand.items,
    )


def _clients(request: Request) -> str:
    """Words for clients, and for calls of several items."""
    items = request.serves.http_requests_per_call
    if items == 1:
        return _CLIENTS
    told = split_words(request.demand.unit, items, (TOOLKIT,))
    return f"{_CLIENTS} C{told[1:]}. The load balancer counts and times each of these requests by itself."


def _task(request: Request) -> str:
    if request.demand.unit is Unit.IMAGES:
        return "image-classification"
    is_scored = request.demand.is_scored or names_reranker(request.model)
    return "text-classification" if is_scored else "feature-extraction"


def _needed(request: Request, task: str) -> str:
    """Words for the export that the user makes of the planned model, once."""
    length = "" if request.demand.unit is Unit.IMAGES else f" --sequence_length {request.serves.context_tokens}"
    return (
        f"the planned model, compiled once on such a machine: optimum-cli export neuron --model MODEL --task {task} "
        f"--batch_size 1{length} --auto_cast matmul --auto_cast_type bf16 FOLDER"
    )


PROGRAMS = {
    Engine.OPTIMUM_NEURON: Program(TOOLKIT, toolkit_container),
    Engine.OPTIMUM_NEURON_VLLM: Program(VLLM, vllm_container),
}
