"""Commands for what a former plan or form left in a cluster: neither kubectl nor Helm removes it with an update."""

from collections.abc import Iterator, Mapping
from itertools import product

from advisor.codegen.model import Stack
from advisor.codegen.templates import fill
from advisor.codegen.wanted import Form

_SCALED_OBJECT = "keda.sh/v1alpha1/ScaledObject"
_MANIFESTS: Mapping[str, tuple[str, ...]] = {
    "--kustomize {region}": (
        "apps/v1/Deployment",
        "core/v1/Service",
        "policy/v1/PodDisruptionBudget",
        _SCALED_OBJECT,
    )
}
_PRUNED: Mapping[Form, Mapping[str, tuple[str, ...]]] = {
    Form.MANIFESTS: _MANIFESTS,
    Form.LLM_D: _MANIFESTS,
    Form.INFERENCE_POOL: {
        **_MANIFESTS,
        "--filename {region}/inference-pool.yaml": ("inference.networking.k8s.io/v1/InferencePool",),
    },
    Form.KSERVE: {
        "--filename {region}/llm-inference-services.yaml": (
            "serving.kserve.io/v1alpha2/LLMInferenceService",
            _SCALED_OBJECT,
        )
    },
    Form.DYNAMO: {"--filename {region}/dynamo.yaml": (_SCALED_OBJECT,)},
}
"""Form → what is applied → kinds of objects whose number follows the plan. Helm removes what a release drops."""
_ROUTES: Mapping[str, tuple[str, ...]] = {"--filename {region}/route.yaml": ("gateway.networking.k8s.io/v1/HTTPRoute",)}
"""The same of a server with the models of several workloads, each of which has a route; by the file itself, since the
kustomization names it only once somebody has added it, and would else take away routes that serve."""
_DELETE = "kubectl --context CONTEXT --namespace {name} delete --ignore-not-found "
_UNINSTALL = "helm uninstall --ignore-not-found --kube-context CONTEXT --namespace {name} "
_MADE: Mapping[Form, tuple[str, ...]] = {
    Form.MANIFESTS: (
        _DELETE + "deployments,poddisruptionbudgets {groups}",
        _DELETE + "services inference {backends}",
        _DELETE + "httproutes inference",
    ),
    Form.INFERENCE_POOL: (_DELETE + "inferencepools {backends}",),
    Form.LLM_D: (_UNINSTALL + "{backends}",),
    Form.KSERVE: (_DELETE + "llminferenceservices {groups}",),
    Form.PRODUCTION_STACK: (_UNINSTALL + "{name}",),
    Form.DYNAMO: (_DELETE + "dynamographdeployments {name}",),
}
"""Form → commands for what it alone makes."""
_ON_MANIFESTS = (Form.MANIFESTS, Form.INFERENCE_POOL, Form.LLM_D)


def words(stack: Stack) -> str:
    """Section of ``kubernetes/README.md`` that names the commands."""
    known = {
        "pruned": [*_pruned(stack, _PRUNED.get(stack.form, {}))],
        "routes": [*_pruned(stack, _ROUTES)] if stack.models else [],
        "former": {
            form.value: [command for region in stack.regions for command in _made(stack, region.name, form)]
            for form in Form
            if form is not stack.form and not (form is Form.MANIFESTS and stack.form in _ON_MANIFESTS)
        },
    }
    return fill("kubernetes", "forms/leftovers.md.j2", known)


def _pruned(stack: Stack, applied: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for region, (source, kinds) in product(stack.regions, applied.items()):
        allowed = " ".join(f"--prune-allowlist {kind}" for kind in kinds)
        yield (
            f"kubectl --context CONTEXT --namespace {stack.name} apply --prune "
            f"--selector app.kubernetes.io/part-of={stack.name} {allowed} {source.format(region=region.name)}"
        )


def _made(stack: Stack, region: str, form: Form) -> Iterator[str]:
    groups = [group.key for group in stack.groups if group.region == region]
    backends = [backend.key for backend in stack.backends if backend.region == region]
    for command in _MADE[form]:
        yield command.format(name=stack.name, groups=" ".join(groups), backends=" ".join(backends))
