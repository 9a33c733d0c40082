"""Values that the targets on Azure share: alarms as log alerts of Azure Monitor, entrances and their cost, examples.

Each host writes one line a minute to the system log (``host.py report``): a JSON object that the Azure Monitor agent
carries to Log Analytics, beside the kernel log. One query for each alarm reads them.

Source: Microsoft's reference of scheduled query rules (``Microsoft.Insights/scheduledQueryRules``) and the provider's
of ``azurerm_monitor_scheduled_query_rules_alert_v2``, read in November 2026: a fixed set of windows, and several
evaluations in a row only of queries that give times. These give one row, also where no line came: the window of one
evaluation is as long as the alarm waits.
"""

import json
from collections.abc import Mapping

from advisor.catalog import load_catalog
from advisor.codegen.alarms import OVER_TARGET, REQUESTS_WAITING, STALLED_MINUTES, TARGET_REQUESTS, Alarm, Source
from advisor.codegen.model import Stack
from advisor.cost import services
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH, usd


@dataclass(frozen=True, slots=True)
class Entrances:
    """The entrances of all regions."""

    size: services.EntranceSize
    regions: int
    usd_per_month: float | None
    """Of hosts or containers; None where a price is not known."""
    balancers: int = 0
    """Load balancers beyond the one of each region, which the plan prices beside its total."""

    @property
    def in_words(self) -> str:
        """Cost and what it is for."""
        each = self.size.name or f"{self.size.vcpus:g} vCPU and {self.size.memory_gib:g} GiB at work"
        hosts = f"{services.HOSTS * self.regions} × {each}"
        disks = ", with their disks" if self.size.name else ""
        return (
            f"what {hosts} cost (not known)"
            if self.usd_per_month is None
            else f"{usd(self.usd_per_month)} a month ({hosts}{disks})"
        )

    def within(self, stack: Stack) -> Stack:
        """Stack whose budget and cautions hold the entrances too: they may pass the margin of a small fleet."""
        if stack.budget.holds_entrances:
            return stack
        stack = stack.with_cautions(f"The total leaves out the entrances: {self.in_words}{self._behind}.")
        if self.usd_per_month is None:
            return stack
        budget = stack.budget
        more = self.usd_per_month + self._balancers_usd
        return replace(stack, budget=budget.with_more(more, of=f"{budget.of} and of the entrances"))

    @property
    def _balancers_usd(self) -> float:
        price = load_catalog().service_price("azure", "load_balancer", "")
        return 0.0 if price is None else self.balancers * price.usd * HOURS_PER_MONTH

    @property
    def _behind(self) -> str:
        """Load balancers between them and the hosts."""
        behind = f"; and the load balancers of the backends: {usd(self._balancers_usd)} a month ({self.balancers})"
        return behind if self.balancers else ""


def machines(stack: Stack) -> Entrances:
    """Hosts: the smallest size that carries the whole demand and is sold in each."""
    catalog, regions = load_catalog(), [region.name for region in stack.regions]
    load = _load(stack)
    for size in load.carried_by(services.MACHINES):
        sold = services.machine_prices(catalog, size.name)
        disks = [catalog.service_price("azure", "entrance_disk", region) for region in regions if region in sold]
        prices = [HOURS_PER_MONTH * sold[region].usd for region in regions if region in sold]
        prices += [disk.usd for disk in disks if disk is not None]
        if len(prices) == 2 * len(regions):
            return Entrances(size, len(regions), services.HOSTS * sum(prices), len(stack.backends))
    return Entrances(load.carried_by(services.MACHINES[1:])[0], len(regions), None, len(stack.backends))


def containers(stack: Stack) -> Entrances:
    """Containers: the smallest that carries the whole demand, at the price of one that is at work all the time."""
    catalog, load, regions = load_catalog(), _load(stack), [region.name for region in stack.regions]
    prices = [services.container_entrance_price(catalog, region, load) for region in regions]
    amounts = [price.usd for price in prices if price is not None]
    cost = services.HOSTS * HOURS_PER_MONTH * sum(amounts) if len(amounts) == len(prices) else None
    return Entrances(load.carried_by(services.CONTAINERS)[0], len(regions), cost)


def _load(stack: Stack) -> services.EntranceLoad:
    """The busiest minute of the demand; in a cut-over of the larger one of both plans, in every stage."""
    rates = [region.peak_requests_per_second for region in stack.regions]
    return services.EntranceLoad(max((rate for rate in rates if rate is not None), default=0.0), stack.answer_tokens)


PROGRAM = "inference-report"
"""Name that the hosts report under in the system log."""
_WINDOWS_MINUTES = {
    15: "PT15M",
    30: "PT30M",
    45: "PT45M",
    60: "PT1H",
    120: "PT2H",
    180: "PT3H",
    240: "PT4H",
    300: "PT5H",
    360: "PT6H",
}
"""Without the shorter ones: lines take some minutes to arrive."""
_REPORTS = (
    f'Syslog | where Facility == "local0" and ProcessName == "{PROGRAM}" | extend report = parse_json(SyslogMessage)'
)
_HOSTS = "summarize value = dcount(Computer)"


