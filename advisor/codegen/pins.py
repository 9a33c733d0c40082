"""Pins: what a name stood for when it was resolved, kept in a file beside the code from run to run."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from advisor.errors import InputError
from advisor.reading import json_of
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class PinFile:
    """A JSON file with one object of names and pins."""

    name: str
    nouns: str
    """Names and pins in words, as in "images and digests"."""
    checked: Callable[[str, str], tuple[str, str]]
    """A name and its pin, as they are used. Raises ValueError, TypeError or InputError for others."""

    def written(self, names: Iterable[str], pins: Mapping[str, str]) -> Mapping[str, str]:
        """The file with the pins of the names in use; none where none is known."""
        kept = {name: pins[name] for name in names if name in pins}
        return {self.name: json.dumps(kept, indent=2, sort_keys=True) + "\n"} if kept else {}

    def kept_in(self, directory: Path) -> Mapping[str, str]:
        """The pins that an earlier run kept in *directory*; none without the file. Raises InputError if damaged."""
        path = directory / self.name
        try:
            document = json_of(path.read_text("utf-8"), str(path))
            return dict(self.checked(name, pin) for name, pin in document.items())
        except FileNotFoundError:
            return {}
        except (InputError, OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"this is not a list of {self.nouns}: {error}",
                where=str(path),
                hint="delete it, and run the command with --resolve-digests",
            ) from error
