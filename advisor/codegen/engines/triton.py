"""NVIDIA Triton Inference Server: ONNX files on ONNX Runtime and, on NVIDIA, TensorRT; trees on its FIL backend.

The container writes its own model repository: the folder of the model as version 1, and a configuration with the plan's
batch and wait, and the requests that it answers before it is ready. Inputs and outputs of a graph are completed by
Triton; those of trees are read from their file at the start. The server speaks plain HTTP, counts whole requests, and
has a metrics page of its own.

One process may hold the models of several workloads. It loads those that it is told, from a repository into which an
init container has put each; each is one instance with its own batcher. The rate limiter stays off: under it a model
with short batches would wait for whole batches of the others, where streams share the accelerator.

Options and fields: docs/user_guide of Triton (batcher, metrics, model configuration) and src/command_line_parser.cc, at
release 26.08; parameters of TensorRT: README of its backend for ONNX Runtime (August 2026); of trees: docs and
src/shared_state.h of the FIL backend (June 2026), and the header of treelite's checkpoints (src/serializer.cc, version
4). curl, grep, od and python3 are in its image (build.py: the last for its Python backend).
"""

import re
from collections.abc import Mapping, Sequence

from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Api, Checkpoint, Container, Engine, HeldModel
from advisor.codegen.engines.onnx_files import (
    CLIENTS,
    FILE_NAMES,
    NEEDED,
    digest_environment,
    needed,
    served_model,
)
from advisor.codegen.engines.request import Program, Request, device_arguments, program
from advisor.codegen.engines.vllm import processor_image, server_of
from advisor.models.model import ModelInput
from advisor.records import dataclass, replace
from advisor.units import MICROSECONDS_PER_MS

_METRICS_PORT = 8002
_TIMES = "--metrics-config=summary_latencies=true"
"""Quantiles of whole answers over the last minute, which are published on request."""
_ENGINES = "/tmp/engines"  # noqa: S108 (in a container of its own)
_CONFIGURATION = "MODEL_CONFIGURATION"
_REPOSITORY = "/tmp/models"  # noqa: S108 (likewise)
_EXPLICIT = "--model-control-mode=explicit"
_RESTRICTED = "--http-restricted-api=model-repository,shared-memory,trace,logging:repository-key="
"""Whoever may load a model may run code of their own in the server, says docs/customization_guide/deploy.md."""
_OWN_ENGINES = 'mkdir -p "$HOME/.cache/engines/$0"\n'
"""For a model beside others: TensorRT names its engines after the graph and not the weights."""
_SERVE = re.compile(r"exec tritonserver .*\n$")
"""Last line of the programs."""
_NEEDED_TREES = (
    "the planned model, a folder with an xgboost.ubj, an xgboost.json, a model.txt of LightGBM or a checkpoint.tl of "
    "treelite"
)
_TREE_FILES = ("xgboost.ubj", "xgboost.json", "model.txt", "checkpoint.tl")
_TENSORRT_CAUTION = (
    "The inputs of the graph are not known, so that nothing warms it up. TensorRT builds its engine at the first batch "
    "that is larger than all before: send one request, and a full batch, to each new host before it serves."
)


@dataclass(frozen=True, slots=True)
class Triton:
    """One way in which Triton runs models."""

    engine: Engine
    name: str
    """As engines.csv of the catalog names it."""
    backend: str
    needed: str
    """What ``model_ids`` names."""
    start: str
    """Program of the folder ``programs``: $0 is the name of the model, $1 its folder or its repository on the hub."""
    file_names: tuple[str, ...]
    """Names that the program looks for."""
    fields: tuple[str, ...] = ()
    """Of the configuration, beside batch and wait."""
    has_tensorrt: bool = False

    def container(self, request: Request) -> Container:
        """The container of Triton. Raises InputError if no image of it is known for the accelerator."""
        serves = request.serves
        server = server_of(self.name, request)
        name = served_model(request.model, request.demand.workload)
        return Container(
            engine=self.engine,
            image=request.image or f"{server.image}:{server.release}-py3",
            api=Api("Triton's", "/v2", CLIENTS.format(name=name)),
            checkpoint=Checkpoint(
                None,
                needed(self.needed, request.demand),
                file_names=() if is_hub_id(request.model) else self.file_names,
            ),
            entrypoint="bash",
            command=("-euc", program(self.start), name),
            model_option="",
            arguments=("--allow-grpc=false", f"--metrics-port={_METRICS_PORT}", _TIMES),
            port_option="--http-port=",
            tls_options=None,
            device_arguments=device_arguments(serves, request.platform),
            environment={
                _CONFIGURATION: self._configuration(request, server),
                **digest_environment(request.demand.file),
            },
            image_caution=_TENSORRT_CAUTION if self.has_tensorrt and not request.demand.inputs else "",
            health_path=server.health_path,
            metrics_port=_METRICS_PORT,
            shares_port=serves.replicas_per_instance > 1,
            hub_image=processor_image(request),
        )

    def _configuration(self, request: Request, server: OnePassEngine) -> str:
        """The model's ``config.pbtxt``: largest batch and longest wait as planned."""
        wait_us = round(server.max_wait_ms * MICROSECONDS_PER_MS)
        serves = request.serves
        fields = [
            f'backend: "{self.backend}"',
            f"max_batch_size: {serves.max_concurrency}",
            f"dynamic_batching {{ max_queue_delay_microseconds: {wait_us} }}",
            *self.fields,
        ]
        if self.has_tensorrt:
            fields.append(_tensorrt(serves.precision))
        if request.demand.inputs:
            fields.append(_warm_up(request.demand.inputs, serves.max_concurrency, serves.context_tokens))
        return "\n".join(fields) + "\n"


