"""A stack printed through the templates of a folder, with what its README lists: the same stack gives the same bytes.

Sources of the rights that an apply needs: prefixes of actions in AWS's Service Authorization Reference; Google's
predefined roles and their permissions (November 2026).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from advisor.codegen.container import Language
from advisor.codegen.cut_over_words import with_section
from advisor.codegen.inputs.table import Input, examples, inputs_of, rare_inputs
from advisor.codegen.inputs.variables import example_settings, python_default, python_type
from advisor.codegen.model import Scaling, Stack
from advisor.codegen.pulumi_calls import bodies_of, local_value, pulumi_call
from advisor.codegen.python_literals import Call, laid_out
from advisor.codegen.quoting import Quoted
from advisor.codegen.serving import cache_facts, cache_files, pin_values
from advisor.codegen.templates import evaluate, fill, fill_text
from advisor.data_files import data_dir, facts_beside
from advisor.records import dataclass
from advisor.tables import read_rows

_TABLE = facts_beside(__file__, "plan_classes.toml")
_PLAIN = {name: {"type": typed} for typed, names in _TABLE["plain"].items() for name in names}
_FLEET = "Fleet"
_TOTAL = "planned_usd_per_month"
Truth = Callable[[str], object]
"""Value of an expression of the template language, in what a target knows."""
Text = Callable[[str], str]
"""Description of which parts may depend on the stack, filled in."""


@dataclass(frozen=True, slots=True)
class PlanField:
    """Field of a class, with its default where it has one."""

    name: Quoted
    type: Quoted
    about: Quoted
    """Empty for one whose name says all."""


@dataclass(frozen=True, slots=True)
class PlanClass:
    """Class of a program."""

    name: Quoted
    about: Quoted
    fields: tuple[PlanField, ...]

    def has(self, name: str) -> bool:
        """Whether it has a field of this name."""
        return any(field.name == name for field in self.fields)


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """Part of the plan in ``fleet.tf``."""

    name: Quoted
    about: tuple[Quoted, ...]
    """Lines of the comment before it."""
    value: Any


def plan_classes(target: str, truth: Truth, text: Text) -> Mapping[str, PlanClass]:
    """Classes of a target's programs by name, in the order in which they stand."""

    def field(place: str, name: str) -> PlanField:
        keys = (f"{place}.{name}", f"{place.rpartition('.')[2]}.{name}", name)
        facts = next(rows[key] for key in keys for rows in (_TABLE["fields"], _PLAIN) if key in rows)
        return PlanField(Quoted(name), Quoted(text(facts["type"])), Quoted(text(facts.get("about", ""))))

    rows = {name: row for name, row in _TABLE[target].items() if "when" not in row or truth(row["when"])}
    rows |= {_FLEET: {"about": "The whole plan of one cloud.", "fields": [_TOTAL, *_fleet_rows(target, truth)]}}
    return {
        name: PlanClass(
            Quoted(name),
            Quoted(row["about"]),
            tuple(field(f"{target}.{name}", part) for part in row["fields"] if part not in _left_out(row, truth)),
        )
        for name, row in rows.items()
    }


def plan_records(target: str, truth: Truth, text: Text, facts: Mapping[str, Any]) -> tuple[PlanRecord, ...]:
    """Parts of the plan in their order, with their values among *facts*."""
    return tuple(
        PlanRecord(Quoted(name), tuple(map(Quoted, text(about).split("\n"))), facts[name])
        for name, about in _fleet_rows(target, truth).items()
    )


def plan_value(classes: Mapping[str, PlanClass], usd_per_month: float | None, records: Sequence[PlanRecord]) -> Call:
    """The plan as a program holds it: calls of its classes, each where the type of a field names it."""
    return _made(classes, _FLEET, {_TOTAL: usd_per_month, **{record.name: record.value for record in records}})


def _made(classes: Mapping[str, PlanClass], name: str, values: Mapping[str, Any]) -> Call:
    types = {str(field.name): field.type.partition(" = ")[0] for field in classes[name].fields}
    return Call(name, {key: _typed(classes, types[key], value) for key, value in values.items()})


def _typed(classes: Mapping[str, PlanClass], typed: str, value: object) -> object:
    """A value of a type: of a class, of a mapping or sequence of one, or as it is."""
    head, _, inner = typed.replace('"', "").removesuffix(" | None").removesuffix("]").rpartition("[")
    name = inner.removeprefix("str, ")
    if name not in classes:
        return value
    if isinstance(value, Mapping):
        return _made(classes, name, value) if not head else {key: _made(classes, name, value[key]) for key in value}
    return [_made(classes, name, item) for item in value] if isinstance(value, Sequence) else value


