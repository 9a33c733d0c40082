"""What exists in the simulated AWS, as JSON.

usage: describe_moto.py URL prepare | describe_moto.py URL list
"""

import json
import sys

import boto3

REGION = "us-east-1"
LOGS_BUCKET = "alb-logs"


def client(url: str, service: str):
    """A client of the simulated service."""
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name=REGION, endpoint_url=url, **credentials)


def prepare(url: str) -> dict[str, object]:
    """Make what a module expects to find, and give it as variables."""
    ec2 = client(url, "ec2")
    client(url, "s3").create_bucket(Bucket=LOGS_BUCKET)
    certificate = client(url, "acm").request_certificate(DomainName="chat.example.com")
    network = {
        "vpc_id": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        "private_subnet_ids": [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:3],
        "certificate_arn": certificate["CertificateArn"],
        "access_logs_bucket": LOGS_BUCKET,
    }
    return {
        "networks": {REGION: network},
        "agent_package": "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256="
        + "0" * 64,
        "deletion_protection": False,
        "alert_emails": ["oncall@example.com"],
    }


def describe(url: str) -> dict[str, object]:
    """The resources that the tests look at."""
    account = client(url, "sts").get_caller_identity()["Account"]
    ec2 = client(url, "ec2")
    templates = ec2.describe_launch_templates()["LaunchTemplates"]
    return {
        "groups": client(url, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        "templates": [
            ec2.describe_launch_template_versions(LaunchTemplateId=one["LaunchTemplateId"])["LaunchTemplateVersions"]
            for one in templates
        ],
        "balancers": client(url, "elbv2").describe_load_balancers()["LoadBalancers"],
        "schedules": client(url, "autoscaling").describe_scheduled_actions()["ScheduledUpdateGroupActions"],
        "policies": client(url, "autoscaling").describe_policies()["ScalingPolicies"],
        "filters": client(url, "logs").describe_metric_filters()["metricFilters"],
        "target_groups": client(url, "elbv2").describe_target_groups()["TargetGroups"],
        "alarms": client(url, "cloudwatch").describe_alarms()["MetricAlarms"],
        "budgets": client(url, "budgets").describe_budgets(AccountId=account).get("Budgets", []),
        "instances": [
            instance
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] == "running"
        ],
    }


if __name__ == "__main__":
    answer = {"prepare": prepare, "list": describe}[sys.argv[2]](sys.argv[1])
    sys.stdout.write(json.dumps(answer, default=str))
