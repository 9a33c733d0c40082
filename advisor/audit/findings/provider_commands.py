"""Commands of a provider's own command line that act on the resources of a finding.

Names come from a bill, so only those of a known form are taken, and each is quoted. Nothing here deletes data: what is
stopped can be started, and what is kept is moved to a cheaper tier. Load balancers, addresses and capacity reservations
without use are given back.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_MOST_RESOURCES = 10
"""Resources that a command names, the dearest of a finding."""
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)*-?\d*")
_ARM = r"(/subscriptions/[\w./() -]+/{kind}/[\w.() -]+)"


class Place(NamedTuple):
    """A resource, and where it is."""

    provider: str
    region: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Form:
    """Form of a resource's name, and the command for such resources."""

    provider: str
    pattern: re.Pattern[str]
    """Its group is the name that the command takes."""
    template: str
    """With ``{ids}`` for all names of a region, or ``{id}`` for one; and ``{region}``."""

    def name_of(self, place: Place) -> str | None:
        """Name for the command; None where the resource has another form, or the region is needed and not known."""
        match = self.pattern.search(place.resource) if place.provider == self.provider else None
        has_region = "{region}" not in self.template or _REGION.fullmatch(place.region)
        return match[1] if match and has_region else None

    def commands(self, region: str, names: Sequence[str]) -> Iterator[str]:
        """Commands for resources of a region."""
        quoted = [shlex.quote(name) for name in names]
        if "{ids}" in self.template:
            yield self.template.replace("{region}", region).replace("{ids}", " ".join(quoted))
            return
        yield from (self.template.replace("{region}", region).replace("{id}", name) for name in quoted)


def _aws(pattern: str, template: str) -> _Form:
    return _Form("aws", re.compile(pattern), f"aws {template}")


def _azure(kind: str, template: str) -> _Form:
    return _Form("azure", re.compile(f"^{_ARM.replace('{kind}', kind)}$", re.IGNORECASE), f"az {template}")


def _google(pattern: str, template: str) -> _Form:
    return _Form("gcp", re.compile(pattern), f"gcloud {template}")


