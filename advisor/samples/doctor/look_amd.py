"""A process of its own: what AMD's library shows, as a line of JSON."""

import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any


def main(_: Sequence[str]) -> int:
    """Print what there is; the exit status."""
    sys.stdout.write(json.dumps(_look()) + "\n")
    return 0


def _look() -> dict[str, Any]:
    try:
        amdsmi = importlib.import_module("amdsmi")  # prints and raises KeyError where its library is absent
        amdsmi.amdsmi_init()
        return {"devices": len(amdsmi.amdsmi_get_processor_handles())}
    except ImportError:
        return {"error": "no_binding"}
    except Exception as error:  # noqa: BLE001 - this library raises anything, and this process is here to be broken
        return {"error": "other", "words": f"{type(error).__name__}: {error}"[:200]}
