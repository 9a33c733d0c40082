"""A stack printed through the templates of a folder: the same stack gives the same bytes."""

import re
from collections.abc import Mapping
from typing import Any

from advisor.codegen.cut_over_words import with_section
from advisor.codegen.declaration import Declaration
from advisor.codegen.model import Stack
from advisor.codegen.python_declarations import outputs_of, settings_of
from advisor.codegen.response_cache import cache_facts, cache_files
from advisor.codegen.rights import rights_of
from advisor.codegen.templates import fill
from advisor.codegen.wanted import Language

_DECLARATION = re.compile(
    r'^(?:variable|output) "(?P<name>\w+)" \{\n  description = "(?P<description>(?:[^"\\]|\\.)*)"\n'
    r"(?:  type +?= (?P<type>.+)\n(?P<more>(?:    .*\n|  \}\)+\n)*))?(?:  default +?= (?P<default>.+)\n)?",
    re.MULTILINE,
)


_PULUMI_PROJECT = {
    "Pulumi.yaml": "Pulumi.yaml.j2",
    "Pulumi.production.yaml": "Pulumi.stack.yaml.j2",
    "examples/automation.py": "automation.py.j2",
    "inference/__init__.py": "package.py.j2",
    "inference/configuration.py": "configuration.py.j2",
    "requirements.txt": "requirements.txt.j2",
    "ruff.toml": "ruff.toml.j2",
    "tests/__init__.py": "tests_package.py.j2",
    "tests/cloud.py": "cloud.py.j2",
}
"""What every Pulumi program in Python has, from ``pulumi-python/shared``."""
_COMPONENT = {
    "__main__.py": "component_main.py.j2",
    "requirements.txt": "component_requirements.txt.j2",
    "tests/test_program.py": "component_test.py.j2",
}
"""What a program that takes its resources from ``advisor.pulumi`` has in place of their source."""
_SOURCE = re.compile(r"inference/.*|examples/.*|tests/test_stack\.py")


_ROOT_ALONE, _MODULE_ALONE = "providers.tf", "examples/complete/main.tf"
"""A module takes the provider of its caller; a root is called by none."""


def render(folder: str, templates: Mapping[str, str], stack: Stack, known: Mapping[str, Any]) -> Mapping[str, str]:
    """The files of a stack, by path.

    Args:
        folder: below ``templates/``, such as ``terraform/aws-ec2``.
        templates: path in the output → template of the folder, or of ``shared`` beside it.
        stack: known to the templates as ``stack``.
        known: further names that the templates use; decisions of the target that the stack does not hold.
    """
    names = dict(known) | {"stack": stack}
    return {path: fill(folder, template, names) for path, template in sorted(templates.items())}


def render_terraform(
    folder: str, templates: Mapping[str, str], stack: Stack, known: Mapping[str, Any]
) -> Mapping[str, str]:
    """The same for a Terraform root or module, whose ``README.md`` lists variables and outputs of the other files."""
    form = {path: f"{stack.provider}_{path}.j2" for path in ("providers.tf", "versions.tf")}
    known = {**known, **cache_facts(stack)}
    files = dict(render(folder, {**templates, **form, **cache_files(stack, Language.TERRAFORM)}, stack, known))
    del files[_ROOT_ALONE if stack.component else _MODULE_ALONE]
    inputs = declarations("\n".join(text for path, text in files.items() if path.count("/") == 0), "variable")
    outputs = declarations("\n".join(text for path, text in files.items() if path.count("/") == 0), "output")
    declared = {"inputs": inputs, "outputs": outputs, "rights": rights_of(files.values())}
    readme = render(folder, {"README.md": "README.md.j2"}, stack, dict(known) | declared)
    return _with_readme(files, readme["README.md"], stack)


def render_pulumi(
    folder: str, templates: Mapping[str, str], stack: Stack, known: Mapping[str, Any]
) -> Mapping[str, str]:
    """The same for a Pulumi program in Python, with the files that every such project has.

    Args:
        folder: below ``templates/``, such as ``pulumi-python/aws-ec2``.
        templates: of this target: at least ``__main__.py``, ``inference/settings.py`` (with ``Settings``) and
            ``inference/deployment.py`` (with the component ``Deployment``); the ``README.md`` lists what they declare.
        stack: known to the templates as ``stack``.
        known: at least ``packages`` (requirements of the provider's SDK) and ``configuration`` (setting → example of
            a value, for the stack's configuration file).
    """
    provider = {"inference/provider.py": f"{stack.provider}_provider.py.j2"}
    known = {**known, **cache_facts(stack)}
    more = provider | dict(cache_files(stack, Language.PYTHON))
    files = dict(render(folder, _PULUMI_PROJECT | more | dict(templates), stack, known))
    declared = {"inputs": settings_of(files), "outputs": outputs_of(files), "rights": rights_of(files.values())}
    readme = render(folder, {"README.md": "README.md.j2"}, stack, dict(known) | declared)
    written = _with_readme(files, readme["README.md"], stack)
    return written if stack.component is None else dict(sorted(_component(folder, written, stack, known).items()))


def _with_readme(files: Mapping[str, str], readme: str, stack: Stack) -> Mapping[str, str]:
    return dict(sorted((dict(files) | {"README.md": with_section(readme, stack)}).items()))


def _component(folder: str, files: Mapping[str, str], stack: Stack, known: Mapping[str, Any]) -> dict[str, str]:
    """The program around ``advisor.pulumi``, from the files of the whole source."""
    needed = {setting.name for setting in settings_of(files) if not setting.default}
    arguments = {name: _getter(value, is_needed=name in needed) for name, value in known["configuration"].items()}
    more = {"arguments": arguments, "first_needed": next(name for name in arguments if name in needed)}
    kept = {path: text for path, text in files.items() if not _SOURCE.fullmatch(path)}
    plan = {} if stack.component is None else {"plan.json": stack.component.plan}
    return kept | plan | dict(render(folder, _COMPONENT, stack, dict(known) | more))


def _getter(value: object, *, is_needed: bool) -> str:
    """Method of ``pulumi.Config`` for a setting with such a value."""
    return ("require" if is_needed else "get") + ("" if isinstance(value, str) else "_object")


def declarations(text: str, kind: str) -> tuple[Declaration, ...]:
    """The variables or outputs that code declares, in its order."""
    return tuple(
        Declaration(
            name=match["name"],
            description=_unescape(match["description"]),
            type=_type(match["type"] or "", is_long=bool(match["more"])),
            default="{…}" if (match["default"] or "").endswith(("{", "[")) else match["default"] or "",
        )
        for match in _DECLARATION.finditer(text)
        if match[0].startswith(kind)
    )


def _type(first_line: str, *, is_long: bool) -> str:
    """A type on one line, with what a longer one holds left out."""
    return first_line.removesuffix("{") + "{…}" + ")" * first_line.count("(") if is_long else first_line


def _unescape(literal: str) -> str:
    """The text of an HCL string literal, as far as descriptions need it."""
    return re.sub(r"\\(.)", r"\1", literal)