def _fleet_rows(target: str, truth: Truth) -> Mapping[str, str]:
    """Parts of a target's plan, each with what ``fleet.tf`` says of it."""
    rows = _TABLE[target][_FLEET]
    without = {"only", *_left_out(rows, truth)}
    return {name: about for name, about in rows.items() if name not in without}


def _left_out(row: Mapping[str, Any], truth: Truth) -> frozenset[str]:
    """Names that are only there on a condition that does not hold."""
    conditions = row.get("only", {}).items()
    return frozenset(name for condition, names in conditions if not truth(condition) for name in names)


_MAPPING = "pulumi.Output[Mapping[str, str]]"
"""Type of most outputs."""
_OUTPUTS = facts_beside(__file__, "outputs.toml")
_DECLARATION = re.compile(
    r'^(?:variable|output) "(?P<name>\w+)" \{\n  description = "(?P<description>(?:[^"\\]|\\.)*)"\n'
    r"(?:  type +?= (?P<type>.+)\n(?P<more>(?:    .*\n|  \}\)+\n)*))?(?:  default +?= (?P<default>.+)\n)?",
    re.MULTILINE,
)
_LONGEST_DEFAULT = 60


@dataclass(frozen=True, slots=True)
class Declaration:
    """A variable, a setting or an output."""

    name: str
    description: str
    type: str
    default: str
    """As written in the code; empty for one that has to be given, and for an output."""


@dataclass(frozen=True, slots=True)
class Output:
    """Output of a root, or attribute of a program's component."""

    name: Quoted
    description: str
    code: Quoted
    """Value in HCL, or type in Python."""


def outputs_of(
    target: str, truth: Callable[[str], object], text: Callable[[str], str], *, is_program: bool
) -> Iterator[Output]:
    """Outputs that a target's code of a language has."""
    for name in (*_OUTPUTS[target]["order"], *_OUTPUTS["always"]):
        row: Mapping[str, str] = {**_OUTPUTS["all"].get(name, {}), **_OUTPUTS[target].get(name, {})}
        code = row.get("type", _MAPPING) if is_program else row.get("hcl", "")
        if code and ("when" not in row or truth(row["when"])):
            yield Output(Quoted(name), text(row["about"]), Quoted(text(code).strip("\n")))


def settings_of(inputs: Iterable[Input]) -> tuple[Declaration, ...]:
    """The fields of ``Settings``, in their order."""
    return tuple(Declaration(row.name, row.description, python_type(row), _default(row)) for row in inputs)


def _default(row: Input) -> str:
    shown = "" if row.is_required else python_default(row)
    return shown if len(shown) <= _LONGEST_DEFAULT else "…"


def declarations(text: str, kind: str) -> tuple[Declaration, ...]:
    """The variables or outputs that code declares, in its order."""
    return tuple(
        Declaration(
            name=match["name"],
            description=re.sub(r"\\(.)", r"\1", match["description"]),
            type=_type(match["type"] or "", is_long=bool(match["more"])),
            default="{…}" if (match["default"] or "").endswith(("{", "[")) else match["default"] or "",
        )
        for match in _DECLARATION.finditer(text)
        if match[0].startswith(kind)
    )


def _type(first_line: str, *, is_long: bool) -> str:
    """A type on one line, with what a longer one holds left out."""
    return first_line.removesuffix("{") + "{…}" + ")" * first_line.count("(") if is_long else first_line


class Right(NamedTuple):
    """A right that resources need."""

    name: str
    """Prefix of the actions of a service, such as ``ec2``, or a role."""
    place: str = ""
    """Where it is given; "": the account or project that is deployed to."""


_RIGHTS = tuple(
    (row["terraform"], row["pulumi"], Right(row["name"], row["place"]))
    for row in read_rows(Path(__file__).with_name("rights.csv"))
)
"""Start of a resource's type in Terraform, of its class in Pulumi, and a right that it needs."""
_RESOURCES = re.compile(r'^resource "((?:aws|google)_\w+)"|\b((?:aws|gcp)\.[a-z0-9]+\.[A-Z]\w+)\(', re.MULTILINE)


def rights_of(texts: Iterable[str]) -> tuple[Right, ...]:
    """Rights on everything that code makes on AWS and Google Cloud, sorted; empty for Azure."""
    kinds = {kind for text in texts for match in _RESOURCES.findall(text) for kind in match if kind}
    return tuple(sorted({right for *starts, right in _RIGHTS for kind in kinds if kind.startswith(tuple(starts))}))


