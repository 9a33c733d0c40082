"""Accelerated EC2 instances and SageMaker endpoints of an account; only calls that describe and list are made.

Permissions: ec2:DescribeInstances, sagemaker:ListEndpoints, DescribeEndpoint, DescribeEndpointConfig, DescribeModel.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from advisor.catalog import Catalog
from advisor.discovery.launches import launch_of, stored_model
from advisor.discovery.values import Inventory, Launch, Machine, Observed, Service
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.samples.query.cloudwatch.api import aws_session, refusal_hint, unreached_hint

_NAME_TAGS = ("aws:autoscaling:groupName", "Name")
_MODEL_TAGS = ("model", "inference:model", "served-model")
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Account:
    """One region of an account."""

    region: str | None = None
    """None: as AWS's own settings say."""
    profile: str | None = None
    window: str = "14d"
    """How far back demand counts, as workload files write it."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"aws {self.region or '(default region)'}"


def services_of_account(account: Account, catalog: Catalog, seen: Collection[str] = ()) -> Inventory:
    """SageMaker's endpoints and accelerated instances.

    What the user may not list is a note; the rest is read.

    Args:
        account: where to ask.
        catalog: knows which types have accelerators.
        seen: ids of instances that are known as nodes of a cluster.

    Raises:
        InputError: boto3 is missing, or the credentials are not accepted.
    """
    session = aws_session(account.region, account.profile, account.where)
    if not session.region_name:
        hint = "name one: --aws us-east-1, or set AWS_DEFAULT_REGION"
        raise InputError("AWS's settings name no region", where=account.where, hint=hint)
    inventory = Inventory()
    for read in (_endpoints, _instances):
        try:
            inventory += read(_Asker(session, account), catalog, seen)
        except _RefusedError as error:
            inventory += Inventory(notes=(f"{error.where}: {error.message} ({error.hint})",))
    return inventory


class _RefusedError(InputError):
    """The account may not make a call; others may be allowed."""


@dataclass(slots=True)
class _Asker:
    """Calls to AWS in one region."""

    session: Any
    account: Account

    @property
    def region(self) -> str:
        """Region that is asked; "" where nothing says it."""
        return str(self.session.region_name or "")

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - boto3's
        """Entries of every page of a list."""
        with _in_words(self, service, operation):
            for page in self._client(service).get_paginator(operation).paginate(**arguments):
                yield from page.get(key, ())

    def one(self, service: str, operation: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's
        """Answer of one call."""
        with _in_words(self, service, operation):
            answer: Mapping[str, Any] = getattr(self._client(service), operation)(**arguments)
        return answer

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3's
        from botocore.config import Config  # noqa: PLC0415 - boto3 is an extra

        retries = {"mode": "adaptive", "total_max_attempts": 6}
        return self.session.client(service, config=Config(retries=retries, connect_timeout=10, read_timeout=60))


@contextmanager
def _in_words(asker: _Asker, service: str, operation: str) -> Iterator[None]:
    """Errors of a call in the product's words, with the permission that it takes."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 is an extra

    where = asker.account.where
    action = f"{service}:{''.join(part.capitalize() for part in operation.split('_'))}"
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        code = str(said.get("Code", "refused"))
        hint = refusal_hint(code, action)
        refused = _RefusedError if hint.startswith("allow") else InputError
        raise refused(f"{action}: {code}: {said.get('Message', '')}", where=where, hint=hint) from error
    except (BotoCoreError, ValueError) as error:
        raise InputError(str(error), where=where, hint=unreached_hint(asker.session, service, asker.region)) from error


def _endpoints(asker: _Asker, catalog: Catalog, seen: Collection[str]) -> Inventory:  # noqa: ARG001 - as the others
    listed = asker.pages("sagemaker", "list_endpoints", "Endpoints", StatusEquals="InService")
    services = [service for endpoint in listed for service in _variants(str(endpoint["EndpointName"]), asker)]
    return Inventory(tuple(services))


