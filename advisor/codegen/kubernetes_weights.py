"""Weights from a bucket in place of the hub: kustomize components that a user takes in, and the job that fills it.

Sources: rclone's documentation of its S3, Google Cloud Storage and Azure Blob backends; the guides to EKS Pod Identity,
Workload Identity Federation for GKE and Microsoft Entra Workload ID. Read in November 2026.
"""

from collections.abc import Iterable, Iterator, Mapping

from advisor.codegen.container import Backend, Checkpoint, Container, Engine, HeldModel, Runtime
from advisor.codegen.copied_files import BESIDE_SAFETENSORS, OF_OTHER_PROGRAMS
from advisor.codegen.engines.metrics import STREAMING
from advisor.codegen.model import Stack
from advisor.codegen.quoting import marked_slug, slug
from advisor.codegen.templates import fill
from advisor.data_files import facts_beside
from advisor.records import dataclass, replace

COPY_ACCOUNT = "copy-weights"
"""Service account of the job that fills the bucket."""
_LONGEST_NAME = 40
_MARK_DIGITS = 6
_UNNAMED = "organisation/model"
_TEMPLATES = {"folder/kustomization.yaml": "weights/folder.yaml.j2"}
_BUCKET_TEMPLATES = {
    "bucket/kustomization.yaml": "weights/bucket.yaml.j2",
    "bucket/copy.sh": "weights/copy.sh.j2",
    "copy/kustomization.yaml": "weights/copy.yaml.j2",
    "copy/copy.sh": "weights/copy.sh.j2",
    "copy/jobs.yaml": "weights/jobs.yaml.j2",
}
_STREAM_TEMPLATES = {"stream/kustomization.yaml": "weights/stream.yaml.j2"}
_STREAMED_TO = (Runtime.CUDA, Runtime.ROCM)
_IMAGE = "rclone/rclone:1.75.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address from which pods of a cluster get the credentials of their service account."""

    network: str
    port: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """Object storage of a cloud, as the pods of its clusters reach it."""

    scheme: str
    """Such as s3: the start of a source."""
    example: str
    backend: str
    """As rclone calls it."""
    environment: Mapping[str, str]
    """Of rclone."""
    streamed: str
    """The example as engines that stream take it."""
    endpoints: tuple[Endpoint, ...] = ()
    """Beside HTTPS; empty: credentials come through HTTPS."""
    has_account: bool = False
    """A source starts with the account of the container."""
    has_client: bool = False
    """Service accounts name the identity that they have."""


S3, GOOGLE_STORAGE, AZURE_BLOBS = (
    Bucket(**{**row, "endpoints": tuple(Endpoint(**endpoint) for endpoint in row.get("endpoints", ()))})
    for row in facts_beside(__file__, "buckets.toml").values()
)


@dataclass(frozen=True, slots=True)
class Copy:
    """A job that copies one checkpoint from the hub to the bucket."""

    name: str
    model_id: str
    needed: str
    """What the user has to name; "": the model is known."""
    image: str
    """Of an engine: it holds the client of the hub."""
    architecture: str
    """Architecture of the nodes that the image runs on, as Kubernetes labels them."""
    disk_gib: int
    include: str = ""
    """Pattern of the names of the files that are copied; "": all."""
    commit: str = ""
    """"": the newest."""


def model_map_name(backend: Backend, model: HeldModel | None = None, beside: Iterable[Backend] = ()) -> str:
    """Name of the map that holds model and revision: backends that load the same with one engine share it.

    It holds no hardware, so that what a user sets there outlives a change of type. Another repository has another map,
    and with it a revision of its own.

    Args:
        backend: of the server.
        model: that of the server's that the map is for; None: it has one.
        beside: the other backends of the cluster; where one loads another model of the same name, the name is whole.
    """
    if model:
        return slug(f"model {model.workload}", _LONGEST_NAME, "model")
    checkpoint = backend.container.checkpoint
    what = checkpoint.model_id or checkpoint.needed
    name = _short_map_name(backend)
    alike = {other.container.checkpoint.model_id for other in beside if _short_map_name(other) == name}
    if alike <= {checkpoint.model_id}:
        return name
    return marked_slug(f"{backend.container.engine.value} {what}", what, _LONGEST_NAME, _MARK_DIGITS, "model")


def _short_map_name(backend: Backend) -> str:
    checkpoint = backend.container.checkpoint
    what = checkpoint.model_id or checkpoint.needed
    return slug(f"{backend.container.engine.value} {what.rpartition('/')[2]}", _LONGEST_NAME, "model")


def weights_files(stack: Stack, bucket: Bucket | None, context: Mapping[str, object]) -> Mapping[str, str]:
    """The files below ``kubernetes/weights/``; *known* has what the other manifests use too."""
    names = dict(context) | {
        "bucket": bucket,
        "copies": copies_of(stack),
        "copy_account": COPY_ACCOUNT,
        "image": _IMAGE,
        "streaming_engines": streaming_engines(stack),
        "of_other_programs": OF_OTHER_PROGRAMS,
        "beside_safetensors": BESIDE_SAFETENSORS,
    }
    of_bucket = _BUCKET_TEMPLATES | (_STREAM_TEMPLATES if streaming_engines(stack) else {})
    templates = _TEMPLATES if bucket is None else _TEMPLATES | of_bucket
    return {f"kubernetes/weights/{path}": fill("kubernetes", template, names) for path, template in templates.items()}


def streaming_engines(stack: Stack) -> tuple[str, ...]:
    """Engines of the stack that stream weights from a bucket; empty where one runs on what is not streamed to.

    Adapters are not streamed: engines read them from a folder.
    """
    able = [backend for backend in stack.backends if backend.container.engine in STREAMING]
    if stack.adapters or any(backend.runtime not in _STREAMED_TO for backend in able):
        return ()
    return tuple(sorted({backend.pin for backend in able}))


def copies_of(stack: Stack) -> tuple[Copy, ...]:
    """One for each checkpoint and adapter of the stack; what an image of the user's own loads is the user's to copy."""
    copies: dict[str, Copy] = {}
    for group in stack.groups:
        container = stack.backend_of(group).container
        for what, checkpoint in _checkpoints(container):
            name = slug(f"copy {what}", _LONGEST_NAME, "copy")
            needed = "" if checkpoint.model_id else checkpoint.needed
            copy = Copy(
                name,
                checkpoint.model_id or _UNNAMED,
                needed,
                container.hub_image or container.image,
                group.platform.debian_architecture,
                group.checkpoint_gib,
                checkpoint.include,
                checkpoint.commit,
            )
            copies.setdefault(what, copy)
            for adapter in container.adapters:
                if adapter.on_hub:
                    own = replace(copy, name=slug(f"copy {adapter.id}", _LONGEST_NAME, "copy"), model_id=adapter.id)
                    copies.setdefault(adapter.id, replace(own, needed="", include="", commit=adapter.commit))
    return tuple(copies[what] for what in sorted(copies))


def _checkpoints(container: Container) -> Iterator[tuple[str, Checkpoint]]:
    """Checkpoints that a container loads, each with a name that tells it from the others."""
    if container.engine is Engine.CUSTOM:
        return
    for model in container.models:
        yield model.checkpoint.model_id or model.workload, model.checkpoint
    if not container.models:
        yield container.checkpoint.model_id or container.checkpoint.needed, container.checkpoint