_GOOGLE_VM = r"(?:^|/)(projects/[\w:.-]+/zones/[\w-]+/instances/[\w-]+)$"
_TAGS = "--tags Key=owner,Value=unassigned"
_PRIVATE_S3 = (
    "ec2 create-vpc-endpoint --region {region} --service-name com.amazonaws.{region}.s3 --vpc-id "
    '"$(aws ec2 describe-nat-gateways --region {region} --nat-gateway-ids {id} '
    "--query 'NatGateways[0].VpcId' --output text)\""
)
_TIERING = shlex.quote(
    '{"Id":"checkpoints","Status":"Enabled","Tierings":[{"Days":90,"AccessTier":"ARCHIVE_ACCESS"}]}'
)  # fmt: skip
_COMMITMENTS = (
    _aws(
        r"(?:savingsplan/|:|^)(sp-[0-9a-z]+|[0-9a-f]{8}-[0-9a-f-]{27})$",
        "savingsplans describe-savings-plans --savings-plan-ids {ids}",
    ),
    _aws(
        r"reserved-instances/([0-9a-f-]+)$",
        "ec2 describe-reserved-instances --region {region} --reserved-instances-ids {ids}",
    ),
    _google(r"commitments/([a-z][a-z0-9-]*)$", "compute commitments update {id} --region {region} --no-auto-renew"),
)
_FORMS: Mapping[str, Sequence[_Form]] = {
    "ADV101": (
        _aws(r"(?:^|/)(i-[0-9a-z]+)$", "ec2 stop-instances --region {region} --instance-ids {ids}"),
        _azure("virtualMachines", "vm deallocate --ids {ids}"),
        _google(_GOOGLE_VM, "compute instances stop {ids}"),
    ),
    "ADV108": _COMMITMENTS,
    "ADV109": _COMMITMENTS,
    "ADV110": (
        _aws(
            r"(?:^|/)(cr-[0-9a-z]+)$",
            "ec2 cancel-capacity-reservation --region {region} --capacity-reservation-id {id}",
        ),
    ),
    "ADV112": (_aws(r"(?:^|/)(nat-[0-9a-z]+)$", _PRIVATE_S3),),
    "ADV113": (
        _aws(
            r"(?:log-group:|^)([\w./#-]+)(?::\*)?$",
            "logs put-retention-policy --region {region} --log-group-name {id} --retention-in-days 30",
        ),
        _azure("workspaces", "monitor log-analytics workspace update --ids {ids} --retention-time 30"),
    ),
    "ADV114": (
        _aws(
            r"(?:^|/)(snap-[0-9a-z]+)$",
            "ec2 modify-snapshot-tier --region {region} --storage-tier archive --snapshot-id {id}",
        ),
        _aws(r"(?:^|/)(vol-[\w-]+)$", "ec2 describe-volumes --region {region} --volume-ids {ids}"),
        _aws(
            r"^(?:arn:aws[\w-]*:s3:::)?([a-z0-9][a-z0-9.-]{2,62})$",
            f"s3api put-bucket-intelligent-tiering-configuration --bucket {{id}} --id checkpoints "
            f"--intelligent-tiering-configuration {_TIERING}",
        ),
        _google(r"buckets/([a-z0-9][a-z0-9_.-]{2,62})$", "storage buckets update gs://{id} --enable-autoclass"),
        _azure("snapshots", "snapshot update --sku Standard_LRS --ids {ids}"),
    ),
    "ADV115": (
        _aws(
            r"^(arn:aws[\w-]*:elasticloadbalancing:[\w:-]+:loadbalancer/(?:app|net|gwy)/[\w/-]+)$",
            "elbv2 delete-load-balancer --region {region} --load-balancer-arn {id}",
        ),
        _aws(r":loadbalancer/([\w-]+)$", "elb delete-load-balancer --region {region} --load-balancer-name {id}"),
        _aws(r"(?:^|/)(eipalloc-[0-9a-z]+)$", "ec2 release-address --region {region} --allocation-id {id}"),
        _azure("publicIPAddresses", "network public-ip delete --ids {ids}"),
        _azure("loadBalancers", "network lb delete --ids {ids}"),
    ),
    "ADV117": (
        _aws(
            r"(?:^|/)((?:i|vol|snap|nat|eni|eipalloc|vpce)-[0-9a-z]+)$",
            f"ec2 create-tags --region {{region}} --resources {{ids}} {_TAGS}",
        ),
        _aws(
            r"^(arn:aws[\w-]*:[\w:./-]+)$",
            "resourcegroupstaggingapi tag-resources --region {region} --tags owner=unassigned "
            "--resource-arn-list {ids}",
        ),
        _google(_GOOGLE_VM, "compute instances add-labels {id} --labels owner=unassigned"),
        _azure(r"[\w.]+", "tag update --operation merge --tags owner=unassigned --resource-id {id}"),
    ),
}
"""Forms by finding, the first that fits counts."""


def provider_command(finding: str, places: Sequence[Place]) -> str | None:
    """The command that acts on the dearest resources of a finding; None where none has a known form.

    Args:
        finding: its id.
        places: its resources, the dearest first.
    """
    named: dict[tuple[_Form, str], list[str]] = {}
    count = 0
    for place in places:
        formed = ((form, name) for form in _FORMS.get(finding, ()) if (name := form.name_of(place)) is not None)
        form, name = next(formed, (None, ""))
        if form is None or count == _MOST_RESOURCES:
            continue
        key = form, place.region if "{region}" in form.template else ""
        if name not in named.setdefault(key, []):
            named[key].append(name)
            count += 1
    commands = [command for (form, region), names in named.items() for command in form.commands(region, names)]
    return " && ".join(commands) or None
