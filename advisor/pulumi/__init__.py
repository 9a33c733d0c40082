"""The fleet of a plan as a component of Pulumi programs in Python.

::

    plan.json ─▶ codegen.generate ─▶ the program's source ─▶ program.load ─▶ its Deployment, a child of InferenceFleet

The resources are those of ``advisor generate pulumi --standalone``: they are written once, in the templates.
"""

import atexit
import hashlib
import importlib
import importlib.util
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict, Unpack

try:
    import pulumi
except ImportError:
    raise ImportError("Pulumi's SDK is not installed: pip install 'inference-advisor[pulumi]'") from None

from advisor.codegen.short_program import generated_folder, whole_program
from advisor.errors import AdvisorError
from advisor.plan.document import why_not_as_made
from advisor.records import dataclass

_PACKAGE = "inference"
"""As generated programs call theirs."""
_IMPORT = re.compile(rf"^from {_PACKAGE}(?=[. ])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """Modules of a generated program that a component is made from."""

    configuration: Any
    """Module that fills settings."""
    deployment: Any
    """Module of ``Deployment`` and ``DeploymentArgs``."""
    settings: Any
    """Module of ``Settings``."""
    fleet: Any
    """The plan as data."""


def load(files: Mapping[str, str]) -> Program:
    """The package ``inference`` of *files* (path → text), imported; the same text is imported once.

    Raises ImportError if a module that it needs, such as the SDK of its cloud, is not installed.
    """
    source = {path: text for path, text in sorted(files.items()) if path.startswith(f"{_PACKAGE}/")}
    name = f"{_PACKAGE}_{hashlib.sha256(json.dumps(source).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        _package(name, source)
    return Program(
        configuration=importlib.import_module(f"{name}.configuration"),
        deployment=importlib.import_module(f"{name}.deployment"),
        settings=importlib.import_module(f"{name}.settings"),
        fleet=importlib.import_module(f"{name}.fleet").FLEET,
    )


def _package(name: str, source: Mapping[str, str]) -> ModuleType:
    """The package as files of this process: its modules read the host's script from beside them."""
    directory = Path(tempfile.mkdtemp(prefix=f"{_PACKAGE}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for path, text in source.items():
        file = directory / Path(path).name
        file.write_text(_IMPORT.sub(f"from {name}", text) if file.suffix == ".py" else text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(
        name, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{directory} holds no package")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Args = Mapping[str, pulumi.Input[Any]]
"""Setting → value; which there are stands in the README that ``advisor generate pulumi`` writes beside the program."""


class Choice(TypedDict, total=False):
    """Choice of what is deployed of a plan, and how, where it is not what the plan recommends."""

    target: str
    """Such as ec2 or eks; default: by the plan."""
    option: int
    """Single type of the plan, by its rank; default: the fleet."""
    engine: str
    """Such as vllm, in place of the planned one."""
    image: str
    """Container image in place of the engine's own."""
    form: str
    """Form of what runs on a cluster, such as kserve; default: as in the directory, else manifests."""
    part: str
    """Cloud, such as aws, of a plan that has several."""
    directory: str
    """Folder that ``advisor generate`` wrote: image digests and a cut-over are taken from there; default: that of the
    plan's file, where it has them."""


class InferenceFleet(pulumi.ComponentResource):
    """The fleet of a plan: load balancers, instances or node pools, identity, alarms and budget.

    Everything belongs to the provider that *opts* name (``provider`` or ``providers``), or else to the one of the
    stack's configuration. What the fleet says of itself are attributes, such as ``endpoints``; :attr:`outputs` has all.
    """

    outputs: Mapping[str, Any]
    """Name → output or value, as the README beside the program lists them."""

    def __init__(
        self,
        name: str,
        plan: str,
        args: Args | None = None,
        opts: pulumi.ResourceOptions | None = None,
        **choice: Unpack[Choice],
    ) -> None:
        """Register everything.

        *name*: of the component, and what the names of its resources start with unless *args* hold a ``name``. *args*:
        settings by name; texts may be outputs of other resources. Raises pulumi.RunError if the plan cannot be
        deployed, or a setting is missing or wrong; the message says what to do.
        """
        super().__init__("advisor:index:InferenceFleet", name, None, opts)
        with _errors_for_people():
            program = _program(plan, choice)
        given = {"name": name, **(args or {})}
        settings = program.configuration.filled(program.settings.Settings, given)
        deployment = program.deployment.Deployment(
            settings.name,
            program.deployment.DeploymentArgs(settings=settings, fleet=program.fleet, ambient_provider=True),
            pulumi.ResourceOptions(parent=self),
        )
        names = (name for name in type(deployment).__annotations__ if hasattr(deployment, name))
        self.outputs = {name: getattr(deployment, name) for name in names}
        self.register_outputs(dict(self.outputs))

    @classmethod
    def from_plan(
        cls,
        name: str,
        path: str | Path,
        args: Args | None = None,
        opts: pulumi.ResourceOptions | None = None,
        **choice: Unpack[Choice],
    ) -> "InferenceFleet":
        """The fleet of the plan in a file, which is read as it was made; arguments as of the class.

        Raises pulumi.RunError if there is no such plan, it was changed by hand, or it cannot be deployed as asked.
        """
        with _errors_for_people():
            text = _as_made(Path(path))
        choice.setdefault("directory", str(generated_folder(Path(path).resolve())))
        return cls(name, text, args, opts, **choice)

    @property
    def endpoint(self) -> pulumi.Output[str]:
        """The one endpoint of a fleet that has one.

        Raises:
            AttributeError: its pods are reached by the ways of their cluster.
            pulumi.RunError: it has several.
        """
        return pulumi.Output.from_input(self.endpoints).apply(_only)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the target's Deployment has
        """An output by its name."""
        outputs = self.__dict__.get("outputs", {})
        if name not in outputs:
            raise AttributeError(f"this fleet has no {name}; its outputs: {', '.join(outputs)}")
        return outputs[name]


def _only(endpoints: Mapping[str, Any]) -> str:
    """The address of the only endpoint."""
    if len(endpoints) != 1:
        raise pulumi.RunError(f"endpoint: the fleet has several, {', '.join(endpoints)}: take one from `endpoints`")
    (endpoint,) = endpoints.values()
    return str(endpoint["url"] if isinstance(endpoint, Mapping) else endpoint)


def _as_made(path: Path) -> str:
    """The text of a plan that nobody changed by hand."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise pulumi.RunError(f"{path}: no plan can be read: {error}") from None
    reason = why_not_as_made(text, str(path))
    if reason:
        raise pulumi.RunError(f"{path}: {reason}; make it again with `advisor recommend`")
    return text


def _program(plan: str, choice: Choice) -> Program:
    files = whole_program(plan, choice)
    try:
        return load(files)
    except ImportError as error:
        packages = " ".join(line for line in files["requirements.txt"].splitlines() if not line.startswith("#"))
        raise pulumi.RunError(f"{error}: pip install {packages}") from None


@contextmanager
def _errors_for_people() -> Iterator[None]:
    """Errors of advisor, said as Pulumi says them, without a traceback."""
    try:
        yield
    except AdvisorError as error:
        raise pulumi.RunError(str(error)) from None
