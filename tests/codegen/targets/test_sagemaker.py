"""What SageMaker is told, and what it cannot host."""

import botocore.session
import pytest

from advisor.codegen import Engine, Wanted, generate
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import aws_sagemaker as images
from advisor.codegen.targets.aws_sagemaker import SAGEMAKER, SIZES
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan

ECR_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/server:1"
UNSUPPORTED = ("dl1", "inf1", "p2", "p3", "p6e-gb200")
"""Families that SageMaker sells and nothing is generated for: too old, or Arm."""


def stack(plan=None, **wanted):
    """The stack of a plan for SageMaker; one L40S machine without one."""
    plan = plan or make_plan(make_option(instance_type="g6e.xlarge", accelerator="L40S"))
    asked = Wanted(target="sagemaker", **wanted)
    (found,) = stacks_of(plan, choose(plan, asked, lambda _: None), asked)
    return found


def alone(**changes):
    """The stack of a plan with one option."""
    return stack(make_plan(make_option(**changes)), rank=1)


def enum(name):
    """Values that the SageMaker API takes."""
    return set(botocore.session.get_session().get_service_model("sagemaker").shape_for(name).enum)


def test_types_are_those_of_the_api():
    """Each accelerated type that the API takes is known, and no other."""
    ours = {f"ml.{family}.{size}" for family, sizes in SIZES.items() for size in sizes}
    accelerated = {
        name
        for name in enum("ProductionVariantInstanceType")
        if name.startswith(("ml.g", "ml.p", "ml.inf", "ml.trn")) and name.split(".")[1] not in UNSUPPORTED
    }
    assert ours == accelerated


def test_host_images_are_those_of_the_api():
    """Whatever the container needs, the host is one that the API takes."""
    backends = [stack().backends[0], alone(engine_version="0.19.1").backends[0]]
    assert {images.host_image(one) for one in backends} <= enum("ProductionVariantInferenceAmiVersion")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (alone(purchase="spot"), "not bought as spot"),
        (alone(purchase="serverless"), "no GPU"),
        (alone(instance_type="gr6.4xlarge"), "sells no ml.gr6.4xlarge"),
        (alone(instance_type="p5.48xlarge", weights_gib=300.0), "3900 s to start"),
        (alone(instance_type="g6e.xlarge", accelerator="L40S", engine="SGLang"), "Hopper and Blackwell, not for L40S"),
        (alone(engine="TensorRT-LLM", engine_version="1.2"), "no image of tensorrt-llm"),
        (alone(instance_type="inf2.8xlarge", accelerator="Inferentia2", engine="vLLM-NxDI"), "no image of vllm"),
        (alone(region="us-gov-west-1"), "no registry of its images is known in us-gov-west-1"),
        (stack(image="ghcr.io/someone/vllm:1"), "copy ghcr.io/someone/vllm:1 there"),
        (stack(make_fleet_plan(make_group(instances=(0, 4)))), "down to no instance"),
        (stack(make_fleet_plan(make_group(purchase="commitment", commitment="ri 1yr"))), "commitments to EC2"),
        (
            stack(
                make_fleet_plan(*(make_group(tensor_parallel=split, accelerator_count=16.0) for split in range(1, 12)))
            ),
            "11 groups in us-east-1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_hosted_says_why(found, reason):
    """Each limit of the service is a sentence with its number."""
    assert reason in SAGEMAKER.obstacle(found)


@pytest.mark.parametrize("found", [stack(), alone(), stack(engine=Engine.CUSTOM, image=ECR_IMAGE)])
def test_what_can_be_hosted_has_no_obstacle(found):
    """Plain types on demand, with the engine's image or one of the user's own in ECR."""
    assert SAGEMAKER.obstacle(found) == ""


def test_refusal_names_a_target_that_takes_it():
    """Spot runs on EC2."""
    plan = make_plan(make_option(purchase="spot"))
    with pytest.raises(InputError, match="SageMaker: endpoints are not bought as spot") as caught:
        generate(plan, wanted=Wanted(target="sagemaker", rank=1))
    assert "--target ec2" in caught.value.hint


@pytest.mark.parametrize(
    ("region", "version", "image"),
    [
        ("us-east-1", "0.30.0", "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v2.5"),
        ("eu-south-2", "0.27.1", "503227376785.dkr.ecr.eu-south-2.amazonaws.com/vllm:server-sagemaker-cuda-v2.4"),
        ("us-east-1", "0.19.0", "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v1.1"),
        ("us-east-1", "0.33.0", "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v2.5"),
        ("cn-north-1", "0.30.0", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/vllm:server-sagemaker-cuda-v2.5"),
    ],
)
def test_image_is_the_regions_and_the_releases(region, version, image):
    """Each region has a registry of its own, each planned release its nearest image."""
    assert images.image(alone(region=region, engine_version=version).backends[0]) == image


@pytest.mark.parametrize(("version", "told"), [("0.33.0", True), ("0.30.0", False), ("0.19.1", False)])
def test_an_image_of_another_release_is_told(version, told):
    """The code says which release it takes where none of the planned one is known."""
    said = images.caution(alone(engine_version=version).backends[0])
    assert bool(said) == told
    assert not told or "holds vLLM 0.33: this code takes v2.5, which holds 0.30" in said


def test_old_images_get_an_old_driver():
    """CUDA 12.9 runs on driver 550, CUDA 13 needs 580."""
    assert images.host_image(alone(engine_version="0.19.1").backends[0]).endswith("gpu-3-1")
    assert images.host_image(alone(engine_version="0.30.0").backends[0]).endswith("gpu-4-1")


def test_arguments_become_variables():
    """Every option of the plan is a variable of the image; a bare flag is true, the address is the image's own."""
    plan = make_plan(make_option(instance_type="p5.48xlarge", accelerator="H100-SXM", engine="SGLang"))
    files = generate(plan, wanted=Wanted(target="sagemaker", rank=1)).files
    fleet = files["fleet.tf"]
    assert '"true"' in fleet
    assert "SM_SGLANG_ENABLE_METRICS" in fleet
    assert "SM_SGLANG_CONTEXT_LENGTH" in fleet
    assert "_HOST " not in fleet


def test_weights_follow_the_plans_shares():
    """Backends with 40 and 60 percent of the requests are variants with these weights."""
    l4 = make_group(request_shares=(0.4, 0.4))
    a10g = make_group(instance_type="g5.xlarge", accelerator="A10G", request_shares=(0.6, 0.6))
    plan = make_fleet_plan(l4, a10g, policy=Policy.REACTIVE)
    fleet = generate(plan, wanted=Wanted(target="sagemaker")).files["fleet.tf"]
    weights = [int(line.split("=")[1]) for line in fleet.splitlines() if line.strip().startswith("weight")]
    assert weights == [1000, 600, 400]


def test_no_secret_can_be_given():
    """A token would stand in clear text in the model's environment: there is no variable for one."""
    files = generate(make_plan(make_option()), wanted=Wanted(target="sagemaker", rank=1)).files
    assert "hf_token" not in "".join(files.values()).lower()
