"""YAML of others as values: whatever its tags, numbers, merges and nesting, it is read in bounds or refused."""

from typing import Any

import yaml

from advisor.names import printable

_MOST_DIGITS = 40
_MOST_MERGED = 100
"""Merges (``<<``) of one mapping: a merge of merges multiplies."""
_MOST_KEYS = 10_000
_SHOWN = 200
_MERGE = "tag:yaml.org,2002:merge"


class UnreadableYamlError(ValueError):
    """Text that is no YAML, or none that can be read in bounds; its message says why."""


class _Loader(yaml.SafeLoader):
    """The safe loader, without numbers that take long to read and without merges that multiply."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - inherited
        is_number = node.tag.endswith((":int", ":float"))
        if is_number and isinstance(node.value, str) and len(node.value) > _MOST_DIGITS:
            raise UnreadableYamlError(f"a number of more than {_MOST_DIGITS} digits")
        return super().construct_object(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        merged = [value for key, value in node.value if key.tag == _MERGE]
        count = sum(len(value.value) if isinstance(value, yaml.SequenceNode) else 1 for value in merged)
        if count > _MOST_MERGED:
            raise UnreadableYamlError(f"a mapping merges more than {_MOST_MERGED} others")
        super().flatten_mapping(node)
        if merged and len(node.value) > _MOST_KEYS:
            raise UnreadableYamlError(f"a mapping of more than {_MOST_KEYS:,} keys by merges")


def yaml_value(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Value of a YAML text.

    Raises:
        UnreadableYamlError: it is no YAML, nests too deeply, or is out of bounds.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except RecursionError:
        raise UnreadableYamlError("it nests too deeply") from None
    except yaml.YAMLError as error:
        raise UnreadableYamlError(_problem(error)) from None
    except UnreadableYamlError:
        raise
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
        raise UnreadableYamlError("a value does not fit its tag") from None


def _problem(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    line = f" in line {mark.line + 1}" if mark else ""
    return f"{printable(problem or 'it cannot be parsed')[:_SHOWN]}{line}"
