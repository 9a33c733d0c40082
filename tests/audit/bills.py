"""Bills made up from one list of charges, written as each provider exports them."""

import csv
import gzip
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

START = datetime(2026, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Charge:
    """One charge of an hour. ``what`` says which meter of each provider it is."""

    what: str = "accelerator"
    cost: Decimal = Decimal("1.0")
    """Billed."""
    effective: Decimal | None = None
    """None: as billed."""
    resource: str = "i-0aaa"
    kind: str = "usage"
    """usage, covered, unused, purchase, tax, credit, refund, negation."""
    at: datetime = START
    currency: str = "USD"
    tags: dict[str, str] = field(default_factory=dict)
    line: str = ""

    @property
    def amortised(self) -> Decimal:
        """Effective cost."""
        return self.cost if self.effective is None else self.effective


KIND_OF = {
    "accelerator": "compute", "machine": "compute", "disk": "storage", "objects": "storage", "nat": "network",
    "zones": "network", "logs": "managed", "tokens": "managed", "database": "managed",
}  # fmt: skip
FOCUS = {
    "accelerator": ("Amazon Elastic Compute Cloud", "Compute", "USE1-BoxUsage:g5.12xlarge"),
    "machine": ("Amazon Elastic Compute Cloud", "Compute", "USE1-BoxUsage:m5.large"),
    "disk": ("Amazon Elastic Compute Cloud", "Storage", "USE1-EBS:VolumeUsage.gp3"),
    "objects": ("Amazon Simple Storage Service", "Storage", "USE1-TimedStorage-ByteHrs"),
    "nat": ("Amazon Elastic Compute Cloud", "Compute", "USE1-NatGateway-Bytes"),
    "zones": ("Amazon Elastic Compute Cloud", "Compute", "USE1-DataTransfer-Regional-Bytes"),
    "logs": ("AmazonCloudWatch", "Management and Governance", "USE1-DataProcessing-Bytes"),
    "tokens": ("Amazon Bedrock", "AI and Machine Learning", "USE1-Claude3Sonnet-input-tokens"),
    "database": ("Amazon Relational Database Service", "Databases", "USE1-InstanceUsage:db.r5.large"),
}
CUR_CODES = {
    "Amazon Elastic Compute Cloud": "AmazonEC2", "Amazon Simple Storage Service": "AmazonS3",
    "AmazonCloudWatch": "AmazonCloudWatch", "Amazon Bedrock": "AmazonBedrock",
    "Amazon Relational Database Service": "AmazonRDS",
}  # fmt: skip
AZURE = {
    "accelerator": ("Virtual Machines", "Compute", "NC24ads A100 v4", "Standard_NC24ads_A100_v4"),
    "machine": ("Virtual Machines", "Compute", "D2s v5", "Standard_D2s_v5"),
    "disk": ("Storage", "Storage", "P10 LRS Disk", ""),
    "objects": ("Storage", "Storage", "Hot LRS Data Stored", ""),
    "nat": ("NAT Gateway", "Networking", "Standard Data Processed", ""),
    "zones": ("Bandwidth", "Networking", "Inter Availability Zone Data Transfer In", ""),
    "logs": ("Log Analytics", "Management and Governance", "Analytics Logs Data Ingestion", ""),
    "tokens": ("Azure OpenAI", "AI + Machine Learning", "gpt-5 Input Tokens", ""),
    "database": ("SQL Database", "Databases", "vCore", ""),
}
GCP = {
    "accelerator": ("Compute Engine", "Nvidia L4 GPU running in Frankfurt"),
    "machine": ("Compute Engine", "N2 Instance Core running in Frankfurt"),
    "disk": ("Compute Engine", "Storage PD Capacity in Frankfurt"),
    "objects": ("Cloud Storage", "Standard Storage Frankfurt"),
    "nat": ("Networking", "Networking Cloud Nat Data Processing"),
    "zones": ("Compute Engine", "Network Inter Zone Data Transfer Out"),
    "logs": ("Cloud Logging", "Log Storage cost"),
    "tokens": ("Vertex AI", "Gemini 2.5 Flash Text Input"),
    "database": ("Cloud SQL", "Cloud SQL for PostgreSQL: Zonal - vCPU in Frankfurt"),
}
FOCUS_HEADER = (
    "BilledCost", "EffectiveCost", "ListCost", "BillingCurrency", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargePeriodStart", "ChargePeriodEnd", "CommitmentDiscountId", "CommitmentDiscountStatus", "ConsumedQuantity",
    "ConsumedUnit", "PricingCategory", "ProviderName", "RegionId", "ResourceId", "ResourceName", "ServiceCategory",
    "ServiceName", "SkuMeter", "Tags",
)  # fmt: skip
_FOCUS_CATEGORY = {
    "tax": "Tax",
    "credit": "Credit",
    "refund": "Credit",
    "purchase": "Purchase",
    "negation": "Adjustment",
}


def focus_row(charge: Charge, zone: str = "Z") -> dict[str, str]:
    """A charge as FOCUS has it; *zone* ends each time."""
    service, category, meter = FOCUS[charge.what]
    is_committed = charge.kind in ("covered", "unused", "purchase")
    return {
        "BilledCost": f"{charge.cost:f}",
        "EffectiveCost": f"{charge.amortised:f}",
        "ListCost": f"{charge.amortised * 2:f}",
        "BillingCurrency": charge.currency,
        "ChargeCategory": _FOCUS_CATEGORY.get(charge.kind, "Usage"),
        "ChargeClass": "Correction" if charge.kind == "refund" else "",
        "ChargeDescription": f"{service}, {meter}",
        "ChargePeriodStart": f"{charge.at:%Y-%m-%dT%H:%M:%S}{zone}",
        "ChargePeriodEnd": f"{charge.at + HOUR:%Y-%m-%dT%H:%M:%S}{zone}",
        "CommitmentDiscountId": "sp-1" if is_committed else "",
        "CommitmentDiscountStatus": {"covered": "Used", "unused": "Unused"}.get(charge.kind, ""),
        "ConsumedQuantity": "1",
        "ConsumedUnit": "Hours",
        "PricingCategory": "Committed" if is_committed else "Standard",
        "ProviderName": "AWS",
        "RegionId": "us-east-1",
        "ResourceId": charge.resource,
        "ResourceName": "",
        "ServiceCategory": category,
        "ServiceName": service,
        "SkuMeter": meter,
        "Tags": json.dumps(charge.tags) if charge.tags else "NULL",
    }


def write_csv(path, rows, delimiter=","):
    """Rows with the union of their keys as the header."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, restval="", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_focus(path, charges):
    """A FOCUS file, by its ending."""
    rows = [focus_row(charge) for charge in charges]
    if path.suffix != ".parquet":
        return write_csv(path, rows or [dict.fromkeys(FOCUS_HEADER, "")])
    money = pa.decimal128(30, 12)
    columns = {
        "BilledCost": pa.array([charge.cost.quantize(Decimal("1e-12")) for charge in charges], money),
        "EffectiveCost": pa.array([charge.amortised.quantize(Decimal("1e-12")) for charge in charges], money),
        "ChargePeriodStart": pa.array([charge.at for charge in charges], pa.timestamp("us", "UTC")),
        "ChargePeriodEnd": pa.array([charge.at + HOUR for charge in charges], pa.timestamp("us", "UTC")),
        "Tags": pa.array([list(charge.tags.items()) for charge in charges], pa.map_(pa.string(), pa.string())),
    }
    texts = [name for name in FOCUS_HEADER if name not in columns and name not in ("ListCost", "ConsumedQuantity")]
    columns |= {name: pa.array([row[name] or None for row in rows], pa.string()) for name in texts}
    pq.write_table(pa.table(columns), path)
    return path


_CUR_TYPE = {
    "usage": "Usage", "covered": "SavingsPlanCoveredUsage", "unused": "SavingsPlanRecurringFee", "tax": "Tax",
    "credit": "Credit", "refund": "Refund", "purchase": "SavingsPlanUpfrontFee", "negation": "SavingsPlanNegation",
}  # fmt: skip


def cur_row(charge: Charge, number: int) -> dict[str, str]:
    """A charge as CUR 2.0 has it."""
    service, _, meter = FOCUS[charge.what]
    row = {
        "identity_line_item_id": charge.line or f"line-{number}",
        "identity_time_interval": f"{charge.at:%Y-%m-%dT%H:%M:%SZ}/{charge.at + HOUR:%Y-%m-%dT%H:%M:%SZ}",
        "line_item_line_item_type": _CUR_TYPE[charge.kind],
        "line_item_product_code": CUR_CODES[service],
        "line_item_usage_type": meter,
        "line_item_usage_start_date": f"{charge.at:%Y-%m-%dT%H:%M:%SZ}",
        "line_item_usage_end_date": f"{charge.at + HOUR:%Y-%m-%dT%H:%M:%SZ}",
        "line_item_currency_code": charge.currency,
        "line_item_unblended_cost": f"{charge.cost:f}",
        "line_item_resource_id": charge.resource,
        "line_item_usage_amount": "1",
        "product_region_code": "us-east-1",
        "resource_tags": json.dumps(charge.tags) if charge.tags else "",
        "savings_plan_savings_plan_effective_cost": "",
        "savings_plan_total_commitment_to_date": "",
        "savings_plan_used_commitment": "",
        "savings_plan_savings_plan_a_r_n": "arn:sp-1" if charge.kind in ("covered", "unused") else "",
        "savings_plan_end_time": "2026-11-20T00:00:00.000Z" if charge.kind == "covered" else "",
        "split_line_item_parent_resource_id": "",
        "pricing_public_on_demand_cost": f"{charge.amortised * 2:f}",
    }
    if charge.kind == "covered":
        row["savings_plan_savings_plan_effective_cost"] = f"{charge.amortised:f}"
    if charge.kind == "unused":
        row["savings_plan_total_commitment_to_date"] = f"{charge.amortised + 3:f}"
        row["savings_plan_used_commitment"] = "3"
    return row


def azure_row(charge: Charge, *, amortised: bool) -> dict[str, str]:
    """A charge as an Azure export has it."""
    service, family, meter, machine = AZURE[charge.what]
    kinds = {
        "unused": "UnusedReservation",
        "purchase": "Purchase",
        "tax": "Tax",
        "refund": "Refund",
        "credit": "Credit",
    }
    is_committed = charge.kind in ("covered", "unused", "purchase")
    return {
        "Date": f"{charge.at:%m/%d/%Y}",
        "CostInBillingCurrency": f"{charge.amortised if amortised else charge.cost:f}",
        "BillingCurrency": charge.currency,
        "ChargeType": kinds.get(charge.kind, "Usage"),
        "PricingModel": "Reservation" if is_committed else "OnDemand",
        "MeterCategory": service,
        "ServiceFamily": family,
        "MeterName": meter,
        "ResourceId": f"/subscriptions/s/resourceGroups/g/providers/p/{charge.resource}",
        "ResourceLocation": "westeurope",
        "Quantity": "1",
        "AdditionalInfo": json.dumps({"ServiceType": machine}) if machine else "",
        "Tags": ", ".join(f'"{key}": "{value}"' for key, value in charge.tags.items()),
    }


def gcp_row(charge: Charge) -> dict:
    """A charge as Google's export has it: credits beside the cost."""
    service, sku = GCP[charge.what]
    credit = Decimal("-0.25") if charge.kind == "usage" else Decimal(0)
    return {
        "service": {"id": "s", "description": service},
        "sku": {"id": "k", "description": f"Commitment v1: {sku}" if charge.kind == "purchase" else sku},
        "usage_start_time": f"{charge.at:%Y-%m-%d %H:%M:%S} UTC",
        "usage_end_time": f"{charge.at + HOUR:%Y-%m-%d %H:%M:%S} UTC",
        "project": {"id": "p"},
        "labels": [{"key": key, "value": value} for key, value in charge.tags.items()],
        "location": {"region": "europe-west3"},
        "resource": {"name": charge.resource},
        "cost": f"{charge.cost - credit:f}",
        "currency": charge.currency,
        "credits": [{"name": "sustained use", "amount": f"{credit:f}"}] if credit else [],
        "cost_type": "tax" if charge.kind == "tax" else "regular",
    }


def _write_cur(folder, charges):
    return write_csv(folder / "cur.csv", [cur_row(charge, number) for number, charge in enumerate(charges)])


def _write_azure(folder, charges, *, amortised):
    return write_csv(folder / "azure.csv", [azure_row(charge, amortised=amortised) for charge in charges])


def _write_gcp_json(folder, charges):
    path = folder / "gcp.jsonl"
    path.write_text("".join(json.dumps(gcp_row(charge)) + "\n" for charge in charges))
    return path


def _write_gcp_parquet(folder, charges):
    rows = [gcp_row(charge) for charge in charges]
    exact = pa.decimal128(38, 15)
    credit = pa.struct([("name", pa.string()), ("amount", exact)])
    for row in rows:
        row["cost"] = Decimal(row["cost"])
        row["credits"] = [{**one, "amount": Decimal(one["amount"])} for one in row["credits"]]
    label = pa.struct([("key", pa.string()), ("value", pa.string())])
    types = {"cost": exact, "credits": pa.list_(credit), "labels": pa.list_(label)}
    arrays = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
    pq.write_table(pa.table(arrays), folder / "gcp.parquet")
    return folder / "gcp.parquet"


WRITERS = {
    "focus": lambda folder, charges: write_focus(folder / "focus.csv", charges),
    "focus-gzip": lambda folder, charges: write_focus(folder / "focus.csv.gz", charges),
    "focus-parquet": lambda folder, charges: write_focus(folder / "focus.parquet", charges),
    "cur": _write_cur,
    "azure-actual": lambda folder, charges: _write_azure(folder, charges, amortised=False),
    "azure-amortised": lambda folder, charges: _write_azure(folder, charges, amortised=True),
    "gcp-json": _write_gcp_json,
    "gcp-parquet": _write_gcp_parquet,
    "gcp-csv": lambda folder, charges: write_csv(folder / "gcp.csv", [_flat(gcp_row(charge)) for charge in charges]),
}
FORMS = tuple(WRITERS)


def write_bill(folder, form: str, charges: list[Charge]):
    """A bill in a format."""
    return WRITERS[form](folder, charges)


def _flat(row: dict) -> dict[str, str]:
    return {
        "service_description": row["service"]["description"],
        "sku_description": row["sku"]["description"],
        "location_region": row["location"]["region"],
        "resource_name": row["resource"]["name"],
        "labels": json.dumps(row["labels"]),
        "credits": json.dumps(row["credits"]),
        **{name: row[name] for name in ("usage_start_time", "usage_end_time", "cost", "currency", "cost_type")},
    }


def hours(charge: Charge, count: int) -> list[Charge]:
    """The same charge in each of some hours."""
    return [
        replace(charge, at=START + number * HOUR, line=f"{charge.resource}-{charge.what}-{number}")
        for number in range(count)
    ]