_PLACES = {
    "unit.tftest.hcl": "tests/unit.tftest.hcl",
    "test_stack.py": "tests/test_stack.py",
}
"""Files of a target's folder whose place is neither the root nor, in a program, ``inference/``."""
_NO_FILES = frozenset({"cache_place", "example_root"})
"""Templates that make no file, or one that is written after all others."""
_CLOUDS = facts_beside(__file__, "clouds.toml")
ANSWERS: dict[str, dict[str, Any]] = {name: cloud.get("answers", {}) for name, cloud in _CLOUDS.items()}
"""Answers of data sources in the tests of a program, by cloud."""
_SOURCE = re.compile(r"inference/.*|examples/.*|tests/test_stack\.py")
_ROOT_ALONE, _MODULE_ALONE = "providers.tf", "examples/complete/main.tf"
"""A module takes the provider of its caller; a root is called by none."""


def render(
    language: Language,
    folder: str,
    stack: Stack,
    context: Mapping[str, Any],
    shared: Mapping[str, str] = MappingProxyType({}),
    without: Collection[str] = (),
) -> Mapping[str, str]:
    """Files of a Terraform root or module, or of a Pulumi program in Python with those that every such project has.

    ``README.md`` lists variables and outputs of the other files: of a program the fields of ``Settings``, and what the
    component ``Deployment`` declares, which is exported too. *folder*: below ``templates/terraform`` and
    ``templates/pulumi-python``, such as ``aws-ec2``: each template in it is a file. *context*: further names that the
    templates use; decisions of the target that the stack does not hold. ``planned``: parts of the plan whose name here
    is another value's; ``answers``: of data sources in the tests of a program, where they are others than
    :data:`ANSWERS`. *shared*: path in the output → template of ``shared``, beyond those of clouds.toml. *without*:
    templates of the folder that the stack does not need, such as ``scaling``.
    """
    write = _root if language is Language.TERRAFORM else _program
    return write(folder, stack, context, shared, without)


def _root(
    folder: str, stack: Stack, context: Mapping[str, Any], shared: Mapping[str, str], without: Collection[str]
) -> Mapping[str, str]:
    cloud, of_target, folder = _cloud_of(folder), _root_templates(folder, context), f"terraform/{folder}"
    templates = _CLOUDS["all"]["root"] | of_target | _own_templates(folder, without) | dict(shared)
    context = _with_inputs(folder, stack, {**_usual(stack), **context, **cache_facts(stack)})
    context = {**context, "terraform_provider": _CLOUDS[cloud]["provider"]}
    files = _render(folder, {**templates, **cache_files(stack, Language.TERRAFORM)}, stack, context)
    if stack.component:
        del files[_ROOT_ALONE]
    root = "\n".join(text for path, text in files.items() if "/" not in path)
    inputs, outputs = (declarations(root, kind) for kind in ("variable", "output"))
    declared = {"inputs": inputs, "outputs": outputs, "rights": rights_of(files.values())}
    if stack.component:
        files |= _render(folder, {_MODULE_ALONE: "example_root.tf.j2"}, stack, dict(context) | declared)
    return _with_readme(folder, files, stack, dict(context) | declared)


def _program(
    folder: str, stack: Stack, context: Mapping[str, Any], shared: Mapping[str, str], without: Collection[str]
) -> Mapping[str, str]:
    cloud, of_target, folder = _cloud_of(folder), _files_of(folder, "python"), f"pulumi-python/{folder}"
    usual = {"packages": (_CLOUDS[cloud]["package"],), "answers": ANSWERS[cloud], "cloud": cloud}
    context = _with_inputs(folder, stack, {**_usual(stack), **usual, **context, **cache_facts(stack)})
    bodies = cache(partial(_resources, folder.rpartition("/")[2], stack, context, without))
    context = {**context, "resource": partial(pulumi_call, bodies), "local": partial(local_value, bodies)}
    own = _own_templates(folder, without) | dict(shared) | dict(cache_files(stack, Language.PYTHON))
    files = _render(folder, _CLOUDS["all"]["program"] | of_target | own, stack, context)
    declared = {"inputs": settings_of(context["variables"]), "rights": rights_of(files.values())}
    files |= _render(folder, {"__main__.py": "main.py.j2"}, stack, dict(context) | declared)
    written = _with_readme(folder, files, stack, dict(context) | declared)
    return written if stack.component is None else dict(sorted(_component(folder, written, stack, context).items()))


def _resources(target: str, stack: Stack, context: Mapping[str, Any], without: Collection[str]) -> Mapping[str, str]:
    """Bodies of the resources and locals of the root that a program is the like of."""
    folder, cached = f"terraform/{target}", cache_files(stack, Language.TERRAFORM)
    templates = {**_root_templates(target, context), **_own_templates(folder, without), **cached}
    kept = {path: file for path, file in templates.items() if path.endswith(".tf")}
    return bodies_of(_render(folder, kept, stack, {**context, "is_program": False}))


