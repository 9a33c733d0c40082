"""Facts of the shipped tables, looked up row by row: the other half of a recomputation reads them by rules of its own.

Nothing of the product is imported here. Numbers are exact fractions of what stands in the tables.
"""

import csv
import math
import re
from fractions import Fraction
from functools import cache
from pathlib import Path

TABLES = Path(__file__).parents[2] / "instance_catalog"
LEAST_ZONES = {"aws": 3, "gcp": 3}
"""Zones that these promise of each region."""


@cache
def rows(name):
    """Rows of a table, as text."""
    path = TABLES / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def by_columns(name, *columns):
    """Rows of a table by the text of some columns; the first of equal ones."""
    found = {}
    for row in rows(name):
        found.setdefault(tuple(row[column] for column in columns), row)
    return found


def number(text):
    """A cell as an exact number; None where it is empty."""
    return None if text in ("", None) else Fraction(text)


def machine(provider, instance_type):
    """Row of a machine."""
    place = provider, instance_type
    return by_columns("instances", "provider", "name").get(place) or _processors(*place)


def _processors(provider, instance_type):
    """Row of a machine without an accelerator, in the columns of others; its cores are one."""
    tables = (by_columns(name, "provider", "name") for name in ("cpu_instances", "cpu_instances_cc_by_sa"))
    row = next((table[provider, instance_type] for table in tables if (provider, instance_type) in table), None)
    if row is None:
        return None
    networks = [
        line for line in rows("cpu_networks")
        if line["provider"] == provider and instance_type in line["instance_types"].split(";")
    ]  # fmt: skip
    return {
        **row, "accelerator_count": "1", "interconnect": "", "local_nvme_gb": "",
        "network_gbit_per_second": next((line["network_gbit_per_second"] for line in networks), ""),
    }  # fmt: skip


def offer_row(provider, region, instance_type):
    """Row of prices of a machine in a region."""
    tables = (by_columns(f"{kind}/{provider}", "region", "instance_type") for kind in ("prices", "cpu_prices"))
    return next((table[region, instance_type] for table in tables if (region, instance_type) in table), None)


def price(group):
    """USD per instance-hour that the tables say for a group of a plan; None: they have no such price."""
    provider, region, instance_type = group["provider"], group["region"], group["instance_type"]
    row = offer_row(provider, region, instance_type)
    match group["purchase"]:
        case "owned":
            return Fraction(0)
        case "on_demand" | "spot" as column:
            return row and number(row[f"{column}_usd_per_hour"])
        case "managed":
            table = by_columns("managed", "provider", "region", "instance_type")
            own = table.get((provider, region, instance_type)) or table.get((provider, "", instance_type))
            return own and number(own["usd_per_hour"])
        case "serverless":
            services = [
                number(line["usd_per_hour"]) and number(line["usd_per_hour"]) + further_usd(group, line)
                for line in rows("serverless")
                if line["provider"] == provider
                and f"{line['service']} {line['accelerator']}" == instance_type
                and region in (line["regions"].split(";") if line["regions"] else [""])
            ]
            return next(iter(services), None)
        case "commitment":
            return commitments(provider, region, instance_type).get(group["commitment"])


def further_usd(group, line):
    """USD per hour of what a container has beyond the least size, where files lie in its memory."""
    name = f"{line['service'].removesuffix(' with zonal redundancy')} {line['accelerator'].partition('-')[0]}".lower().replace(
        " ", "-"
    )
    sizes = [
        row["value"].split(";")
        for row in rows("deployment_limits")
        if row["limit"] == "container_sizes" and row["subject"] == name
    ]
    held_gib = math.ceil(group["checkpoint_gib"] * 1.2) + 6
    size = next((size for size in (sizes or [[]])[0] if int(size.partition("x")[2]) >= held_gib), None)
    if size is None:
        return 0
    price = {
        row["item"]: number(row["usd"])
        for row in rows("service_prices")
        if (row["provider"], row["region"]) == (group["provider"], group["region"])
    }
    vcpus, memory_gib = (
        Fraction(part) - number(line[column])
        for part, column in zip(size.split("x"), ("vcpus", "memory_gib"), strict=True)
    )
    return vcpus * price["container_vcpu"] + memory_gib * price["container_memory"] if vcpus or memory_gib else 0


def commitments(provider, region, instance_type):
    """USD per hour of each commitment to a machine, by the name that plans give it."""
    row = offer_row(provider, region, instance_type)
    on_demand = row and number(row["on_demand_usd_per_hour"])
    if on_demand is None:
        return {}
    found, quality = {}, {}
    for own in ("", region):
        for line in rows("commitments"):
            covered = line["provider"] == provider and family(provider, instance_type) in line["families"].split(";")
            if covered and line["region"] == own:
                name = label(line)
                found[name] = on_demand * (1 - (number(line["discount_ratio"]) or 0))
                quality[name] = "stale" if "stale" in (row["on_demand_quality"], line["quality"]) else line["quality"]
    for line in rows(f"committed_prices/{provider}"):
        if (line["instance_type"], line["region"]) == (instance_type, region):
            found[label(line)], quality[label(line)] = number(line["usd_per_hour"]), line["quality"]
    return {name: usd for name, usd in found.items() if usd < on_demand and quality[name] != "stale"}


