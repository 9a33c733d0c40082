"""Rights that the person needs who applies generated code on AWS: the services of its resources.

Source: prefixes of actions in AWS's Service Authorization Reference (November 2026).
"""

import re
from collections.abc import Iterable

_SERVICES = (
    ("aws_appautoscaling_", "aws.appautoscaling.", "application-autoscaling"),
    ("aws_autoscaling_", "aws.autoscaling.", "autoscaling"),
    ("aws_budgets_", "aws.budgets.", "budgets"),
    ("aws_ce_", "aws.costexplorer.", "ce"),
    ("aws_cloudwatch_event_", "aws.cloudwatch.Event", "events"),
    ("aws_cloudwatch_log_", "aws.cloudwatch.Log", "logs"),
    ("aws_cloudwatch_metric_", "aws.cloudwatch.Metric", "cloudwatch"),
    ("aws_eks_", "aws.eks.", "eks"),
    ("aws_elasticache_", "aws.elasticache.", "elasticache"),
    ("aws_iam_", "aws.iam.", "iam"),
    ("aws_kms_", "aws.kms.", "kms"),
    ("aws_launch_template", "aws.ec2.", "ec2"),
    ("aws_lb", "aws.lb.", "elasticloadbalancing"),
    ("aws_route53_", "aws.route53.", "route53"),
    ("aws_sagemaker_", "aws.sagemaker.", "sagemaker"),
    ("aws_security_group", "aws.ec2.", "ec2"),
    ("aws_sfn_", "aws.sfn.", "states"),
    ("aws_sns_", "aws.sns.", "sns"),
    ("aws_vpc", "aws.vpc.", "ec2"),
)
"""Start of a resource's type in Terraform, of its class in Pulumi, and the prefix of the actions on it."""
_RESOURCES = re.compile(r'^resource "(aws_\w+)"|\b(aws\.[a-z0-9]+\.[A-Z]\w+)\(', re.MULTILINE)


def services_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Prefixes of the actions on everything that code makes on AWS, such as ``ec2``; empty for other clouds."""
    kinds = {kind for text in texts for match in _RESOURCES.findall(text) for kind in match if kind}
    services = {service for *starts, service in _SERVICES for kind in kinds if kind.startswith(tuple(starts))}
    return tuple(sorted(services))
