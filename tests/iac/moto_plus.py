"""The simulated AWS (moto) with the few calls that an inference stack needs and moto 5.2.5 lacks.

usage: moto_plus.py PORT
"""

import datetime as dt
import json
import os
import sys

# NOTE: read when moto is imported; without it the managed policy for Session Manager does not exist.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

from moto.autoscaling.models import FakeAutoScalingGroup, LifecycleHook
from moto.budgets.responses import BudgetsResponse
from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.server import main
from moto.ssm.models import Parameter, SimpleSystemManagerBackend

AMI_PARAMETERS = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    "/aws/service/neuron/dlami/multi-framework/ubuntu-24.04/latest/image_id",
)
AMI = "ami-03cf127a"


def describe_subscribers(response: BudgetsResponse) -> str:
    """Subscribers of one notification of a budget."""
    budgets = response.backend.budgets[response._get_param("AccountId")]
    budget = budgets[response._get_param("BudgetName")]
    wanted = _notification_key(response._get_param("Notification"))
    for notification in budget.notifications:
        if _notification_key(notification.details) == wanted:
            return json.dumps({"Subscribers": notification.subscribers})
    return json.dumps({"Subscribers": []})


def _notification_key(details: dict[str, str]) -> tuple[str, str, float]:
    return details["NotificationType"], details["ComparisonOperator"], float(details["Threshold"])


_make_backend = SimpleSystemManagerBackend.__init__


def make_backend_with_images(backend: SimpleSystemManagerBackend, region_name: str, account_id: str) -> None:
    """Add the public parameters of machine images, whose names users cannot take."""
    _make_backend(backend, region_name, account_id)
    for name in AMI_PARAMETERS:
        backend._parameters[name].append(
            Parameter(
                account_id=account_id,
                name=name,
                value=AMI,
                parameter_type="String",
                description="",
                allowed_pattern=None,
                keyid=None,
                last_modified_date=dt.datetime.now(tz=dt.UTC),
                version=1,
                data_type="aws:ec2:image",
                labels=[],
            )
        )


_make_version = LaunchTemplateVersion.__init__


def make_version_without_own_tags(version, template, number, data, description):
    """Keep the tags of the launch template out of its data, where they would show as a change."""
    kept = [one for one in data.get("TagSpecifications", []) if one.get("ResourceType") != "launch-template"]
    _make_version(version, template, number, {**data, "TagSpecifications": kept} if kept else data, description)


_update_group = FakeAutoScalingGroup.update


def update_keeping_the_policy(group: FakeAutoScalingGroup, *arguments, mixed_instances_policy=None, **named) -> None:
    """Keep the mixed instances policy of a group when an update says nothing of it."""
    policy = mixed_instances_policy or group.mixed_instances_policy
    if policy:
        # An answer names the template twice, a request may do so once only.
        policy["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
    _update_group(group, *arguments, mixed_instances_policy=policy, **named)


_make_hook = LifecycleHook.__init__


def make_hook_that_tells_nobody(hook: LifecycleHook, *arguments, **named) -> None:
    """Leave out the queue and the role that moto gives every hook."""
    _make_hook(hook, *arguments, **named)
    hook.role_arn = hook.notification_target_arn = ""


FakeAutoScalingGroup.update = update_keeping_the_policy
LifecycleHook.__init__ = make_hook_that_tells_nobody
BudgetsResponse.describe_subscribers_for_notification = describe_subscribers
BudgetsResponse.list_tags_for_resource = lambda _response: json.dumps({"ResourceTags": []})
SimpleSystemManagerBackend.__init__ = make_backend_with_images
LaunchTemplateVersion.__init__ = make_version_without_own_tags

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
