"""Verdicts of Pulumi programs on values of their settings: as they are read and held to the plan, with nothing registered.

usage: check_settings.py JOBS.json

JOBS.json is a list of {"program": DIRECTORY, "values": {SETTING: VALUE}, "changes": [{SETTING: VALUE}, …]}. Prints, for each
change, "" where the program takes the values with that change, else what it says.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pulumi


def verdicts(job: dict[str, Any]) -> list[str]:
    """What the program says of each change."""
    sys.path.insert(0, job["program"])
    try:
        configuration, settings, deployment, fleet = (
            importlib.import_module(f"inference.{name}")
            for name in ("configuration", "settings", "deployment", "fleet")
        )
        return [
            _verdict(configuration, settings, deployment, fleet, {**job["values"], **change})
            for change in job["changes"]
        ]
    finally:
        sys.path.pop(0)
        for name in [name for name in sys.modules if name.partition(".")[0] == "inference"]:
            del sys.modules[name]


def _verdict(configuration: Any, settings: Any, deployment: Any, fleet: Any, values: dict[str, Any]) -> str:
    try:
        given = configuration.filled(settings.Settings, values)
        deployment.DeploymentArgs(settings=given, fleet=fleet.FLEET)
    except pulumi.RunError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a program that breaks is the answer
        return f"broken: {error!r}"
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps([verdicts(job) for job in json.loads(Path(sys.argv[1]).read_text())]))
