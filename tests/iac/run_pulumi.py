"""Evaluates whole Pulumi programs in Python with no engine: what each registers, reads and exports, and its own tests.

usage: run_pulumi.py JOBS.json [DIRECTORY …]

JOBS.json is a list of {"program": DIRECTORY, "configuration": {KEY: VALUE}, "answers": {…}}; in the other directories are
advisor and what it needs, for programs that import it.

Prints a list in the same order: {"resources", "calls", "outputs", "tests"}, or {"error"} where a program fails.
"""

import asyncio
import importlib
import io
import json
import os
import runpy
import sys
import tempfile
import traceback
import unittest
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks, stack

_TIMEOUT_SECONDS = 120
_SDKS = ("pulumi_aws", "pulumi_azure", "pulumi_gcp", "pulumi_kubernetes")
_MADE_UP = {"aws:eks/nodeGroup:NodeGroup": {"resources": [{"autoscalingGroups": [{"name": "eks-group"}]}]}}
"""Outputs that programs read, beside those of every resource."""
_IDS = {"aws:ec2/vpc:Vpc": "vpc-{:x}", "aws:ec2/subnet:Subnet": "subnet-{:x}"}
"""Ids that look as those of the cloud do, from a number; those of other types are their names."""


class Cloud(mocks.Mocks):
    """Answers every registration with the inputs and made-up outputs."""

    def __init__(self, answers: dict[str, Any]) -> None:
        """Nothing is registered yet."""
        self.answers = answers
        self.registered: list[dict[str, Any]] = []
        self.called: list[dict[str, Any]] = []

    def new_resource(self, args):
        """Record it."""
        self.registered.append({"type": args.typ, "name": args.name, "inputs": args.inputs, "provider": args.provider})
        made_up = {"arn": f"arn:aws:sim:us-east-1:123456789012:{args.name}", "name": args.name, "latestVersion": 1}
        number = int.from_bytes(args.name.encode()[-4:])
        return _IDS.get(args.typ, f"{args.name}-id").format(number), made_up | _MADE_UP.get(args.typ, {}) | args.inputs

    def call(self, args):
        """Record it, and answer with the question."""
        self.called.append({"type": args.token, "name": "", "inputs": args.args})
        return {"id": "made-up"} | self.answers | dict(args.args)


def evaluate(program: Path, configuration: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Resources, calls and exports of the program."""
    project = yaml.safe_load((program / "Pulumi.yaml").read_text())["name"]
    cloud, exports = Cloud(answers), {}
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

    async def wait() -> dict[str, Any]:
        run = stack.run_pulumi_func(lambda: runpy.run_path(str(program / "__main__.py"), run_name="__main__"))
        await asyncio.wait_for(run, _TIMEOUT_SECONDS)
        return {name: await pulumi.Output.from_input(value).future() for name, value in exports.items()}

    outputs = loop.run_until_complete(wait())
    return {"resources": cloud.registered, "calls": cloud.called, "outputs": outputs}


def own_tests(program: Path) -> str:
    """What the program's own tests say."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    said = io.StringIO()
    suite = unittest.defaultTestLoader.discover(str(program), top_level_dir=str(program))
    result = unittest.TextTestRunner(said, verbosity=2).run(suite)
    return "passed" if result.wasSuccessful() and result.testsRun else said.getvalue()


def in_child(directory: Path, work) -> Any:
    """The result of *work* in a copy of this process, which has the SDKs loaded; run where the engine would run it."""
    with tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if child == 0:
            try:
                os.chdir(directory)
                result = json.dumps(work(), default=str)
            except BaseException:  # noqa: BLE001 - whatever ends a program is the answer
                result = json.dumps({"error": traceback.format_exc()})
            answer.write(f"{json.dumps(loaded_services())}\n{result}")
            answer.flush()
            os._exit(0)
        os.waitpid(child, 0)
        answer.seek(0)
        for service in json.loads(answer.readline()):
            importlib.import_module(service)
        return json.load(answer)


def loaded_services() -> list[str]:
    """Modules of the SDKs that take seconds to load, each once for all programs: the next copies have them."""
    return [name for name in sys.modules if name.startswith(_SDKS) and name.count(".") == 1]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """One program, and its tests if it has any."""
    program = Path(job["program"]).resolve()
    sys.path.insert(0, str(program))
    found = in_child(program, lambda: evaluate(program, job["configuration"], job.get("answers", {})))
    if (program / "tests").is_dir():
        found["tests"] = in_child(program, lambda: own_tests(program))
    sys.path.pop(0)
    return found


def main(jobs: str, *path: str) -> None:
    """Print what the programs register."""
    sys.path += path
    for sdk in _SDKS:
        importlib.import_module(sdk)
    if path:
        importlib.import_module("advisor.pulumi")
        importlib.import_module("advisor.catalog").load_catalog()
    sys.stdout.write(json.dumps([run(job) for job in json.loads(Path(jobs).read_text())], indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
