"""Azure Cost Management export (actual or amortised cost):
https://learn.microsoft.com/azure/cost-management-billing/automate/understand-usage-details-fields.

Both data sets have the same columns. The one whose reservations cost something where they are used is amortised: its
cost is effective, and what was billed is unknown. The other way round an actual export with reservations has no
effective cost. Without reservations both are the same.
"""  # noqa: D205 - the address is longer than a line

from advisor.audit.sql import Columns, Expressions, Format

_COST = ("CostInBillingCurrency", "PreTaxCost", "Cost")
_CURRENCY = ("BillingCurrency", "BillingCurrencyCode", "Currency")
_DATE = ("Date", "UsageDateTime")
_COVERED = "format = 'azure' AND purchase = 'committed' AND (charge = 'usage' OR unused IS NOT NULL)"


def _expressions(columns: Columns) -> Expressions:
    value = columns.text
    charge, model = value("ChargeType"), value("PricingModel")
    family = value("ServiceFamily")
    return {
        "provider": "'Microsoft'",
        "account": value("SubscriptionId", "SubscriptionGuid"),
        "service": value("MeterCategory", "ConsumedService"),
        "category": f"CASE {family} WHEN 'AI + Machine Learning' THEN 'AI and Machine Learning' ELSE {family} END",
        "meter": f"concat_ws(' ', {value('MeterSubCategory')}, {value('MeterName')})",
        "description": value("ProductName", "Product"),
        "details": value("AdditionalInfo"),
        "region": value("ResourceLocation", "MeterRegion"),
        "resource": value("ResourceId", "InstanceId"),
        "resource_name": value("ResourceName"),
        "resource_type": value("ConsumedService", "ResourceType"),
        "charge": f"CASE WHEN {charge} IS NULL THEN 'usage' WHEN {charge} LIKE 'Unused%' THEN 'usage' "
        f"WHEN {charge} = 'Refund' THEN 'credit' ELSE lower({charge}) END",
        "purchase": f"CASE WHEN {model} = 'Spot' THEN 'spot' WHEN {model} IN ('Reservation', 'SavingsPlan') "
        f"OR {charge} LIKE 'Unused%' THEN 'committed' WHEN {model} = 'OnDemand' THEN 'on_demand' ELSE 'other' END",
        "unused": f"CASE WHEN {charge} LIKE 'Unused%' THEN 'commitment' END",
        "commitment": value("BenefitId", "ReservationId"),
        "unit": value("UnitOfMeasure"),
        "currency": value(*_CURRENCY),
        "tags": value("Tags"),
        "billed": columns.money(*_COST),
        "effective": columns.money(*_COST),
        "quantity": columns.money("Quantity", "UsageQuantity"),
        "start_time": columns.time(*_DATE),
        "end_time": f"({columns.time(*_DATE)} + INTERVAL 1 DAY)",
    }


AZURE = Format(
    name="azure",
    title="Azure cost export",
    mandatory=(_COST, _CURRENCY, _DATE, ("MeterCategory", "ConsumedService")),
    expressions=_expressions,
    money=(_COST,),
    times=(_DATE,),
    settle=(
        (
            f"UPDATE raw SET effective = NULL WHERE format = 'azure' AND EXISTS (FROM raw WHERE {_COVERED}) "
            f"AND NOT EXISTS (FROM raw WHERE {_COVERED} AND billed <> 0)"
        ),
        f"UPDATE raw SET billed = NULL WHERE format = 'azure' AND EXISTS (FROM raw WHERE {_COVERED} AND billed <> 0)",
    ),
)
