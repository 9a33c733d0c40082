"""Rights that the person needs who applies generated code: on AWS services, on Google Cloud roles, by its resources.

Sources: prefixes of actions in AWS's Service Authorization Reference; Google's predefined roles and their permissions
(November 2026).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple


class Right(NamedTuple):
    """A right that resources need."""

    name: str
    """Prefix of the actions of a service, such as ``ec2``, or a role."""
    place: str = ""
    """Where it is given; "": the account or project that is deployed to."""


_RIGHTS = (
    ("aws_appautoscaling_", "aws.appautoscaling.", Right("application-autoscaling")),
    ("aws_autoscaling_", "aws.autoscaling.", Right("autoscaling")),
    ("aws_budgets_", "aws.budgets.", Right("budgets")),
    ("aws_ce_", "aws.costexplorer.", Right("ce")),
    ("aws_cloudwatch_event_", "aws.cloudwatch.Event", Right("events")),
    ("aws_cloudwatch_log_", "aws.cloudwatch.Log", Right("logs")),
    ("aws_cloudwatch_metric_", "aws.cloudwatch.Metric", Right("cloudwatch")),
    ("aws_eks_", "aws.eks.", Right("eks")),
    ("aws_elasticache_", "aws.elasticache.", Right("elasticache")),
    ("aws_iam_", "aws.iam.", Right("iam")),
    ("aws_kms_", "aws.kms.", Right("kms")),
    ("aws_launch_template", "aws.ec2.", Right("ec2")),
    ("aws_lb", "aws.lb.", Right("elasticloadbalancing")),
    ("aws_route53_", "aws.route53.", Right("route53")),
    ("aws_sagemaker_", "aws.sagemaker.", Right("sagemaker")),
    ("aws_security_group", "aws.ec2.", Right("ec2")),
    ("aws_sfn_", "aws.sfn.", Right("states")),
    ("aws_sns_", "aws.sns.", Right("sns")),
    ("aws_vpc", "aws.vpc.", Right("ec2")),
    (
        "google_artifact_registry_", "gcp.artifactregistry.",
        Right("roles/artifactregistry.admin", "the repositories of the images"),
    ),
    ("google_billing_", "gcp.billing.", Right("roles/billing.costsManager", "the billing account")),
    ("google_cloud_run_", "gcp.cloudrunv2.", Right("roles/run.admin")),
    ("google_compute_address", "gcp.compute.Address", Right("roles/compute.loadBalancerAdmin")),
    (
        "google_compute_firewall", "gcp.compute.Firewall",
        Right("roles/compute.securityAdmin", "the project of the network"),
    ),
    ("google_compute_forwarding_", "gcp.compute.Forwarding", Right("roles/compute.loadBalancerAdmin")),
    ("google_compute_forwarding_", "gcp.compute.Forwarding", Right("roles/compute.networkUser", "the subnetworks")),
    ("google_compute_region_autoscaler", "gcp.compute.RegionAutoscaler", Right("roles/compute.instanceAdmin.v1")),
    ("google_compute_region_backend_", "gcp.compute.RegionBackend", Right("roles/compute.loadBalancerAdmin")),
    ("google_compute_region_health_", "gcp.compute.RegionHealth", Right("roles/compute.loadBalancerAdmin")),
    ("google_compute_region_instance_", "gcp.compute.RegionInstance", Right("roles/compute.instanceAdmin.v1")),
    ("google_compute_region_ssl_", "gcp.compute.RegionSsl", Right("roles/compute.loadBalancerAdmin")),
    ("google_compute_region_target_", "gcp.compute.RegionTarget", Right("roles/compute.loadBalancerAdmin")),
    ("google_compute_region_url_", "gcp.compute.RegionUrl", Right("roles/compute.loadBalancerAdmin")),
    ("google_container_", "gcp.container.", Right("roles/container.clusterAdmin", "the project of the clusters")),
    ("google_dns_", "gcp.dns.", Right("roles/dns.admin", "the project of the DNS zone")),
    ("google_memorystore_", "gcp.memorystore.", Right("roles/memorystore.admin")),
    (
        "google_network_connectivity_", "gcp.networkconnectivity.",
        Right("roles/networkconnectivity.consumerNetworkAdmin", "the project of the network"),
    ),
    ("google_monitoring_", "gcp.monitoring.", Right("roles/monitoring.editor")),
    ("google_project_iam_", "gcp.projects.", Right("roles/resourcemanager.projectIamAdmin")),
    ("google_secret_manager_", "gcp.secretmanager.", Right("roles/secretmanager.admin", "the secrets")),
    ("google_service_account", "gcp.serviceaccount.", Right("roles/iam.serviceAccountAdmin")),
    ("google_service_account", "gcp.serviceaccount.", Right("roles/iam.serviceAccountUser")),
    ("google_storage_", "gcp.storage.", Right("roles/storage.admin", "the bucket of the weights")),
)  # fmt: skip
"""Start of a resource's type in Terraform, of its class in Pulumi, and a right that it needs."""
_RESOURCES = re.compile(r'^resource "((?:aws|google)_\w+)"|\b((?:aws|gcp)\.[a-z0-9]+\.[A-Z]\w+)\(', re.MULTILINE)


def rights_of(texts: Iterable[str]) -> tuple[Right, ...]:
    """Rights on everything that code makes on AWS and Google Cloud, sorted; empty for Azure."""
    kinds = {kind for text in texts for match in _RESOURCES.findall(text) for kind in match if kind}
    return tuple(sorted({right for *starts, right in _RIGHTS for kind in kinds if kind.startswith(tuple(starts))}))
