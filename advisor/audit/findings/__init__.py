"""Findings: ``rules.csv`` is the table of what is looked for, the other modules look for it.

Here is what they look in, how a finding is put together, and its commands of the provider's own command line: those
that look, and those that act.

A bill does not say what decides whether a resource can go: what its disks hold, how old it is, what points at it. So
most commands look and change nothing. What acts can be taken back: what has no tag gets one. Nothing gives accelerators
back to the provider, who may not have them again. Names come from a bill: only those of a known form are taken, and
each is quoted.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from advisor.audit import RESOURCE, ZERO, ComputeSplit, Endpoint, Finding, Rule, Traffic, money
from advisor.audit.endpoints import EndpointMachines
from advisor.audit.ledger import Ledger
from advisor.catalog import Catalog
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH

_MOST_RESOURCES = 10
"""Resources that a command names, the dearest of a finding."""
_ANY = re.compile("")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)*-?\d*")
_GROUP = r"/subscriptions/[\w-]+/resourceGroups/[\w.() -]+/providers"


class Place(NamedTuple):
    """A resource, and where it is."""

    provider: str
    region: str
    resource: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class _Form:
    """Form of a resource's name, and the command for such resources."""

    provider: str
    pattern: re.Pattern[str]
    """Its group is the name that the command takes."""
    template: str
    """With ``{ids}`` for all names of a region (``{list}``: between commas), or with other groups of the pattern for
    one; and ``{region}``."""
    service: re.Pattern[str] = _ANY
    """Services whose resources are named like this."""

    def names_of(self, place: Place) -> Mapping[str, str] | None:
        """Names for the command; None where the resource has another form, or the region is needed and not known."""
        is_of_it = place.provider == self.provider and self.service.search(place.service)
        match = self.pattern.search(place.resource) if is_of_it else None
        has_region = "{region}" not in self.template or _REGION.fullmatch(place.region)
        return match.groupdict() if match and has_region else None

    def commands(self, region: str, names: Sequence[Mapping[str, str]]) -> Iterator[str]:
        """Commands for resources of a region."""
        ids = [each["id"] for each in names]
        together = {"{ids}": shlex.join(ids), "{list}": shlex.quote(",".join(ids))}
        if any(key in self.template for key in together):
            yield _filled(self.template, {**together, "{region}": region})
            return
        for each in names:
            quoted = {f"{{{key}}}": shlex.quote(name) for key, name in each.items()}
            yield _filled(self.template, {**quoted, "{region}": region})


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with values in place of their keys, each put in once: a name that looks like a key stays."""
    return re.sub("|".join(map(re.escape, values)), lambda match: values[match[0]], template)


def _aws(pattern: str, template: str, service: str = "") -> _Form:
    return _Form("aws", re.compile(pattern), f"aws {template}", re.compile(service, re.IGNORECASE))


def _ec2(kinds: str, command: str, options: str) -> _Form:
    """Form of resources whose ids begin with a kind, or one of several between bars."""
    return _aws(rf"(?:^|/)(?P<id>(?:{kinds})-[0-9a-z]+)$", f"ec2 {command} --region {{region}} {options}")


def _azure(kind: str, template: str, below: str = "") -> _Form:
    """Form of resources of a kind, or of the resource that they are ``below``."""
    pattern = rf"^(?P<id>{_GROUP}/[\w.]+/{kind}/[\w.() -]+){below}$"
    return _Form("azure", re.compile(pattern, re.IGNORECASE), f"az {template}")


def _google(pattern: str, template: str) -> _Form:
    return _Form("gcp", re.compile(pattern), f"gcloud {template}")


_SCALE_SET, _MEMBER = "virtualMachineScaleSets", r"/virtualMachines/[\w-]+"
_GOOGLE_VM = r"(?:^|/)(?P<id>projects/[\w:.-]+/zones/[\w-]+/instances/[\w-]+)$"
_COMMITMENTS = (
    _aws(
        r"(?:savingsplan/|:|^)(?P<id>sp-[0-9a-z]+|[0-9a-f]{8}-[0-9a-f-]{27})$",
        "savingsplans describe-savings-plans --savings-plan-ids {ids}",
    ),
    _aws(
        r"reserved-instances/(?P<id>[0-9a-f-]+)$",
        "ec2 describe-reserved-instances --region {region} --reserved-instances-ids {ids}",
    ),
    _google(
        r"(?:^|/)projects/(?P<project>[\w:.-]+)/regions/(?P<place>[a-z0-9-]+)/commitments/(?P<id>[a-z][a-z0-9-]*)$",
        "compute commitments describe {id} --project {project} --region {place}",
    ),
)
_OWNER = "advisor-owner"
"""A tag of a name of its own: a bill shows only the tags that are activated, and another could have a value."""
_AZURE_TAG = f"tag update --operation merge --tags {_OWNER}=unassigned --resource-id {{id}}"
_TAGGED_EC2 = "i|vol|snap|nat|eni|eipalloc|vpce"
_TAGGING = "resourcegroupstaggingapi"
_ARN = r"^(?P<id>arn:aws[\w-]*:[\w:./-]+)$"
_BUCKET = r"buckets/(?P<id>[a-z0-9][a-z0-9_.-]{2,62})$"
_LOOKS: Mapping[str, Sequence[_Form]] = {
    "ADV101": (
        _ec2("i", "describe-instances", "--filters Name=instance-id,Values={list}"),
        _azure("virtualMachines", "vm show --show-details --ids {ids}"),
        _azure(_SCALE_SET, "vmss show --ids {ids}", _MEMBER),
        _google(_GOOGLE_VM, "compute instances describe {id}"),
    ),
    "ADV108": _COMMITMENTS,
    "ADV109": _COMMITMENTS,
    "ADV110": (_ec2("cr", "describe-capacity-reservations", "--capacity-reservation-ids {ids}"),),
    "ADV112": (_ec2("nat", "describe-route-tables", "--filters Name=route.nat-gateway-id,Values={list}"),),
    "ADV113": (
        _aws(
            r":log-group:(?P<id>[\w./#-]+)(?::\*)?$",
            "logs describe-log-groups --region {region} --log-group-name-prefix {id}",
        ),
        _azure("workspaces", "monitor log-analytics workspace show --ids {ids}"),
    ),
    "ADV114": (
        _ec2("snap", "describe-snapshots", "--filters Name=snapshot-id,Values={list}"),
        _aws(
            r"(?:^|/)(?P<id>vol-[\w-]+)$",
            "ec2 describe-volumes --region {region} --filters Name=volume-id,Values={list}",
        ),
        _aws(
            r"(?:^|/)(?P<id>fs-[0-9a-f]+)$",
            "efs describe-file-systems --region {region} --file-system-id {id}",
            "EFS|Elastic File",
        ),
        _aws(
            r"^(?:arn:aws[\w-]*:s3:::)?(?P<id>[a-z0-9][a-z0-9.-]{2,62})$",
            "s3api list-objects-v2 --bucket {id} --max-items 1000 --query 'Contents[].[LastModified,Size,Key]'",
            "^Amazon ?S3$|Simple Storage",
        ),
        _google(_BUCKET, "storage buckets describe gs://{id}"),
        _azure("snapshots", "snapshot show --ids {ids}"),
    ),
    "ADV115": (
        _aws(
            r"^(?P<id>arn:aws[\w-]*:elasticloadbalancing:[\w:-]+:loadbalancer/(?:app|net|gwy)/[\w/-]+)$",
            "elbv2 describe-target-groups --region {region} --load-balancer-arn {id}",
        ),
        _aws(
            r":loadbalancer/(?P<id>[\w-]+)$",
            "elb describe-load-balancers --region {region} --load-balancer-names {ids}",
        ),
        _ec2("eipalloc", "describe-addresses", "--filters Name=allocation-id,Values={list}"),
        _azure("publicIPAddresses", "network public-ip show --ids {ids}"),
        _azure("loadBalancers", "network lb show --ids {ids}"),
    ),
    "ADV117": (
        _ec2(_TAGGED_EC2, "describe-tags", "--filters Name=resource-id,Values={list}"),
        _aws(_ARN, f"{_TAGGING} get-resources --region {{region}} --resource-arn-list {{ids}}"),
        _google(_GOOGLE_VM, "compute instances describe {id}"),
        _azure(_SCALE_SET, "tag list --resource-id {id}", _MEMBER),
        _azure(r"[\w.]+", "tag list --resource-id {id}"),
    ),
}
"""Forms of what looks by finding, the first that fits counts."""
_ACTS: Mapping[str, Sequence[_Form]] = {
    "ADV117": (
        _ec2(_TAGGED_EC2, "create-tags", f"--resources {{ids}} --tags Key={_OWNER},Value=unassigned"),
        _aws(
            _ARN, f"{_TAGGING} tag-resources --region {{region}} --tags {_OWNER}=unassigned --resource-arn-list {{ids}}"
        ),
        _google(_GOOGLE_VM, f"compute instances add-labels {{id}} --labels {_OWNER}=unassigned"),
        _azure(_SCALE_SET, _AZURE_TAG, _MEMBER),
        _azure(r"[\w.]+", _AZURE_TAG),
    ),
}
"""Forms of what acts by finding."""


def looking_command(finding: str, places: Sequence[Place]) -> str | None:
    """The command that shows the dearest resources of a finding; None where none has a known form."""
    return _command(_LOOKS.get(finding, ()), places)


def acting_command(finding: str, places: Sequence[Place]) -> str | None:
    """The command that acts on the dearest resources of a finding and can be taken back; None where there is none."""
    return _command(_ACTS.get(finding, ()), places)


def _command(forms: Sequence[_Form], places: Sequence[Place]) -> str | None:
    """One line for resources; its parts do not depend on each other: what is gone since the bill stops no other."""
    named: dict[tuple[_Form, str], list[Mapping[str, str]]] = {}
    count = 0
    for place in places:
        formed = ((form, names) for form in forms if (names := form.names_of(place)) is not None)
        form, names = next(formed, (None, {}))
        if form is None or count == _MOST_RESOURCES:
            continue
        key = form, place.region if "{region}" in form.template else ""
        if names not in named.setdefault(key, []):
            named[key].append(names)
            count += 1
    commands = [command for (form, region), names in named.items() for command in form.commands(region, names)]
    return "; ".join(commands) or None


_JSON_LINES = (".jsonl", ".ndjson", ".json", ".jsonl.gz")


class Interval(NamedTuple):
    """An amount over the bill's period, and what it lies between."""

    value: Decimal
    low: Decimal
    high: Decimal

    @classmethod
    def between(cls, low: Decimal, high: Decimal) -> "Interval":
        """The middle of two bounds, where nothing is known of what lies between them."""
        return cls((low + high) / 2, low, high)

    @classmethod
    def exactly(cls, value: Decimal) -> "Interval":
        """An amount that is known."""
        return cls(value, value, value)


