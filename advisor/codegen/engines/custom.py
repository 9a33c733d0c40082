"""An image of the user's own: its entrypoint as it is, told by environment variables what to serve.

NVIDIA NIM takes NIM_MODEL_PATH and NIM_SERVER_PORT (NIM for LLMs 2.x, "Environment Variables"); other images are given
MODEL_ID and PORT, as Text Generation Inference takes them. What the plan decides beyond that is for the image to know.
"""

from advisor.codegen.container import Container, Engine
from advisor.codegen.engines.request import Program, Request, checkpoint_of, device_arguments

_NIM = "nvcr.io/nim/"


def container(request: Request) -> Container:
    """The container of the user's image."""
    is_nim = request.image.startswith(_NIM)
    return Container(
        engine=Engine.CUSTOM,
        image=request.image,
        checkpoint=checkpoint_of(request.model, request.serves.precision, engine=""),
        entrypoint="",
        command=(),
        model_option="",
        arguments=(),
        port_option="",
        tls_options=None,
        revision_option="",
        device_arguments=device_arguments(request.serves, request.platform),
        health_path="/v1/health/ready" if is_nim else "/health",
        model_environment="NIM_MODEL_PATH" if is_nim else "MODEL_ID",
        model_prefix="hf://" if is_nim else "",
        port_environment="NIM_SERVER_PORT" if is_nim else "PORT",
        shares_port=request.serves.replicas_per_instance > 1,
    )


PROGRAMS = {Engine.CUSTOM: Program("", container)}
