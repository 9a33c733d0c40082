"""Templates in which an undefined name, or a value without a quoting filter, is an error."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from advisor.codegen import copied_files, quoting
from advisor.codegen.inputs import table, variables
from advisor.codegen.python_literals import class_names, python_value
from advisor.data_files import data_dir
from advisor.records import picked

if TYPE_CHECKING:
    import jinja2

_FILTERS: Mapping[str, Callable[..., quoting.Quoted]] = {
    **picked(
        quoting, "comment_text", "hcl_number", "hcl_row", "hcl_string", "hcl_value", "hub_name",
        "image_reference", "ip_network", "json_list", "kubernetes_argument", "kubernetes_variable", "label_key",
        "markdown_code", "markdown_text", "name", "number_range", "systemd_command", "systemd_path",
        "systemd_value", "yaml_integer", "yaml_string", "yaml_value",
    ),
    **picked(variables, "hcl_arguments", "hcl_example_file", "hcl_examples", "hcl_ids", "hcl_variables"),
    **picked(variables, "python_checks", "python_settings"),
    **picked(copied_files, "hub_files", "hub_remark"),
    "class_names": class_names,
    "python_value": python_value,
}  # fmt: skip


def fill(folder: str, template: str, context: Mapping[str, Any]) -> str:
    """A template of a folder below ``templates/``, such as ``terraform/aws-ec2``, filled with what is known.

    Templates of the folders ``shared`` beside it (for its language) and above it (for all) can be used as if they were
    its own.
    """
    return _environment(folder).get_template(template).render(context)


def evaluate(expression: str, context: Mapping[str, Any]) -> object:
    """Value of an expression of the template language."""
    return _environment("shared").compile_expression(expression, undefined_to_none=False)(**context)


def fill_text(text: str, context: Mapping[str, Any]) -> str:
    """A short text filled with what is known."""
    return _environment("shared").from_string(text).render(context) if "{%" in text or "{{" in text else text


@cache
def _environment(folder: str) -> "jinja2.Environment":
    import jinja2  # noqa: PLC0415 - commands that write no code stay quick

    root = data_dir("templates")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([root / folder, (root / folder).parent / "shared", root / "shared"]),
        undefined=jinja2.StrictUndefined,
        finalize=_require_quoted,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML is written; _require_quoted takes the place of escaping
    )
    environment.filters.update(_FILTERS)
    environment.filters |= picked(variables, "check_helpers", "takes_networks") | picked(table, "id_words")
    return environment


def _require_quoted(value: object) -> object:
    if isinstance(value, quoting.Quoted):
        return value
    raise TypeError(f"a template prints {value!r} without a quoting filter")