class Commands(NamedTuple):
    """Commands of a provider, or of this program, for a finding; None: those of its rule."""

    look: str | None = None
    act: str | None = None
    why_no_action: str = ""
    """Reason why nothing acts, whatever the rule says; "": as the rule says."""

    @classmethod
    def of_places(cls, rule: Rule, places: Sequence[Place]) -> "Commands":
        """Commands for the resources of a finding."""
        return cls(looking_command(rule.id, places), acting_command(rule.id, places))


@dataclass(frozen=True, slots=True)
class Context:
    """An audit as far as it is made, and the words of the command line that made it."""

    ledger: Ledger
    catalog: Catalog
    split: ComputeSplit
    endpoints: Sequence[Endpoint]
    traffic: Traffic | None
    machines: Sequence[EndpointMachines]
    """Accelerated machines of the bill, the dearest kind last."""
    audit_words: Sequence[str]
    """Arguments of ``advisor audit`` that repeat this audit."""
    telemetry_words: Sequence[str]
    """Directories of samples, or the server's address; empty: none."""

    def monthly(self, amount: Decimal) -> Decimal | None:
        """An amount of the bill's period as one of a month of 730 hours; None: the period is unknown."""
        hours = self.ledger.bill.hours
        return amount * HOURS_PER_MONTH / Decimal(hours) if hours else None

    def money(self, amount: Decimal) -> str:
        """An amount over the bill's period, with its currency."""
        return money(amount, self.ledger.bill.currency)

    def resources(self, where: str, name: str = RESOURCE, most: int = 1000) -> list[tuple[str, Decimal]]:
        """Resources of some charges with their cost, the dearest first; see :meth:`places`."""
        rows = self.ledger.database.rows(
            f"SELECT coalesce({name}, {RESOURCE}) AS name, sum(cost) AS cost "
            f"FROM charges WHERE {where} GROUP BY 1 HAVING sum(cost) <> 0 ORDER BY cost DESC, name LIMIT {most}"
        )
        return [(str(name), Decimal(cost)) for name, cost in rows]

    def places(self, where: str, name: str = "resource", most: int = 100) -> list[Place]:
        """Resources of some charges with provider and region, the dearest first; *name*: column that names them."""
        rows = self.ledger.database.rows(
            f"SELECT provider, region, {name}, service, sum(cost) AS cost FROM charges WHERE ({where}) "
            f"AND {name} IS NOT NULL GROUP BY ALL HAVING sum(cost) > 0 ORDER BY cost DESC, {name} LIMIT {most}"
        )
        return [
            Place(provider or "", region or "", str(resource), service or "")
            for provider, region, resource, service, _ in rows
        ]

    def finding(
        self,
        rule: Rule,
        amount: Interval,
        evidence: str,
        resources: Sequence[tuple[str, Decimal]],
        commands: Commands = Commands(),  # noqa: B008 - frozen
        machines: Sequence[str] = (),
    ) -> Finding:
        """A finding by its rule; amounts are turned into those of a month."""
        look = commands.look or self.command(rule, rule.look)
        act = commands.act or (self.command(rule, rule.action) if rule.action else None)
        act = None if commands.why_no_action else act
        return Finding(
            id=rule.id,
            title=rule.title,
            per_month=self.monthly(amount.value),
            low=self.monthly(amount.low),
            high=self.monthly(amount.high),
            basis=rule.basis,
            effort=rule.effort,
            evidence=evidence,
            risk=rule.risk,
            command=act or look,
            look=look,
            why_no_action="" if act else commands.why_no_action or rule.why_no_action,
            resources=resources,
            machines=machines,
        )

    def command(self, rule: Rule, action: str) -> str:
        """A command of this program for a finding; see :attr:`Rule.action`."""
        audit = f"advisor audit {shlex.join(self.audit_words)} --finding {rule.id}"
        if action == "into":
            return f"advisor audit {shlex.join(self.audit_words)} --into infra/"
        if action == "agent":
            return "advisor agent install systemd"
        if action == "cache":
            pairs = zip(self.audit_words, self.audit_words[1:], strict=False)
            logs = [word for option, word in pairs if option == "--requests" and word.endswith(_JSON_LINES)]
            return " && ".join(f"advisor demand cache {shlex.quote(log)}" for log in logs) or audit
        if not self.telemetry_words or action == "list":
            return audit
        places = shlex.join(self.telemetry_words)
        if action == "samples":
            return f"advisor samples need {places}"
        option = "--prometheus" if places.startswith(("http://", "https://")) else "--samples"
        sources = " ".join(f"{option} {shlex.quote(place)}" for place in self.telemetry_words)
        return f"advisor init {sources} --out workloads --yes && advisor recommend workloads/"


def positive(amount: Decimal) -> Decimal:
    """An amount, not below nothing: credits can make a part of a bill negative."""
    return max(amount, ZERO)