def refused(provider, instance_type, purchase):
    """Whether no generated code orders a machine in this way."""
    return any(
        row["provider"] == provider
        and purchase in row["purchases"].split(";")
        and re.fullmatch(row["pattern"], instance_type)
        for row in rows("machine_support")
    )


def target(provider, instance_type):
    """What runs a machine unless another target is asked for."""
    for row in rows("machine_support"):
        if row["provider"] == provider and not row["purchases"] and re.fullmatch(row["pattern"], instance_type):
            return row["target"]
    return ""


def lacks(engine, trait):
    """Whether the table of limits says that an engine has none of something."""
    return any(
        (row["subject"], row["limit"], row["value"]) == (engine, trait, "none") for row in rows("deployment_limits")
    )


def speaks_https(engine, release):
    """Whether a release of an engine encrypts connections: from the one that the table of limits names, if it names any."""
    first = [row["value"] for row in rows("deployment_limits") if (row["subject"], row["limit"]) == (engine, "https")]
    if not first or first == ["none"]:
        return not first
    numbers, least = (tuple(map(int, re.findall(r"\d+", text))) for text in (release, first[0]))
    return not numbers or numbers >= least


def label(line):
    """Name of a commitment in a plan."""
    return f"{line['instrument']}, {line['term_years']} y, {line['payment'].replace('_', ' ')}"


def term_years(name):
    """Years of a commitment, from its name."""
    return int(re.search(r", (\d+) y, ", name)[1])


def family(provider, instance_type):
    """Types that a provider sells, and limits, as one."""
    if provider == "aws":
        return instance_type.split(".")[0]
    if provider == "azure":
        return re.sub(r"^([A-Z]+)\d+", r"\1", instance_type.replace("Standard_", "", 1))
    if provider == "gcp":
        parts = re.match(r"([^-+]+-[^-+]+)[^+]*(?:\+\d+x(.+))?$", instance_type)
        return parts[1] + (f"+{parts[2]}" if parts[2] else "") if parts else instance_type
    return instance_type


def egress_usd_per_gb(provider, region):
    """Price of a GB to users: of the region, else the dearest of the provider, else the dearest of all."""
    paid = [row for row in rows("egress") if row["destination"] == "internet"]
    for chosen in (
        [row for row in paid if (row["provider"], row["region"]) == (provider, region)],
        [row for row in paid if row["provider"] == provider],
        paid,
    ):
        if chosen:
            return max(per_unit(row, "per") for row in chosen)
    raise LookupError("no price of data at all")


def service_usd(provider, item, region):
    """Price of something beside machines: of the region, of all, else of the dearest region; None: nowhere known."""
    table = [row for row in rows("service_prices") if (row["provider"], row["item"]) == (provider, item)]
    for place in (region, ""):
        for row in table:
            if row["region"] == place:
                return per_unit(row, "unit")
    return max((per_unit(row, "unit") for row in table), default=None)


def per_unit(row, column):
    """Price of a row; data that is sold by the GiB is priced by the GB."""
    usd = number(row["usd"])
    return usd * 10**9 / 2**30 if row[column] == "GiB" else usd


def zone_count(provider, region, instance_type):
    """Zones of a region that a machine is sold in."""
    own = [row for row in rows("zones") if (row["provider"], row["region"]) == (provider, region)]
    for wanted in (instance_type, "*"):
        for row in own:
            if wanted in row["instance_types"].split(";"):
                return max(1, len([zone for zone in row["zones"].split(";") if zone]))
    seen = {zone for row in own for zone in row["zones"].split(";") if zone}
    return max(1, len(seen)) if own else LEAST_ZONES.get(provider, 1)


def interrupted_ratio(provider, region, instance_type):
    """Share of spot instances interrupted in a month, the middle of what is published; of the top bucket without."""
    row = by_columns("spot_interruptions", "provider", "region", "instance_type").get((provider, region, instance_type))
    if row is None:
        return Fraction(6, 10)
    return (number(row["interrupted_low_ratio"]) + number(row["interrupted_high_ratio"])) / 2


def start_fact(name):
    """(value, low, high) of a part of a cold start."""
    return range_of(by_columns("cold_start", "name")[name,])


def range_of(row):
    """(value, low, high) of a row that states a figure with its range."""
    value = number(row["value"])
    return value, number(row["low"]) or value, number(row["high"]) or value


def machine_start(provider, instance_type):
    """(value, low, high) of the start of a machine; None: it starts as others of its kind."""
    for row in rows("machine_starts"):
        if row["provider"] == provider and re.fullmatch(row["pattern"], instance_type):
            return range_of(row)
    return None


def quota_units(provider, instance_type, market):
    """(code, units of one instance) of the account's limit that counts a machine; None: not known."""
    for wanted in (family(provider, instance_type), "*"):
        for row in rows("quotas"):
            if (row["provider"], row["market"]) == (provider, market) and wanted in row["families"].split(";"):
                host = machine(provider, instance_type)
                if host is None:
                    return None
                counted = {r["unit"] for r in rows("quotas") if r["code"] == row["code"]}
                column = "vcpus" if "vcpu" in counted else "accelerator_count"
                return row["code"], number(host[column])
    return None
