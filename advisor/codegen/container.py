"""Values of generated code: languages, engines, wishes beyond the plan, platforms, containers, backends, regions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from advisor.plan.estate.seats import Seat
from advisor.plan.fleet.chosen import FleetGroup
from advisor.plan.values import Option
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace


class Language(StrEnum):
    """Language of the code."""

    TERRAFORM = "terraform"
    PYTHON = "python"
    """Pulumi in Python."""


class Engine(StrEnum):
    """Program that serves the model."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TENSORRT_LLM = "tensorrt-llm"
    """Behind trtllm-serve or Triton."""
    VLLM_POOLING = "vllm-pooling"
    """Embeddings and rerankers."""
    VLLM_TRANSCRIPTION = "vllm-transcription"
    VLLM_OMNI = "vllm-omni"
    """Pictures by diffusion."""
    TEXT_EMBEDDINGS_INFERENCE = "text-embeddings-inference"
    TRITON_TENSORRT = "triton-tensorrt"
    """ONNX files on NVIDIA: Triton's backend of ONNX Runtime, which hands the graph to TensorRT."""
    TRITON_ONNX_RUNTIME = "triton-onnx-runtime"
    """ONNX files on processors."""
    TRITON_FIL = "triton-fil"
    """Trees of XGBoost, LightGBM and treelite, on NVIDIA and on processors."""
    OPENVINO_MODEL_SERVER = "openvino-model-server"
    """Diffusion on processors."""
    OPENVINO_MODEL_SERVER_ONNX = "openvino-model-server-onnx"
    """ONNX files on x86-64 processors."""
    LLAMA_CPP_SERVER = "llama.cpp-server"
    """Language models, embedders and rerankers in GGUF."""
    OPTIMUM_NEURON = "optimum-neuron"
    """Encoders and classifiers on Neuron, behind Hugging Face's inference toolkit."""
    OPTIMUM_NEURON_VLLM = "optimum-neuron-vllm"
    """Embedders with a decoder on Neuron."""
    CUSTOM = "custom"
    """An image of the user's own (such as NIM) with its entrypoint as it is."""


class Stage(StrEnum):
    """How far a cut-over is, from groups that retire to what replaces them."""

    PREPARE = "prepare"
    """Both run, and the requests go where they went before."""
    SHIFT = "shift"
    """Both run, and the requests go where the plan sends them."""
    FINISH = "finish"
    """What retires is left out."""


class Form(StrEnum):
    """Form of the objects in the folder ``kubernetes/`` of a cluster's code."""

    MANIFESTS = "manifests"
    """Deployments and Services, as a kustomization."""
    INFERENCE_POOL = "inference-pool"
    """The manifests, with an InferencePool of the Gateway API for each backend."""
    KSERVE = "kserve"
    PRODUCTION_STACK = "production-stack"
    LLM_D = "llm-d"
    DYNAMO = "dynamo"


MANIFEST_FORMS = (Form.MANIFESTS, Form.INFERENCE_POOL, Form.LLM_D)
"""Forms whose objects are the manifests: Deployments and Services, with or without pools."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Wishes of the user beyond the plan; the defaults take what the plan recommends."""

    target: str = ""
    """Such as ec2, eks, vm-scale-set; "": the default of the provider."""
    rank: int | None = None
    """Single type of the plan, by its rank; None: the fleet."""
    engine: Engine | None = None
    """Another engine than the one that was planned."""
    image: str = ""
    """Container image in place of the default one."""
    form: Form = Form.MANIFESTS
    """For targets on clusters."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Image with its tag → digest that the code takes it by."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """Model of the hub → commit that the code takes it at."""
    as_component: bool = False
    """For larger programs: a Terraform module with an example of its call, in place of a root; a Pulumi program that
    takes its resources from ``advisor.pulumi`` and holds the plan, in place of their whole source."""

    unconfirmed: bool = False
    """Go on with a fleet that its replay refused."""
    inputs: frozenset[str] = frozenset()
    """Rare inputs that the code takes too, by name; ``all``: every input of the target."""

    @property
    def is_as_planned(self) -> bool:
        """Whether target, engine, image and form are those of the plan."""
        return not (self.target or self.engine or self.image or self.form is not Form.MANIFESTS)


class Runtime(StrEnum):
    """Driver and runtime that an accelerator needs."""

    CUDA = "cuda"
    ROCM = "rocm"
    NEURON = "neuron"
    GAUDI = "gaudi"
    TPU = "tpu"
    CPU = "cpu"
    """Processors, and no accelerator beside them."""


Serves = Option | FleetGroup | Seat
"""How one instance serves."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Quota that an account must be allowed before anything starts."""

    code: str
    """As the provider's quota service names it."""
    name: str
    unit: str = "vCPUs"
    needed: str = ""
    """How much of it, region by region, in words; "" where that is not known."""


