"""The folder ``kubernetes/`` in the form that is asked for: manifests, or what another project deploys models with.

One module for each project; all print the values of :mod:`advisor.codegen.kubernetes`, so that no number depends
on the form.
"""

from collections.abc import Callable, Mapping

from advisor.codegen import kubernetes
from advisor.codegen.container import MANIFEST_FORMS, Form
from advisor.codegen.forms import dynamo, kserve, pools, production_stack, shared
from advisor.codegen.forms.shared import with_fixed_replicas, with_node_disks
from advisor.codegen.kubernetes import ClusterFacts
from advisor.codegen.kubernetes_scaling import with_joined_replicas, with_taken_steps
from advisor.codegen.model import Stack
from advisor.codegen.prometheus_rules import left_out
from advisor.codegen.rollout import AT_ONCE
from advisor.codegen.templates import fill
from advisor.errors import InputError
from advisor.records import replace

__all__ = ["adapted", "kubernetes_files", "with_objects"]

_FOLDER = "kubernetes/"
_README = f"{_FOLDER}README.md"
_WEIGHTS = "route-weights"
"""Name of the objects that look after weights."""
_FILES: Mapping[Form, Callable[[Stack, ClusterFacts], Mapping[str, str]]] = {
    Form.MANIFESTS: kubernetes.kubernetes_files,
    Form.INFERENCE_POOL: pools.inference_pool_files,
    Form.KSERVE: kserve.files,
    Form.PRODUCTION_STACK: production_stack.files,
    Form.LLM_D: pools.llm_d_files,
    Form.DYNAMO: dynamo.files,
}
_OBSTACLES: Mapping[Form, Callable[[Stack], str]] = {
    Form.INFERENCE_POOL: pools.obstacle,
    Form.KSERVE: kserve.obstacle,
    Form.PRODUCTION_STACK: production_stack.obstacle,
    Form.LLM_D: pools.obstacle,
    Form.DYNAMO: dynamo.obstacle,
}


def adapted(stack: Stack, *, is_cluster: bool, image: str = "") -> Stack:
    """The stack as clusters and its form run it: with the form's own image, where it has one and the user names none.

    Args:
        stack: with a target.
        is_cluster: the target runs Kubernetes.
        image: the user's own; "": none.

    Raises:
        InputError: the target has no forms.
    """
    if stack.form is not Form.MANIFESTS and not is_cluster:
        raise InputError(
            f"{stack.target} runs no Kubernetes", where=f"--form {stack.form}", hint="take --target eks, gke or aks"
        )
    if is_cluster:
        stack = with_taken_steps(with_node_disks(with_joined_replicas(with_fixed_replicas(stack))))
        stack = replace(stack, slo_left_out=(*stack.slo_left_out, *left_out(stack)))
    return dynamo.with_its_image(stack) if stack.form is Form.DYNAMO and not image else stack


def kubernetes_files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """Path → text of what is applied to the clusters, below ``kubernetes/``, with its README.

    Raises:
        InputError: the form cannot run the stack; the message says why, and which forms can.
    """
    obstacle = _obstacle(stack, stack.form)
    if obstacle:
        others = [form.value for form in Form if not _obstacle(stack, form)]
        at_once = f"; {AT_ONCE}" if stack.cut_over else ""
        raise InputError(obstacle, where=f"--form {stack.form}", hint=f"forms that can: {', '.join(others)}{at_once}")
    files = dict(_FILES[stack.form](stack, cluster_facts))
    weighted = {path.split("/")[1] for path, text in files.items() if _WEIGHTS in text and path != _README}
    if stack.form not in MANIFEST_FORMS:
        files |= kubernetes.monitoring_files(stack, cluster_facts, weighted)
        alerts = {"stack": stack, "alerts": kubernetes.alerts_of(stack, weighted), "facts": cluster_facts}
        files[_README] += fill("kubernetes", "forms/alerts.md.j2", alerts)
    if cluster_facts.has_own_nodes:
        files[_README] += shared.words(stack, weighted)  # else the code that applies them removes what is left
    return files


def with_objects(
    stack: Stack, cluster_facts_of: Callable[[Stack], ClusterFacts], *files: Mapping[str, str]
) -> Mapping[str, str]:
    """Files of a language with the Kubernetes objects that all languages have, by path."""
    together = dict(_objects_of(stack, cluster_facts_of))
    for some in files:
        together |= some
    return dict(sorted(together.items()))


def _objects_of(stack: Stack, cluster_facts_of: Callable[[Stack], ClusterFacts]) -> Mapping[str, str]:
    """Path → text of what is applied to the clusters: of a machine with tenants a folder for each, in its namespace.

    Args:
        stack: with its own pods, or with tenants.
        cluster_facts_of: the clusters' facts for a stack with pods of its own.
    """
    if not stack.tenants:
        return kubernetes_files(stack, cluster_facts_of(stack))
    files: dict[str, str] = {}
    ignored: list[str] = []
    for tenant in stack.tenants:
        own = dict(kubernetes_files(tenant, cluster_facts_of(tenant)))
        ignored.append(own.pop(kubernetes.IGNORED_FINDINGS))
        files |= {f"{_FOLDER}{tenant.name}/{path.removeprefix(_FOLDER)}": text for path, text in own.items()}
    files[_README] = fill("kubernetes", "tenants.md.j2", {"stack": stack})
    # Of one kind of accelerator: whoever has more reasons has all of them.
    return {**files, kubernetes.IGNORED_FINDINGS: max(ignored, key=len)}


def _obstacle(stack: Stack, form: Form) -> str:
    return _OBSTACLES[form](stack) if form in _OBSTACLES else ""