def _root_templates(target: str, context: Mapping[str, Any]) -> dict[str, str]:
    """Path → template of ``shared`` of every root on a cloud, and of those of a target there."""
    budget = {"budget.tf": "aws_budget.tf.j2"} if context.get("has_budget") else {}
    return budget | _files_of(target, "terraform")


def _cloud_of(folder: str) -> str:
    """The start of what every root on a cloud has: of clusters of other providers, kubernetes."""
    return folder.partition("-")[0]


def _files_of(folder: str, language: str) -> dict[str, str]:
    """Path → template of ``shared`` of every root or program on a cloud, and of those of a target there."""
    return {**_CLOUDS[_cloud_of(folder)].get(language, {}), **_CLOUDS.get(folder, {}).get(language, {})}


def _usual(stack: Stack) -> Mapping[str, Any]:
    """Values that every template may use, where the target decides nothing else."""
    return {
        **pin_values(stack),
        "cautions": stack.summary.cautions,
        "is_scheduled": stack.scaling is Scaling.SCHEDULED,
        "is_reactive": stack.scaling is Scaling.REACTIVE,
        "scales": stack.scaling is not Scaling.STATIC,
        "may_be_empty": [group.key for group in stack.groups if group.min_instances == 0],
    }


def scaling_left_out(stack: Stack) -> tuple[str, ...]:
    """Templates that a fleet of one size does not need."""
    return ("scaling",) if stack.scaling is Scaling.STATIC else ()


def _with_inputs(folder: str, stack: Stack, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Facts for the templates with the inputs that the stack takes, and the classes of a program's plan."""
    language, _, target = folder.partition("/")
    pins_commits = any(backend.container.commit for backend in stack.backends)
    context = {**context, "pins_commits": pins_commits}
    facts = {**context, "stack": stack, "is_program": language != "terraform"}
    truth, text = partial(evaluate, context=facts), partial(fill_text, context=facts)
    inputs = inputs_of(target, truth, text, stack.inputs)
    takes = facts["takes"] = {row.name for row in inputs}
    parts = plan_classes(target, truth, text) if facts["is_program"] else {}
    records = plan_records(target, truth, text, {**context, **context.get("planned", {})})
    fleet = plan_value(parts, stack.budget.usd_per_month, records) if parts else None
    outputs = tuple(outputs_of(target, truth, text, is_program=facts["is_program"]))
    plan = {"outputs": outputs, "parts": parts, "records": records, "fleet": fleet, "is_program": facts["is_program"]}
    return {
        **context,
        **plan,
        "variables": inputs,
        "takes": takes,
        "left_out_inputs": [name for name in rare_inputs(target, truth) if name not in takes],
        "configuration": examples(inputs),
        "settings": example_settings(inputs),
    }


def _own_templates(folder: str, without: Collection[str]) -> dict[str, str]:
    """Templates of a folder by the path of the file that each makes."""
    left_out = _NO_FILES.union(without)
    templates = {name: file for name, file in _template_names(folder).items() if name.split(".", 1)[0] not in left_out}
    return {
        _PLACES.get(name, f"inference/{name}" if name.endswith(".py") else name): file
        for name, file in templates.items()
    }


@cache
def _template_names(folder: str) -> Mapping[str, str]:
    """Files of a folder by the name of what each makes; what needs no filling in has no further suffix."""
    names = sorted(path.name for path in (data_dir("templates") / folder).iterdir())
    return {name.removesuffix(".j2"): name for name in names}


def _render(folder: str, templates: Mapping[str, str], stack: Stack, context: Mapping[str, Any]) -> dict[str, str]:
    names = dict(context) | {"stack": stack}
    return {path: laid_out(fill(folder, template, names)) for path, template in sorted(templates.items())}


def _with_readme(folder: str, files: Mapping[str, str], stack: Stack, context: Mapping[str, Any]) -> Mapping[str, str]:
    readme = fill(folder, f"readme/{folder.rpartition('/')[2]}.md.j2", {**context, "stack": stack})
    return dict(sorted((dict(files) | {"README.md": with_section(readme, stack)}).items()))


def _component(folder: str, files: Mapping[str, str], stack: Stack, context: Mapping[str, Any]) -> dict[str, str]:
    """The program around ``advisor.pulumi``, from the files of the whole source."""
    needed = {row.name for row in context["variables"] if row.is_required}
    arguments = {
        name: (("require" if (name in needed) else "get") + ("" if isinstance(value, str) else "_object"))
        for name, value in context["configuration"].items()
    }
    more = {"arguments": arguments, "first_needed": next(name for name in arguments if name in needed)}
    kept = {path: text for path, text in files.items() if not _SOURCE.fullmatch(path)}
    plan = {} if stack.component is None else {"plan.json": stack.component.plan}
    return kept | plan | _render(folder, _CLOUDS["all"]["component"], stack, dict(context) | more)
