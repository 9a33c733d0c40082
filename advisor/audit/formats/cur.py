"""AWS Cost and Usage Report: CUR 2.0, and the legacy report, whose columns are the same but for punctuation.

Effective cost by kind of line, as in https://docs.aws.amazon.com/cur/latest/userguide/cur-ri-amortization.html and
https://docs.aws.amazon.com/cur/latest/userguide/cur-sp.html: covered use at the commitment's rate, the part of a fee
that nothing used, nothing for upfront fees and negations.
"""

from advisor.audit.sql import MONEY, NULL, Columns, Expressions, Format, name, text

_LEGACY_TAG = ("resourcetags", "resource_tags_")
_KEY = r'"(?:resourceTags/)?(?:user[_:])?([^"]*"\s*:)'
_EKS_KEY = r'"aws_eks_([^"]*"\s*:)'
_PLAIN, _EKS_PLAIN = r'"\1', r'"aws:eks:\1'
_BILLED = "line_item_unblended_cost"


def _expressions(columns: Columns) -> Expressions:
    value, money = columns.text, columns.money
    kind = value("line_item_line_item_type")
    reservation = value("reservation_reservation_a_r_n", "reservation_reservation_arn")
    line = value("identity_line_item_id")
    plan = value("savings_plan_savings_plan_a_r_n", "savings_plan_savings_plan_arn")
    return {
        "provider": "'AWS'",
        "account": value("line_item_usage_account_id"),
        "service": value("line_item_product_code"),
        "category": value("product_product_family"),
        "meter": value("line_item_usage_type"),
        "description": value("line_item_line_item_description"),
        "instance_type": _product(columns, "instance_type"),
        "region": f"coalesce({_product(columns, 'region_code')}, {_product(columns, 'region')})",
        "resource": value("line_item_resource_id"),
        "resource_type": value("line_item_operation"),
        "charge": f"CASE WHEN {kind} = 'Tax' THEN 'tax' WHEN {kind} IN ('Credit', 'Refund') THEN 'credit' "
        f"WHEN {kind} LIKE '%Discount' THEN 'adjustment' "
        f"WHEN {kind} IN ('Fee', 'RIFee', 'SavingsPlanUpfrontFee', 'SavingsPlanRecurringFee') THEN 'purchase' "
        "ELSE 'usage' END",
        "purchase": f"CASE WHEN {kind} LIKE 'SavingsPlan%' OR {kind} IN ('DiscountedUsage', 'RIFee') THEN 'committed' "
        f"WHEN {value('line_item_usage_type')} LIKE '%SpotUsage%' THEN 'spot' "
        f"WHEN {kind} = 'Usage' THEN 'on_demand' ELSE 'other' END",
        "unused": f"CASE WHEN {kind} IN ('RIFee', 'SavingsPlanRecurringFee') THEN 'commitment' "
        f"WHEN {value('line_item_usage_type')} LIKE '%UnusedBox:%' THEN 'capacity_reservation' END",
        "commitment": f"coalesce({plan}, {reservation})",
        "commitment_end": value("savings_plan_end_time", "reservation_end_time"),
        "allocated": value("split_line_item_parent_resource_id"),
        "unit": value("pricing_unit"),
        "currency": value("line_item_currency_code"),
        "tags": _tags(columns),
        "billed": money(_BILLED),
        "effective": _effective(columns, kind, reservation),
        "list_cost": money("pricing_public_on_demand_cost"),
        "quantity": money("line_item_usage_amount"),
        "start_time": columns.time("line_item_usage_start_date"),
        "end_time": columns.time("line_item_usage_end_date"),
        "line_id": f"CASE WHEN {line} IS NOT NULL THEN concat_ws('|', {line}, {value('identity_time_interval')}) END",
    }


def _effective(columns: Columns, kind: str, reservation: str) -> str:
    """Amortised cost; a line that misses what its kind needs has none."""
    money, zero = columns.money, f"0::{MONEY}"
    unused_fee = _sum(
        money("reservation_unused_amortized_upfront_fee_for_billing_period"),
        money("reservation_unused_recurring_fee"),
    )
    unused_plan = (
        f"({money('savings_plan_total_commitment_to_date')} - {money('savings_plan_used_commitment')})::{MONEY}"
    )
    return (
        f"CASE {kind} WHEN 'SavingsPlanCoveredUsage' THEN {money('savings_plan_savings_plan_effective_cost')} "
        f"WHEN 'SavingsPlanRecurringFee' THEN {unused_plan} "
        f"WHEN 'SavingsPlanNegation' THEN {zero} WHEN 'SavingsPlanUpfrontFee' THEN {zero} "
        f"WHEN 'DiscountedUsage' THEN {money('reservation_effective_cost')} WHEN 'RIFee' THEN {unused_fee} "
        f"WHEN 'Fee' THEN CASE WHEN {reservation} IS NULL THEN {money(_BILLED)} ELSE {zero} END "
        f"ELSE {money(_BILLED)} END"
    )


def _sum(first: str, second: str) -> str:
    """Sum of two amounts of which one may be unknown."""
    zero = f"0::{MONEY}"
    both_unknown = f"{first} IS NULL AND {second} IS NULL"
    return (
        f"CASE WHEN {both_unknown} THEN NULL ELSE (coalesce({first}, {zero}) + coalesce({second}, {zero}))::{MONEY} END"
    )


def _product(columns: Columns, key: str) -> str:
    """An attribute of the product: a column of its own, or an entry of the map ``product``."""
    own, product = columns.text(f"product_{key}"), columns.find("product")
    if product is None:
        return own
    if columns.types[product].startswith("MAP"):
        inner = f"{name(product)}[{text(key)}]"
    else:
        inner = f"json_extract_string(TRY_CAST({columns.text('product')} AS JSON), {text('$.' + key)})"
    return f"coalesce({own}, {inner})"


def _tags(columns: Columns) -> str:
    """The map of tags, or the tag columns of the legacy report as one object; keys as the user wrote them."""
    if columns.find("resource_tags"):
        return _plain_keys(columns.text("resource_tags"))
    tag_columns = [column for column in columns.types if column.casefold().startswith(_LEGACY_TAG)]
    if not tag_columns:
        return _plain_keys(columns.text("tags")) if columns.find("tags") else NULL
    pairs = ", ".join(f"{text(_tag_key(column))}, {name(column)}" for column in tag_columns)
    return f"CAST(json_object({pairs}) AS VARCHAR)"


def _plain_keys(tags: str) -> str:
    """SQL of tags without the prefix of the user's keys: CUR 2.0 writes ``user_team`` and ``aws_eks_node``."""
    plain = f"regexp_replace({tags}, {text(_KEY)}, {text(_PLAIN)}, 'g')"
    return f"regexp_replace({plain}, {text(_EKS_KEY)}, {text(_EKS_PLAIN)}, 'g')"


def _tag_key(column: str) -> str:
    plain = column.replace("resourceTags/", "").replace("resource_tags_", "")
    return plain.removeprefix("user:").removeprefix("user_").replace("aws_eks_", "aws:eks:")


CUR = Format(
    name="cur",
    title="AWS CUR",
    mandatory=(
        (_BILLED,),
        ("line_item_line_item_type",),
        ("line_item_product_code",),
        ("line_item_usage_type",),
        ("line_item_usage_start_date",),
        ("line_item_usage_end_date",),
        ("line_item_currency_code",),
    ),
    expressions=_expressions,
    money=((_BILLED,), ("savings_plan_savings_plan_effective_cost",), ("reservation_effective_cost",)),
    times=(("line_item_usage_start_date",), ("line_item_usage_end_date",)),
)