def with_models(containers: Mapping[str, Container]) -> Container:
    """The container of one server with the models of several containers of one image, by workload."""
    first = next(iter(containers.values()))
    return replace(
        first,
        checkpoint=Checkpoint(None, ""),
        entrypoint="tritonserver",
        command=(),
        arguments=(
            f"--model-repository={_REPOSITORY}",
            _EXPLICIT,
            *(f"--load-model={workload}" for workload in containers),
            *first.arguments,
        ),
        environment={},
        revision_option="",
        image_caution=" ".join(
            dict.fromkeys(filter(None, (container.image_caution for container in containers.values())))
        ),
        api=replace(first.api, clients=""),
        key_option=_RESTRICTED,
        models=tuple(_held(workload, container) for workload, container in containers.items()),
    )


def _held(workload: str, container: Container) -> HeldModel:
    """Model in the repository of a server with others: the start of its own server, without the server.

    Clients call it by its workload, which no neighbour that comes or goes changes.
    """
    flags, script = container.command[:2]
    configuration, folder = container.environment[_CONFIGURATION], f'value: "{_ENGINES}"'
    more = _OWN_ENGINES if folder in configuration else ""
    return HeldModel(
        workload=workload,
        name=workload,
        checkpoint=container.checkpoint,
        entrypoint=container.entrypoint,
        command=(flags, _SERVE.sub("", script) + more, workload),
        revision_option=container.revision_option,
        environment={
            **container.environment,
            _CONFIGURATION: configuration.replace(folder, f'value: "{_ENGINES}/{workload}"'),
        },
    )


def _warm_up(inputs: Sequence[ModelInput], largest_batch: int, longest_tokens: int) -> str:
    """Field with the requests that an instance answers before it counts as ready: the smallest and the largest batch.

    Between the two lies every shape that is served, so that TensorRT builds no engine for a client's request. Zeros are
    tokens of every vocabulary.
    """
    samples = []
    for name, batch, tokens in (("smallest", 1, 1), ("largest", largest_batch, longest_tokens)):
        lines = [f'    name: "{name}"', f"    batch_size: {batch}"]
        for tensor in inputs:
            # One number for each item is [1] to a server, which reshapes it for the graph.
            sizes = ", ".join(str(tokens if size is None else size) for size in tensor.shape) or "1"
            lines += [
                f"    inputs {{ key: {_text(tensor.name)} value {{",
                f"      data_type: TYPE_{tensor.type.upper()} dims: [ {sizes} ] zero_data: true",
                "    } }",
            ]
        samples.append("\n".join(["  {", *lines, "  }"]))
    return "\n".join(["model_warmup [", ",\n".join(samples), "]"])


def _text(text: str) -> str:
    """A text in protobuf's text format: what is not a plain character of ASCII as its bytes in octal."""
    plain = re.compile(r"[ !#-\[\]-~]")
    return '"' + "".join(c if plain.fullmatch(c) else "".join(f"\\{b:03o}" for b in c.encode()) for c in text) + '"'


def _tensorrt(precision: str) -> str:
    """Field that hands the graph to TensorRT, and keeps the engines that it builds; 16-bit weights compute in fp16."""
    settings = {
        "precision_mode": "FP32" if precision == "fp32" else "FP16",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": _ENGINES,
    }
    parameters = "\n".join(f'    parameters {{ key: "{key}" value: "{value}" }}' for key, value in settings.items())
    accelerator = f'gpu_execution_accelerator: [ {{\n    name: "tensorrt"\n{parameters}\n  }} ]'
    return f"optimization {{ execution_accelerators {{\n  {accelerator}\n}} }}"


_ON_EACH_GPU = "instance_group [ { kind: KIND_AUTO } ]"
"""One instance on each GPU; on the processor where there is none."""
_ONNX = ("onnxruntime", NEEDED, "triton_onnx.sh", FILE_NAMES)
TENSORRT = Triton(Engine.TRITON_TENSORRT, "Triton (TensorRT)", *_ONNX, has_tensorrt=True)
ONNX_RUNTIME = Triton(Engine.TRITON_ONNX_RUNTIME, "Triton (ONNX Runtime)", *_ONNX)
FIL = Triton(Engine.TRITON_FIL, "Triton (FIL)", "fil", _NEEDED_TREES, "triton_trees.sh", _TREE_FILES, (_ON_EACH_GPU,))


PROGRAMS = {way.engine: Program(way.name, way.container) for way in (TENSORRT, ONNX_RUNTIME, FIL)}
