"""Commands of a cut-over: what shows whether groups serve, and what removes objects from clusters."""

from collections.abc import Iterable, Iterator, Mapping

from advisor.codegen.model import ComputeGroup, Scaling, Stack
from advisor.codegen.rollout import Rollout
from advisor.codegen.wanted import Form

_HOSTS = "--query 'AutoScalingGroups[].Instances[].[InstanceId,LifecycleState,HealthStatus]'"
_PODS = "kubectl --namespace {name} get pods --selector inference/group={key}"
_GOOGLE_HOSTS = "gcloud compute backend-services get-health {name}-{region} --region {region}"
_TAKE_OVER = (
    "gcloud compute backend-services update-backend {name}-{region} --region {region} --instance-group NAME "
    "--instance-group-region {region} --capacity-scaler 1"
)
_CHECKS: Mapping[str, str] = {
    "ec2": "aws autoscaling describe-auto-scaling-groups --region {region} --filters Name=tag:Group,Values={key} "
    + _HOSTS,
    "sagemaker": "aws sagemaker describe-endpoint --region {region} --endpoint-name {name} "
    "--query 'ProductionVariants[].[VariantName,CurrentInstanceCount,DesiredInstanceCount]'",
    "eks": _PODS,
    "eks-karpenter": _PODS,
    "gke": _PODS,
    "aks": _PODS,
    "kubernetes": _PODS,
    "mig": _GOOGLE_HOSTS,
    "tpu-vm": _GOOGLE_HOSTS,
    "vm-scale-set": "az vmss get-instance-view --instance-id '*' --query '[].vmHealth.status.code' "
    "--ids $(az vmss list --query \"[?tags.Group=='{key}'].id\" --output tsv)",
    "cloud-run": "gcloud run services list --region {region}",
    "ibm-vpc": "ibmcloud is load-balancer-pool-members {name} {name}-{key}",
    "container-apps": "az containerapp list --query \"[?tags.Group=='{key}'].[name,properties.runningStatus]\"",
}
"""Target → command that shows whether the instances of a group serve."""
_REMOVING = ("kubernetes",)
"""Targets whose code applies the objects, and removes those that it holds no longer."""
_REGION = "terraform destroy -target=kustomization_resource.{resource}_first # Pulumi removes a region by itself"
"""Resources of a region go before its provider, which is part of the code; the others depend on the first."""
_OBJECTS = "kubectl --namespace {name} delete --filename kubernetes/{region}/{backend}.yaml"
_REMOVALS: Mapping[Form, tuple[str, tuple[str, ...]]] = {
    Form.MANIFESTS: ("backend", (_OBJECTS,)),
    Form.INFERENCE_POOL: ("backend", (_OBJECTS, "kubectl --namespace {name} delete inferencepools {backend}")),
    Form.LLM_D: ("backend", (_OBJECTS, "helm uninstall {backend} --namespace {name}")),
    Form.KSERVE: ("key", ("kubectl --namespace {name} delete llminferenceservices {group}",)),
    Form.PRODUCTION_STACK: ("region", ("helm uninstall {name} --namespace {name}",)),
    Form.DYNAMO: ("region", ("kubectl --namespace {name} delete --filename kubernetes/{region}/dynamo.yaml",)),
}
"""Form → what of a group goes with its last one, and the commands that take it away; the rest goes with an update."""


def checks(stack: Stack, groups: Iterable[ComputeGroup]) -> tuple[str, ...]:
    """Commands that show whether the instances of groups serve, each once."""
    command = _CHECKS[stack.target]
    told = (
        command.format(name=stack.name, region=group.region, key=group.key, backend=group.backend) for group in groups
    )
    return tuple(dict.fromkeys(told))


def take_over(stack: Stack, region: str) -> str:
    """Command that sends requests of a region to a group without a share, on Google Cloud."""
    return _TAKE_OVER.format(name=stack.name, region=region)


def removals(stack: Stack, rollout: Rollout) -> Iterator[str]:
    """Commands for what goes with its last group, where nothing removes objects of clusters by itself."""
    if _CHECKS[stack.target] != _PODS:
        return
    unit, commands = ("region", (_REGION,)) if stack.target in _REMOVING else _REMOVALS[stack.form]
    kept = {getattr(group, unit) for group in stack.groups}
    going = {getattr(group, unit): group for group in rollout.retiring if getattr(group, unit) not in kept}
    for _, group in sorted(going.items()):
        facts = {
            "name": stack.name,
            "region": group.region,
            "backend": group.backend,
            "group": group.key,
            "resource": group.region.replace("-", "_"),
        }
        yield from (command.format(**facts) for command in commands)
        if stack.form is Form.KSERVE and stack.scaling is not Scaling.STATIC:
            yield "kubectl --namespace {name} delete scaledobjects {group}".format(**facts)
