"""EC2 Auto Scaling groups behind an internal Application Load Balancer."""

from advisor.codegen.model import Language, Stack
from advisor.codegen.rendering import render_terraform
from advisor.codegen.targets.target import Files, Target

_TERRAFORM = "terraform/aws-ec2"
_TEMPLATES = {
    "compute.tf": "compute.tf.j2",
    "iam.tf": "iam.tf.j2",
    "kms.tf": "kms.tf.j2",
    "main.tf": "main.tf.j2",
    "monitoring.tf": "monitoring.tf.j2",
    "network.tf": "network.tf.j2",
    "outputs.tf": "outputs.tf.j2",
    "providers.tf": "providers.tf.j2",
    "terraform.tfvars.example": "terraform.tfvars.example.j2",
    "tests/unit.tftest.hcl": "unit.tftest.hcl.j2",
    "user_data.sh.tftpl": "user_data.sh.tftpl.j2",
    "variables.tf": "variables.tf.j2",
    "versions.tf": "versions.tf.j2",
}


def _terraform(stack: Stack) -> Files:
    return render_terraform(_TERRAFORM, _TEMPLATES, stack, {})


EC2 = Target(name="ec2", provider="aws", title="EC2 Auto Scaling", renderers={Language.TERRAFORM: _terraform})
