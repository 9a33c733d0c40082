"""NVIDIA Triton Inference Server for ONNX files: ONNX Runtime on processors, and on NVIDIA with TensorRT.

The container writes its own model repository: the folder of the model as version 1, and a configuration with the plan's
batch and wait, whose inputs and outputs Triton completes from the graph, and the requests that it answers before it is
ready. The server speaks plain HTTP, counts whole requests, and has a metrics page of its own.

Options and fields: docs/user_guide of Triton (batcher, metrics, model configuration) and src/command_line_parser.cc, at
release 26.08; parameters of TensorRT: README of its backend for ONNX Runtime (August 2026). curl is in its image.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.codegen.container import Checkpoint, Container
from advisor.codegen.engines.devices import device_arguments
from advisor.codegen.engines.request import Request
from advisor.codegen.engines.vllm_one_pass import processor_image, server_of
from advisor.codegen.quoting import slug
from advisor.codegen.wanted import Engine
from advisor.models.model import ModelInput
from advisor.units import MICROSECONDS_PER_MS

_METRICS_PORT = 8002
_TIMES = "--metrics-config=summary_latencies=true"
"""Quantiles of whole answers over the last minute, which are published on request."""
_LONGEST_NAME = 60
_ENGINES = "/tmp/engines"  # noqa: S108 (in a container of its own)
_CONFIGURATION = "MODEL_CONFIGURATION"
_NEEDED = "the planned model as ONNX, a folder with a model.onnx whose first dimension is free"
_EXPORT = "https://huggingface.co/$1/resolve/$revision/onnx/model.onnx"
_START = f"""\
options=() revision=main work=${{TMPDIR:-/tmp}} folder=$1
for word in "${{@:2}}"; do
  case $word in
    --revision=*) revision=${{word#*=}} ;;
    *) options+=("$word") ;;
  esac
done
if [[ $folder != /* ]]; then
  folder=$HOME/.cache/onnx/$1/$revision
  mkdir -p "$folder"
  token=(${{HF_TOKEN:+--oauth2-bearer "$HF_TOKEN"}})
  if [[ ! -e $folder/model.onnx ]]; then
    curl -fsSL --retry 9 "${{token[@]}}" -o "$folder/part" "{_EXPORT}"
    mv "$folder/part" "$folder/model.onnx"
  fi
fi
[[ -e $folder/model.onnx ]] || folder=$folder/onnx
mkdir -p "$work/models/$0" "$HOME/.cache/engines"
ln -sfn "$HOME/.cache/engines" "$work/engines"
ln -sfn "$folder" "$work/models/$0/1"
printf %s "$MODEL_CONFIGURATION" >"$work/models/$0/config.pbtxt"
exec tritonserver --model-repository="$work/models" "${{options[@]}}"
"""
"""Program for bash: $0 is the name of the model, $1 its folder or its repository on the hub: exports lie in onnx/."""
_TENSORRT_CAUTION = (
    "The inputs of the graph are not known, so that nothing warms it up. TensorRT builds its engine at the first batch "
    "that is larger than all before: send one request, and a full batch, to each new host before it serves."
)


@dataclass(frozen=True, slots=True)
class TritonOnnx:
    """One way in which Triton runs an ONNX graph."""

    engine: Engine
    name: str
    """As engines.csv of the catalog names it."""
    has_tensorrt: bool = False

    def container(self, request: Request) -> Container:
        """The container of Triton.

        Raises:
            InputError: no image of it is known for the accelerator.
        """
        serves = request.serves
        server = server_of(self.name, request)
        return Container(
            engine=self.engine,
            image=request.image or f"{server.image}:{server.release}-py3",
            checkpoint=Checkpoint(None, _needed(request.demand.inputs)),
            entrypoint="bash",
            command=("-euc", _START, served_model(request.model)),
            model_option="",
            arguments=("--allow-grpc=false", f"--metrics-port={_METRICS_PORT}", _TIMES),
            port_option="--http-port=",
            tls_options=None,
            device_arguments=device_arguments(serves, request.platform),
            environment={_CONFIGURATION: self._configuration(request, server)},
            image_caution=_TENSORRT_CAUTION if self.has_tensorrt and not request.demand.inputs else "",
            health_path=server.health_path,
            metrics_port=_METRICS_PORT,
            shares_port=serves.replicas_per_instance > 1,
            hub_image=processor_image(request),
        )

    def catalog_name(self, _request: Request) -> str:
        """The server as engines.csv names it."""
        return self.name

    def _configuration(self, request: Request, server: OnePassEngine) -> str:
        """The model's ``config.pbtxt``: largest batch and longest wait as planned."""
        wait_us = round(server.max_wait_ms * MICROSECONDS_PER_MS)
        serves = request.serves
        fields = [
            'backend: "onnxruntime"',
            f"max_batch_size: {serves.max_concurrency}",
            f"dynamic_batching {{ max_queue_delay_microseconds: {wait_us} }}",
        ]
        if self.has_tensorrt:
            fields.append(_tensorrt(serves.precision))
        if request.demand.inputs:
            fields.append(_warm_up(request.demand.inputs, serves.max_concurrency, serves.context_tokens))
        return "\n".join(fields) + "\n"


def _needed(inputs: Sequence[ModelInput]) -> str:
    """Contents of the folder, with the inputs of the graph where requests are sent to it before it serves."""
    shapes = (" × ".join("tokens" if size is None else str(size) for size in tensor.shape) for tensor in inputs)
    named = [f"{tensor.name} ({tensor.type}, {shape})" for tensor, shape in zip(inputs, shapes, strict=True)]
    return f"{_NEEDED} and whose inputs are {', '.join(named)}" if named else _NEEDED


def _warm_up(inputs: Sequence[ModelInput], largest_batch: int, longest_tokens: int) -> str:
    """Field with the requests that an instance answers before it counts as ready: the smallest and the largest batch.

    Between the two lies every shape that is served, so that TensorRT builds no engine for a client's request. Zeros are
    tokens of every vocabulary.
    """
    samples = []
    for name, batch, tokens in (("smallest", 1, 1), ("largest", largest_batch, longest_tokens)):
        lines = [f'    name: "{name}"', f"    batch_size: {batch}"]
        for tensor in inputs:
            sizes = ", ".join(str(tokens if size is None else size) for size in tensor.shape)
            lines += [
                f"    inputs {{ key: {_text(tensor.name)} value {{",
                f"      data_type: TYPE_{tensor.type.upper()} dims: [ {sizes} ] zero_data: true",
                "    } }",
            ]
        samples.append("\n".join(["  {", *lines, "  }"]))
    return "\n".join(["model_warmup [", ",\n".join(samples), "]"])


def _text(text: str) -> str:
    """A text in protobuf's text format: what is no plain character of ASCII as its bytes in octal."""
    plain = re.compile(r"[ !#-\[\]-~]")
    return '"' + "".join(c if plain.fullmatch(c) else "".join(f"\\{b:03o}" for b in c.encode()) for c in text) + '"'


def served_model(model: str) -> str:
    """Name that clients call below ``/v2/models/``."""
    return slug(model.rpartition("/")[2].removesuffix(".onnx"), _LONGEST_NAME, "model")


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


TENSORRT = TritonOnnx(Engine.TRITON_TENSORRT, "Triton (TensorRT)", has_tensorrt=True)
ONNX_RUNTIME = TritonOnnx(Engine.TRITON_ONNX_RUNTIME, "Triton (ONNX Runtime)")
