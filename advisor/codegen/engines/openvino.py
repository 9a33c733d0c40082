"""OpenVINO Model Server on x86-64 processors: pipelines of diffusion, and ONNX files.

Of pictures it answers /v3/images/generations, one at a time; it loads pipelines in OpenVINO's own format: those of the
hub are pulled at the start, a folder has to hold the graph.pbtxt that its export writes. ONNX files answer KServe's
/v2/models/NAME/infer. It batches nothing: a request runs on all cores, and the next waits, which keeps the batch of the
plan. Triton's backend for OpenVINO pads each batch to the largest, so that a lone request would take as long as a full
one. Both speak plain HTTP; gauges of the metrics count requests that wait together with those that run, but none that
waits for a thread of the HTTP server, of which there are as many as cores unless the command states more.

Sources: demos/image_generation and docs (starting the server, parameters, model repositories, performance tuning,
metrics) and src/config.cpp of openvinotoolkit/model_server at 2026.1, whose Dockerfile.ubuntu has curl;
src/openvino.cc of Triton's backend (August 2026). Its image runs as a user of its own, who may not write to the cache
of a host.
"""

import json
from collections.abc import Mapping, Sequence

from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Api, Checkpoint, Container, Engine
from advisor.codegen.engines import onnx_files
from advisor.codegen.engines.request import Program, Request, device_arguments, program
from advisor.codegen.engines.vllm import processor_image, server_of
from advisor.codegen.quoting import slug
from advisor.records import dataclass

_LONGEST_NAME = 60
_PIPELINE = "the planned pipeline in the format of OpenVINO, such as one of the organisation OpenVINO on the hub"
_PRECISIONS: Mapping[str, str] = {"fp32": "f32", "bf16": "bf16"}


@dataclass(frozen=True, slots=True)
class OpenVino:
    """One way in which OpenVINO Model Server runs models."""

    engine: Engine
    name: str
    """As engines.csv of the catalog names it."""
    start: str
    """Program of the folder ``programs``: $0 is the name of the model, $1 its folder or its repository on the hub."""
    serves_onnx: bool = False

    def container(self, request: Request) -> Container:
        """The container of OpenVINO Model Server. Raises InputError if no image of it is known for the machine."""
        serves = request.serves
        server = server_of(self.name, request)
        pipeline = slug(request.model.rpartition("/")[2], _LONGEST_NAME, "model")
        name = onnx_files.served_model(request.model, request.demand.workload) if self.serves_onnx else pipeline
        file_names = () if is_hub_id(request.model) else onnx_files.FILE_NAMES
        checkpoint = Checkpoint(None, onnx_files.needed(onnx_files.NEEDED, request.demand), file_names=file_names)
        return Container(
            engine=self.engine,
            image=request.image or f"{server.image}:{server.release}",
            api=Api("KServe's", "/v2", onnx_files.CLIENTS.format(name=name)) if self.serves_onnx else Api(),
            checkpoint=checkpoint if self.serves_onnx else Checkpoint(None, _PIPELINE),
            entrypoint="bash",
            command=("-euc", program(self.start), name),
            model_option="",
            arguments=("--metrics_enable", *(_onnx_arguments(serves.precision) if self.serves_onnx else ())),
            port_option="--rest_port=",
            workers_option="--rest_workers=",
            tls_options=None,
            revision_option="--revision=" if self.serves_onnx else "",
            device_arguments=(*device_arguments(serves, request.platform), "--user=0"),
            health_path=server.health_path,
            environment=onnx_files.digest_environment(request.demand.file) if self.serves_onnx else {},
            hub_image=processor_image(request),
        )


def _onnx_arguments(precision: str) -> Sequence[str]:
    """Options of an ONNX file: the planned arithmetic, and one request at a time on all cores."""
    plugin = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _PRECISIONS[precision]}
    return ("--file_system_poll_wait_seconds=0", f"--plugin_config={json.dumps(plugin, separators=(',', ':'))}")


PICTURES = OpenVino(Engine.OPENVINO_MODEL_SERVER, "OpenVINO Model Server", "openvino_pipeline.sh")
ONNX = OpenVino(Engine.OPENVINO_MODEL_SERVER_ONNX, "OpenVINO Model Server (ONNX)", "openvino_onnx.sh", serves_onnx=True)


PROGRAMS = {way.engine: Program(way.name, way.container) for way in (PICTURES, ONNX)}