def _of_the_fullest(field: str) -> str:
    """The mean of the host that has the most: a short peak is none."""
    return (
        f"summarize mean = avg(todouble(report.{field})) by Computer"
        " | summarize value = max(mean) | where isnotnull(value)"
    )


def _percent_of(part: str, whole: str) -> str:
    """Percentage of all hosts' counts, as a query; without any there is no row and no alarm."""
    return (
        f"summarize part = sum(todouble(report.{part})), whole = sum(todouble(report.{whole}))"
        " | where whole > 0 | project value = 100.0 * part / whole"
    )


_VALUES: Mapping[str, str] = {
    "nvidia_smi_utilization_gpu": "summarize value = avg(todouble(report.gpu_percent)) | where isnotnull(value)",
    "nvidia_smi_memory_used": _of_the_fullest("gpu_memory_percent"),
    "mem_used_percent": _of_the_fullest("memory_percent"),
    "disk_used_percent": _of_the_fullest("disk_percent"),
    "RequestCount": "summarize value = sum(toint(report.requests))",
    "HealthyHostCount": f"where report.healthy == true | {_HOSTS}",
    "procstat_lookup_pid_count": (
        "summarize running = max(toint(tobool(report.agent))), first = min(TimeGenerated) by Computer"
        " | where first < ago(10m) | summarize value = min(running) | where isnotnull(value)"
    ),
    OVER_TARGET: _percent_of(OVER_TARGET, TARGET_REQUESTS),
    REQUESTS_WAITING: _of_the_fullest("waiting_ratio"),
    STALLED_MINUTES: f"summarize value = max(toint(report.{STALLED_MINUTES})) | where isnotnull(value)",
    "HTTPCode_Target_5XX_Count": _percent_of("server_errors", "answers"),
}
"""Metric of an alarm → how a query computes it from the reports."""
_COUNTED = "SampleCount"
"""Statistic of an alarm that counts the hosts that report at all."""


def log_alert(alarm: Alarm) -> Mapping[str, object]:
    """*alarm* on what the hosts report, as a scheduled query rule; a queue is reported as times of its limit."""
    return query_rule(replace(alarm, threshold=1) if alarm.per_request_rate else alarm, _query(alarm))


def query_rule(alarm: Alarm, query: str, description: str = "") -> Mapping[str, object]:
    """*alarm* as a scheduled query rule; the query gives one row with the column ``value``.

    ``per_instance`` counts the threshold for each planned instance of the region. What most rules share is left out.
    """
    return {
        "description": description or alarm.description,
        "query": query,
        **({"operator": "LessThan"} if alarm.below else {}),
        "threshold": 1 if alarm.per_instance else alarm.threshold,
        **({"per_instance": True} if alarm.per_instance else {}),
        "window": _window(alarm.period_seconds * alarm.periods / 60),
    }


def planned_alarm(stack: Stack, name: str) -> Alarm:
    """The alarm of that name."""
    return next(alarm for alarm in (*stack.alarms, *stack.slo_alarms) if alarm.name == name)


def _window(minutes: float) -> str:
    """The shortest that holds *minutes*, or the longest there is."""
    fitting = (length for length in _WINDOWS_MINUTES if length >= minutes)
    return _WINDOWS_MINUTES[next(fitting, max(_WINDOWS_MINUTES))]


def _query(alarm: Alarm) -> str:
    if alarm.source is Source.KERNEL_LOG:
        pattern = json.dumps(alarm.pattern)
        return f'Syslog | where Facility == "kern" and SyslogMessage contains {pattern} | summarize value = count()'
    value = _HOSTS if alarm.statistic == _COUNTED else _VALUES[alarm.metric]
    return f"{_REPORTS} | {value}"


EXAMPLE_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
_GROUP = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/inference"
EXAMPLE_VAULT = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/secrets/providers/Microsoft.KeyVault/vaults/my-vault"

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_LISTS = "SubOperationMatches{'Blob.List'}"
_PREFIX_CONDITION = (
    f"((!(ActionMatches{{'{_BLOBS}/read'}} AND NOT {_LISTS}))"
    f" OR (@Resource[{_BLOBS}:path] StringLike 'PREFIX*'))"
    f" AND ((!(ActionMatches{{'{_BLOBS}/read'}} AND {_LISTS}))"
    f" OR (@Request[{_BLOBS}:prefix] StringLike 'PREFIX*'))"
)
"""Of a role that reads blobs: only those whose name starts with PREFIX, and lists of them.

Source: Microsoft's examples of conditions for Blob Storage, "read or list blobs in named containers with a path"."""


def example_subnet(region: str) -> str:
    """Resource id of a subnet in *region*."""
    networks = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks"
    return f"{networks}/{region}/subnets/inference"


EXAMPLE_IDS = {
    "example_account": f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/myweights",
    "example_registry": f"{_GROUP}/providers/Microsoft.ContainerRegistry/registries/myregistry",
    "example_registry_secret": f"{EXAMPLE_VAULT}/secrets/ngc-key",
    "prefix_condition": _PREFIX_CONDITION,
}
"""Template values for weights and images, and the condition of a role that reads the former."""
