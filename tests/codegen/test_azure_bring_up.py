"""An Azure host as a process of its own, with loopback services in place of Azure's."""

import json
import subprocess
import sys

import pytest

from advisor.codegen import Language, generate
from codegen.azure_services import CHANGED, serving
from codegen.scenarios import SCENARIOS
from codegen.test_azure_host import SETTINGS, furnish, moved

MODEL = "v1/organisation/model/"
BLOBS = {
    f"{MODEL}config.json": b"{}",
    f"{MODEL}folder/shard 1.safetensors": bytes(range(256)) * 4096,
    "v1/other": b"no",
}


@pytest.fixture
def azure():
    """Services with a model."""
    with serving(BLOBS) as server:
        yield server


@pytest.fixture
def host(azure, tmp_path):
    """Runs a verb of the program on a host that is a folder."""
    scenario = SCENARIOS["vm-scale-set-reactive"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["host.py"]
    source = {"container_url": f"{azure.url}/models", "prefix": MODEL, "model": "organisation/model"}
    furnish(tmp_path, {**SETTINGS, "weights": source})
    program = tmp_path / "host.py"
    program.write_text(moved(text, tmp_path).replace("http://169.254.169.254", azure.url))

    def run(verb):
        return subprocess.run([sys.executable, program, verb], capture_output=True, text=True, timeout=20, check=False)

    run.folder = tmp_path / "var/cache/inference/weights/organisation/model"
    return run


def test_weights_are_copied_once(host, azure):
    """Every file of the model and no other; the second start copies nothing."""
    assert host("weights").returncode == 0
    files = {str(path.relative_to(host.folder)): path.read_bytes() for path in host.folder.rglob("*") if path.is_file()}
    assert files == {name.removeprefix(MODEL): blob for name, blob in BLOBS.items() if name.startswith(MODEL)}
    azure.asked.clear()
    assert host("weights").returncode == 0
    assert [path for path, _ in azure.asked if "safetensors" in path] == []


def test_copy_that_breaks_off_goes_on(host, azure):
    """A cut connection and a program that was ended cost only the rest."""
    azure.cut_at = 1000
    del azure.blobs[f"{MODEL}config.json"]
    assert host("weights").returncode == 0
    assert [one for _, one in azure.asked if one] == ["bytes=0-", "bytes=1000-"]
    assert (host.folder / "folder/shard 1.safetensors").read_bytes() == BLOBS[f"{MODEL}folder/shard 1.safetensors"]
    assert (host.folder / "folder/shard 1.safetensors").stat().st_mtime == CHANGED


def test_new_version_is_copied_anew(host):
    """A half of an old version is no start of a new one."""
    (host.folder / "folder").mkdir(parents=True)
    (host.folder / "folder/.shard 1.safetensors.0xOLD").write_bytes(b"old")
    assert host("weights").returncode == 0
    assert (host.folder / "folder/shard 1.safetensors").read_bytes() == BLOBS[f"{MODEL}folder/shard 1.safetensors"]


@pytest.mark.parametrize(
    ("blobs", "told"),
    [({}, "holds nothing: copy the model there first"), ({f"{MODEL}../../x": b"x"}, "names with '..' in them")],
)
def test_source_that_cannot_be_copied_is_named(blobs, told, host, azure):
    """What is wrong and how to mend it, in one line."""
    azure.blobs = blobs
    ended = host("weights")
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_service_that_refuses_is_named(host, azure):
    """The log says which address said no."""
    settings = json.loads((host.folder.parents[5] / "etc/inference/settings.json").read_text())
    settings["weights"]["container_url"] = f"{azure.url}/elsewhere"
    (host.folder.parents[5] / "etc/inference/settings.json").write_text(json.dumps(settings))
    ended = host("weights")
    assert "/elsewhere?restype=container" in ended.stderr
    assert "404" in ended.stderr
    assert "Traceback" not in ended.stderr
