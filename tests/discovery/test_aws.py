"""An account as boto3 sees it: SageMaker by moto, EC2 by answers in its own XML, both on the loopback."""

from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

from services.scripted import always, answer, scripted

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")
server = pytest.importorskip("moto.server", reason="moto is not installed")

from advisor.catalog import load_catalog  # noqa: E402 - after the check for boto3
from advisor.discovery import Launch  # noqa: E402 - as above
from advisor.discovery.find import Account, services_of_account  # noqa: E402 - as above
from advisor.errors import InputError  # noqa: E402 - as above

CATALOG = load_catalog()
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/r"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture
def account(monkeypatch):
    """An empty account, and boto3 clients of it."""
    moto = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST"), timeout=10).close()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_MAX_ATTEMPTS": "1",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_DEFAULT_REGION": REGION,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield boto3.Session()
    moto.stop()


def endpoint(session, name, container, instance_type="ml.g4dn.2xlarge"):
    """A SageMaker endpoint of two instances."""
    client = session.client("sagemaker")
    client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {
        "VariantName": "main", "ModelName": name, "InstanceType": instance_type, "InitialInstanceCount": 2,
    }  # fmt: skip
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)


def instance(number, instance_type, zone="us-east-1a", lifecycle="", **tags):
    """An instance in the XML of EC2."""
    shown = "".join(f"<item><key>{key}</key><value>{value}</value></item>" for key, value in tags.items())
    life = f"<instanceLifecycle>{lifecycle}</instanceLifecycle>" if lifecycle else ""
    return (
        f"<item><instancesSet><item><instanceId>i-{number:017x}</instanceId><instanceType>{instance_type}</instanceType>"
        f"<placement><availabilityZone>{zone}</availabilityZone></placement>{life}<tagSet>{shown}</tagSet></item>"
        "</instancesSet></item>"
    )


@contextmanager
def ec2(monkeypatch, *instances, refused=""):
    """EC2 that describes these instances, or refuses."""
    listed = (
        f"<DescribeInstancesResponse><reservationSet>{''.join(instances)}</reservationSet></DescribeInstancesResponse>"
    )
    error = f"<Response><Errors><Error><Code>{refused}</Code><Message>no</Message></Error></Errors></Response>"
    reply = answer(error, "403 Forbidden") if refused else answer(listed)
    with scripted(always(reply)) as stub:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", stub.url)
        yield


def test_an_endpoint_is_a_service(account, monkeypatch):
    """Model, engine and machines of an endpoint are known; CloudWatch counts its requests and no tokens."""
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
    variables = {"HF_MODEL_ID": MODEL, "OPTION_TENSOR_PARALLEL_DEGREE": "1", "OPTION_MAX_MODEL_LEN": "8192"}
    endpoint(account, "chat", {"Image": image, "Environment": variables})

    with ec2(monkeypatch):
        (service,) = services_of_account(Account(), CATALOG).services

    assert service.launch == Launch("vLLM", MODEL, context_tokens=8192)
    assert service.origin == f"SageMaker endpoint chat in {REGION}"
    assert {machine.kind for machine in service.machines} == {("aws", REGION, "g4dn.2xlarge", "managed")}
    assert (len(service.machines), service.replicas) == (2, 2)
    assert (service.observed.source, dict(service.observed.fields)) == (
        "cloudwatch",
        {"region": REGION, "endpoint": "chat", "window": "14d"},
    )
    assert not service.observed.counts_tokens


@pytest.mark.usefixtures("account")
def test_instances_are_services_where_a_tag_names_the_model(monkeypatch):
    """Accelerated instances with a model are a service; others are a note; those of a cluster and CPUs are neither."""
    listed = [
        *(instance(number, "g6e.xlarge", lifecycle="spot", Name="chat-gpu", model=MODEL) for number in (1, 2)),
        *(instance(number, "g5.xlarge", Name="somebody") for number in (3, 4, 5)),
        instance(6, "m5.large", Name="web"),
        instance(7, "p5.48xlarge", Name="node"),
    ]
    with ec2(monkeypatch, *listed):
        inventory = services_of_account(Account(REGION), CATALOG, {f"i-{7:017x}"})

    (service,) = inventory.services
    assert (service.name, service.model, len(service.machines)) == ("chat-gpu", MODEL, 2)
    assert service.machines[0].kind == ("aws", REGION, "g6e.xlarge", "spot")
    (note,) = inventory.notes
    assert "3 × g5.xlarge somebody" in note
    assert "p5.48xlarge" not in note


def test_a_call_that_is_refused_leaves_the_other(account, monkeypatch):
    """Endpoints are listed where instances may not be described, and the permission is named."""
    endpoint(account, "chat", {"Image": "lmi", "Environment": {"HF_MODEL_ID": MODEL}})
    with ec2(monkeypatch, refused="UnauthorizedOperation"):
        inventory = services_of_account(Account(REGION), CATALOG)

    assert [service.name for service in inventory.services] == ["chat"]
    assert "allow ec2:DescribeInstances to these credentials" in inventory.notes[0]


@pytest.mark.usefixtures("account")
def test_credentials_that_are_not_accepted_are_an_error(monkeypatch):
    """Expired credentials, and a service that cannot be reached, end with what to do."""
    with ec2(monkeypatch, refused="AuthFailure"), pytest.raises(InputError, match="AuthFailure") as stale:
        services_of_account(Account(REGION), CATALOG)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    with pytest.raises(InputError) as unreached:
        services_of_account(Account(REGION), CATALOG)

    assert "renew the credentials" in stale.value.hint
    assert "network" in unreached.value.hint