@dataclass(frozen=True, slots=True)
class Platform:
    """How one instance type boots and serves."""

    runtime: Runtime
    cpu_architecture: str
    """x86_64 or arm64."""
    machine_image: str
    """AWS: public SSM parameter; Google: ``project/family``; Azure: ``publisher:offer:sku:version``."""
    quota: Quota

    @property
    def debian_architecture(self) -> str:
        """The processors as Debian, containers and Kubernetes call them: amd64 or arm64."""
        return "amd64" if self.cpu_architecture == "x86_64" else self.cpu_architecture


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Which weights the container downloads."""

    model_id: str | None
    """Hub name; None when only the user can name the checkpoint."""
    needed: str
    """What the checkpoint has to be, in words."""
    made_while_loading: bool = False
    """The engine quantises it to the planned precision."""
    file_names: tuple[str, ...] = ()
    """Names that a model which was planned from a file may have in its folder, by its format; empty: of the hub."""
    include: str = ""
    """Pattern of the names of the files of a repository that are wanted; "": all of them."""
    commit: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Commit that it is taken at; "": the newest."""


@dataclass(frozen=True, slots=True)
class ServedAdapter:
    """A LoRA adapter that requests name in place of the model."""

    id: str
    """Name on the hub, and of its folder beside the weights elsewhere."""
    on_hub: bool
    commit: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Commit that it is copied at; "": the newest."""

    @property
    def name(self) -> str:
        """Name that requests give."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HeldModel:
    """Model of a server that holds those of several workloads; a container of its own puts it into the repository."""

    workload: str
    name: str
    """Name that clients call it by."""
    checkpoint: Checkpoint
    entrypoint: str
    command: tuple[str, ...]
    """Words before the model, as those of a container."""
    revision_option: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Api:
    """Requests that a server answers."""

    words: str = "OpenAI-compatible"
    """Before "endpoint"."""
    path: str = "/v1"
    """Of every route."""
    clients: str = ""
    """How clients ask it, where that has to be said."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container for all replicas of an instance.

    Its command is ``entrypoint *command model_option+MODEL *arguments port_option+PORT …``; an image with
    :attr:`model_environment` is given variables in place of a command.
    """

    engine: Engine
    image: str
    checkpoint: Checkpoint
    entrypoint: str
    """Program, such as ``vllm``; "": that of the image."""
    command: tuple[str, ...]
    """Words before the model, such as ``serve``."""
    model_option: str
    """Such as ``--model-path=``; "": the model is a word by itself."""
    arguments: tuple[str, ...]
    """Everything that the plan decides: precision, parallelism, batch, context, memory."""
    port_option: str = "--port="
    tls_options: tuple[str, str] | None = ("--ssl-keyfile=", "--ssl-certfile=")
    """Options that take the paths of key and certificate; None: the engine speaks plain HTTP only."""
    revision_option: str = "--revision="
    """Takes the commit of the weights; "": there is none."""
    device_arguments: tuple[str, ...] = ()
    """Of ``docker run``: which accelerators the container sees, and what it needs to reach them."""
    sharing_arguments: tuple[str, ...] = ()
    """Those of *arguments* that make one container serve all replicas of an instance; left out of a container that
    serves one replica."""
    environment: Mapping[str, str] = field(default_factory=dict)
    image_caution: str = ""
    """How the image differs from what was planned; "": not that anybody knew."""
    api: Api = Api()
    health_path: str = "/health"
    metrics_port: int | None = None
    """Port of the metrics page; None: that of the answers."""
    shares_port: bool = False
    """Several replicas answer on one port."""
    model_environment: str = ""
    """Variable that takes the model, such as MODEL_ID; "": the command names the model."""
    model_prefix: str = ""
    """Before the model in that variable, such as ``hf://``."""
    port_environment: str = ""
    """Variable that takes the port; "": :attr:`port_option` does."""
    compiled_environment: str = ""
    """Variable that takes the folder of what the engine compiles before it serves; "": it has none."""
    compiled_folder: str = ""
    """That folder, below the cache of the container: another for other weights, images and arguments."""
    cache_environment: str = ""
    """Variable that takes the folder of downloads; "": the engine finds it below the home folder."""
    cache_folder: str = ""
    """The folder of downloads, below the cache of the container."""
    hub_image: str = ""
    """Image that holds the client of the hub, for copies of the weights; "": that of the engine."""
    counted_per_request: float = 1.0
    """Entries of one request of the workload in the engine's queue: its texts, or windows of audio."""
    workers_option: str = ""
    """Takes the number of requests that the engine takes up at once, where its metrics do not count those that wait to
    be taken up; "": they count all."""
    writes_system_files: bool = False
    """It writes outside its cache as root, which pods do not let it."""
    finished_per_request: float = 1.0
    """The same of the engine's counter of finished requests."""
    http_requests_per_request: float = 1.0
    """HTTP requests of one request of the workload, as load balancers count them."""
    adapters: tuple[ServedAdapter, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """LoRA adapters that it starts with."""
    adapter_option: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Before all of them, each as a word NAME=ID: a folder of that name below the working folder, else on the hub."""
    models: tuple[HeldModel, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Models that it holds for a workload each; empty: it holds the one of its checkpoint."""
    live_path: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Answers while the process runs, whatever of its models is loaded; "": :attr:`health_path` tells both."""
    generation_path: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Answers once the engine has made a token, where :attr:`health_path` answers while it hangs; "": there is none."""
    key_option: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Takes a key that requests to load and unload models have to carry; "": it takes none."""

    @property
    def loaded(self) -> "tuple[Container | HeldModel, ...]":
        """Loaders of a checkpoint each: the models that it holds, or itself."""
        return self.models or (self,)

    @property
    def commit(self) -> str:
        """Commit of the planned model that the engine is given; "": none is known, or it takes none."""
        return self.checkpoint.commit if self.revision_option else ""

    @property
    def adapter_arguments(self) -> tuple[str, ...]:
        """Arguments that name the adapters; none without any."""
        words = [f"{adapter.name}={adapter.id}" for adapter in self.adapters]
        return (self.adapter_option, *words) if words else ()


@dataclass(frozen=True, slots=True)
class Backend:
    """Instances of one region that serve alike, whatever their type and purchase: one target of a load balancer."""

    key: str
    region: str
    container: Container
    weight: int
    """Per mille of all requests in the busiest hours: those of its groups together."""
    runtime: Runtime
    former_keys: tuple[str, ...] = ()
    """Keys that it had, by which Pulumi's state may still know it."""
    pin_name: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Name of its engine among pins where that is not the engine's own; see :func:`pins_of`."""

    @property
    def pin(self) -> str:
        """Name by which pins of its engine hold for it."""
        return self.pin_name or self.container.engine.value

    @property
    def probe(self) -> tuple[bool, str]:
        """Whether it speaks TLS, and the path that answers once its model does."""
        return self.container.tls_options is not None, self.container.health_path


@dataclass(frozen=True, slots=True)
class Pin:
    """Name by which images and arguments are pinned for an engine on one runtime."""

    name: str
    engine: Engine
    runtime: Runtime


def pins_of(backends: Sequence[Backend], former: Sequence[Pin] = ()) -> tuple[Pin, ...]:
    """Names for pins of backends, and those of *former* code, which go on meaning the same.

    An image for one runtime does not start on another. An engine that comes on one runtime is named by itself; on each
    further one, and where it comes on several at once, by the runtime too: ``vllm``, ``vllm-neuron``.
    """
    names = {(pin.engine, pin.runtime): pin.name for pin in former}
    kinds = list(dict.fromkeys((backend.container.engine, backend.runtime) for backend in backends))
    known_engines = Counter(engine for engine, _ in dict.fromkeys([*names, *kinds]))
    for engine, runtime in kinds:
        qualified = f"{engine.value}-{runtime.value}" if known_engines[engine] > 1 else engine.value
        names.setdefault((engine, runtime), qualified)
    return tuple(Pin(name, *kind) for kind, name in names.items())


def pinned_by(backends: Sequence[Backend], pins: Sequence[Pin]) -> tuple[Backend, ...]:
    """Backends with their names among pins."""
    names = {(pin.engine, pin.runtime): pin.name for pin in pins}
    return tuple(
        replace(backend, pin_name="" if name == backend.container.engine.value else name)
        for backend in backends
        for name in [names[backend.container.engine, backend.runtime]]
    )


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the stack: an entrance of its own."""

    name: str
    weight: int
    """Per mille of all requests in the busiest hours: those of its groups together."""
    subnets: int
    """Fewest subnets or zones."""
    zones: int = 1
    """Most zones that one of its groups is spread over, and no fewer than the workload asks for."""
    peak_requests_per_second: float | None = None
    """Rate of all its groups in the busiest minute of the demand; None: a record that does not say it."""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """The internal HTTPS entrance of a region."""

    client_port: int = 443
    host_port: int = 8443
    idle_seconds: int = 600
    """A long answer may pause longer than the usual 60 s."""
    drain_seconds: int = 120


@dataclass(frozen=True, slots=True)
class Agent:
    """The sampler that keeps measuring what was predicted."""

    example_package: str
    """Where its wheel might be; only the user knows where it is."""
