"""FOCUS 1.0 to 1.4 of any provider: https://focus.finops.org/focus-specification/."""

from advisor.audit.sql import Columns, Expressions, Format

_PROVIDER = ("ProviderName", "ServiceProviderName", "HostProviderName", "PublisherName", "InvoiceIssuerName")
_SINCE = (
    ("1.4", ("CommitmentProgramEligibilityDetails", "InvoiceDetailId")),
    ("1.3", ("ServiceProviderName", "HostProviderName", "AllocatedMethodId", "ContractApplied")),
    ("1.2", ("InvoiceId", "BillingAccountType", "SubAccountType", "PricingCurrency")),
    ("1.1", ("ServiceSubcategory", "SkuMeter", "SkuPriceDetails", "CapacityReservationStatus")),
)
"""Columns that came with a version; the newest of which any is there is the version."""


def focus_version(columns: Columns) -> str:
    """The version that a file's columns are of."""
    return next((version for version, names in _SINCE if columns.find(*names)), "1.0")


def _expressions(columns: Columns) -> Expressions:
    text = columns.text
    status, reservation = text("CommitmentDiscountStatus"), text("CapacityReservationStatus")
    meter = text("SkuMeter", "x_UsageType", "x_SkuMeterName")
    pricing, commitment = text("PricingCategory"), text("CommitmentDiscountId")
    return {
        "provider": text(*_PROVIDER),
        "account": text("SubAccountId", "BillingAccountId"),
        "service": text("ServiceName"),
        "category": text("ServiceCategory"),
        "meter": meter,
        "description": text("ChargeDescription"),
        "details": text("SkuPriceDetails", "x_SkuDetails"),
        "instance_type": text("x_SkuInstanceType"),
        "region": text("RegionId", "RegionName", "x_Location"),
        "resource": text("ResourceId", "ResourceName"),
        "resource_name": text("ResourceName"),
        "resource_type": text("ResourceType", "x_ResourceType"),
        "charge": f"lower({text('ChargeCategory')})",
        "purchase": f"CASE {pricing} WHEN 'Dynamic' THEN 'spot' WHEN 'Committed' THEN 'committed' "
        f"WHEN 'Standard' THEN 'on_demand' ELSE CASE WHEN {commitment} IS NULL THEN 'other' ELSE 'committed' END END",
        "unused": f"CASE WHEN {status} = 'Unused' THEN 'commitment' "
        f"WHEN {reservation} = 'Unused' OR {meter} LIKE '%UnusedBox:%' THEN 'capacity_reservation' END",
        "commitment": commitment,
        "allocated": text("AllocatedMethodId"),
        "unit": text("ConsumedUnit", "PricingUnit"),
        "currency": text("BillingCurrency"),
        "tags": text("Tags", "x_Labels", "x_Tags"),
        "billed": columns.money("BilledCost"),
        "effective": columns.money("EffectiveCost"),
        "list_cost": columns.money("ListCost"),
        "quantity": columns.money("ConsumedQuantity", "PricingQuantity"),
        "start_time": columns.time("ChargePeriodStart"),
        "end_time": columns.time("ChargePeriodEnd"),
    }


def _notes(columns: Columns) -> tuple[str, ...]:
    missing = [name for name in ("Tags", "ServiceCategory", "CommitmentDiscountStatus") if not columns.find(name)]
    told = {
        "Tags": "owners"
        if columns.find("x_Labels", "x_Tags") is None
        else "owners but by the labels of x_Labels and x_Tags",
        "ServiceCategory": "kinds of services that the table of kinds does not know",
        "CommitmentDiscountStatus": "unused commitments",
    }
    if not missing:
        return ()
    return (f"the export has no {', '.join(missing)}: it cannot tell {'; '.join(told[name] for name in missing)}",)


FOCUS = Format(
    name="focus",
    title="FOCUS",
    mandatory=(
        ("BilledCost", "EffectiveCost"),
        ("BillingCurrency",),
        ("ChargeCategory",),
        ("ChargePeriodStart",),
        ("ChargePeriodEnd",),
        ("ServiceName",),
        _PROVIDER,
    ),
    expressions=_expressions,
    money=(("BilledCost",), ("EffectiveCost",)),
    times=(("ChargePeriodStart",), ("ChargePeriodEnd",)),
    notes=_notes,
)
