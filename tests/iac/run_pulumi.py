"""Evaluates a whole Pulumi program in Python with no engine: prints every resource with its inputs, and the exports.

usage: run_pulumi.py PROGRAM_DIR [CONFIG.json]      CONFIG: key → value of the project's configuration
"""

import asyncio
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks, stack

_TIMEOUT_SECONDS = 120


class Cloud(mocks.Mocks):
    """Answers every registration with the inputs and made-up outputs."""

    def __init__(self) -> None:
        """Nothing is registered yet."""
        self.registered: list[dict[str, Any]] = []

    def new_resource(self, args):
        """Record it."""
        self.registered.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        made_up = {"arn": f"arn:aws:sim:us-east-1:123456789012:{args.name}", "name": args.name, "latestVersion": 1}
        return f"{args.name}-id", made_up | args.inputs

    def call(self, args):
        """Record it, and answer with the question."""
        self.registered.append({"type": args.token, "name": "", "inputs": args.args})
        return dict(args.args) | {"id": "made-up", "json": "{}"}


def evaluate(program: Path, configuration: dict[str, Any]) -> dict[str, Any]:
    """Resources and exports of the program."""
    project = yaml.safe_load((program / "Pulumi.yaml").read_text())["name"]
    cloud, exports = Cloud(), {}
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    mocks.set_mocks(cloud, project=project, stack="test", preview=False)
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in configuration.items()}
    pulumi.runtime.set_all_config({key if ":" in key else f"{project}:{key}": value for key, value in values.items()})
    export = pulumi.export

    def note(name: str, value: Any) -> None:
        exports[name] = value
        export(name, value)

    pulumi.export = note

    def run() -> None:
        sys.path.insert(0, str(program))
        runpy.run_path(str(program / "__main__.py"), run_name="__main__")

    async def wait() -> dict[str, Any]:
        await asyncio.wait_for(stack.run_pulumi_func(run), _TIMEOUT_SECONDS)
        return {name: await pulumi.Output.from_input(value).future() for name, value in exports.items()}

    outputs = loop.run_until_complete(wait())
    return {"resources": cloud.registered, "outputs": outputs}


def main(program: str, configuration: str = "") -> None:
    """Print what the program registers."""
    values = json.loads(Path(configuration).read_text()) if configuration else {}
    sys.stdout.write(json.dumps(evaluate(Path(program).resolve(), values), indent=1, default=str, sort_keys=True))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
