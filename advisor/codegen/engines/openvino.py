"""OpenVINO Model Server for diffusion on x86-64 processors.

It answers /v3/images/generations, one picture at a time, and speaks plain HTTP. It loads pipelines in OpenVINO's own
format: those of the hub are pulled at the start, a folder has to hold the graph.pbtxt that its export writes. Gauges of
its metrics count requests that wait together with those that run, so that no alarm and no scaling follows them.

Sources: demos/image_generation and docs (starting the server, parameters, metrics) of openvinotoolkit/model_server,
read in November 2026. Its image runs as a user of its own, who may not write to the cache of a host.
"""

from advisor.codegen.container import Checkpoint, Container
from advisor.codegen.engines.devices import device_arguments
from advisor.codegen.engines.request import Request
from advisor.codegen.engines.vllm_one_pass import processor_image, server_of
from advisor.codegen.quoting import slug
from advisor.codegen.wanted import Engine

NAME = "OpenVINO Model Server"
_LONGEST_NAME = 60
_NEEDED = "the planned pipeline in the format of OpenVINO, such as one of the organisation OpenVINO on the hub"
_START = """\
if [[ $1 == /* ]]; then
  source=("--model_path=$1")
else
  source=("--source_model=$1" "--model_repository_path=$HOME/.cache/models" --task=image_generation)
fi
exec /ovms/bin/ovms "--model_name=$0" "${source[@]}" "${@:2}"
"""
"""Program for bash: $0 is the name of the model, $1 its folder or its repository on the hub."""


def container(request: Request) -> Container:
    """The container of OpenVINO Model Server.

    Raises:
        InputError: no image of it is known for the machine.
    """
    serves = request.serves
    server = server_of(NAME, request)
    return Container(
        engine=Engine.OPENVINO_MODEL_SERVER,
        image=request.image or f"{server.image}:{server.release}",
        checkpoint=Checkpoint(None, _NEEDED),
        entrypoint="bash",
        command=("-euc", _START, slug(request.model.rpartition("/")[2], _LONGEST_NAME, "model")),
        model_option="",
        arguments=(),
        port_option="--rest_port=",
        tls_options=None,
        revision_option="",
        device_arguments=(*device_arguments(serves, request.platform), "--user=0"),
        health_path=server.health_path,
        hub_image=processor_image(request),
    )


def catalog_name(_request: Request) -> str:
    """The server as engines.csv names it."""
    return NAME