def _variants(endpoint: str, asker: _Asker) -> Iterator[Service]:
    """Services of an endpoint: one for each of its variants that runs on instances."""
    described = asker.one("sagemaker", "describe_endpoint", EndpointName=endpoint)
    config = asker.one(
        "sagemaker", "describe_endpoint_config", EndpointConfigName=described["EndpointConfigName"]
    )  # fmt: skip
    counts = {each["VariantName"]: each.get("CurrentInstanceCount") for each in described.get("ProductionVariants", ())}
    variants = [variant for variant in config.get("ProductionVariants", ()) if variant.get("InstanceType")]
    for variant in variants:
        name = variant["VariantName"]
        count = counts.get(name) or variant.get("InitialInstanceCount") or 1
        instance_type = str(variant["InstanceType"]).removeprefix("ml.")
        machines = tuple(
            Machine(f"{endpoint}/{name}/{number}", "aws", asker.region, instance_type, "managed")
            for number in range(min(count, 10_000))
        )
        fields: dict[str, str | float | tuple[str, ...]] = {
            "region": asker.region,
            "endpoint": endpoint,
            "window": asker.account.window,
        }
        fields |= {"profile": asker.account.profile} if asker.account.profile else {}
        yield Service(
            name=endpoint if len(variants) == 1 else f"{endpoint}-{name}",
            origin=f"SageMaker endpoint {endpoint} in {asker.region}",
            launch=_launch(variant.get("ModelName"), asker),
            replicas=count,
            machines=machines,
            observed=Observed("cloudwatch", fields, counts_tokens=False),
        )


def _launch(model_name: str | None, asker: _Asker) -> Launch:
    """Launch of the container of a SageMaker model."""
    if not model_name:
        return Launch("")
    model = asker.one("sagemaker", "describe_model", ModelName=model_name)
    containers = [model["PrimaryContainer"]] if "PrimaryContainer" in model else model.get("Containers", [])
    for container in containers:
        variables = {str(key): str(value) for key, value in container.get("Environment", {}).items()}
        launch = launch_of([], str(container.get("Image", "")), variables)
        weights = str(container.get("ModelDataUrl") or "")
        if launch.model.startswith("/opt/ml/") or (not launch.model and weights):
            launch = replace(launch, model=stored_model(weights.removesuffix("/model.tar.gz")))
        if launch.model or launch.engine:
            return launch
    return Launch("")


def _instances(asker: _Asker, catalog: Catalog, seen: Collection[str]) -> Inventory:
    """Running instances with accelerators, by what they are called; the model only where a tag names it."""
    groups: dict[tuple[str, str], list[Machine]] = defaultdict(list)
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    for reservation in asker.pages("ec2", "describe_instances", "Reservations", Filters=running):
        for instance in reservation.get("Instances", ()):
            instance_type, number = str(instance.get("InstanceType")), str(instance.get("InstanceId"))
            if ("aws", instance_type) not in catalog.instance_types or number in seen:
                continue
            tags = {tag.get("Key"): tag.get("Value", "") for tag in instance.get("Tags", ())}
            purchase = "spot" if instance.get("InstanceLifecycle") == "spot" else "on_demand"
            zone = str(instance.get("Placement", {}).get("AvailabilityZone", ""))
            region = asker.region or zone.rstrip("abcdefghijklmnopqrstuvwxyz")
            name = next((tags[tag] for tag in _NAME_TAGS if tags.get(tag)), number)
            model = next((tags[tag] for tag in _MODEL_TAGS if tags.get(tag)), "")
            groups[name, model].append(Machine(number, "aws", region, instance_type, purchase, instance_id=number))
    services = tuple(_of_instances(name, model, machines) for (name, model), machines in groups.items())
    return Inventory(tuple(each for each in services if each.model), tuple(_unnamed(services)))


def _of_instances(name: str, model: str, machines: Sequence[Machine]) -> Service:
    return Service(
        name=name,
        origin=f"{len(machines)} EC2 instances called {name} in {machines[0].region}",
        launch=Launch("", model),
        machines=tuple(machines),
    )


def _unnamed(services: Sequence[Service]) -> Iterator[str]:
    """Note on instances of which EC2 alone cannot say what they serve."""
    silent = [service for service in services if not service.model]
    if silent:
        shown = ", ".join(
            f"{len(each.machines)} × {each.machines[0].instance_type} {each.name}" for each in silent[:_MOST_SHOWN]
        )
        more = f" and {len(silent) - _MOST_SHOWN} more" if len(silent) > _MOST_SHOWN else ""
        yield (
            f"EC2 does not say what these serve: {shown}{more}; tag them `model`, sample them (`advisor agent run`) "
            "and give --samples, or give the --prometheus that scrapes their engines"
        )
