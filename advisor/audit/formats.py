"""Billing exports in one shape: a table of SQL expressions for each format; and which format a table is of.

Azure Cost Management export (actual or amortised cost):
https://learn.microsoft.com/azure/cost-management-billing/automate/understand-usage-details-fields.

Both data sets have the same columns. The one whose reservations cost something where they are used is amortised: its
cost is effective, and what was billed is unknown. The other way round an actual export with reservations has no
effective cost. Without reservations both are the same.

Google Cloud billing export to BigQuery (standard and detailed), as Parquet, JSON lines or a flattened CSV:
https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/detailed-usage.

The export states cost and credits apart; their sum is what is billed. It has no amortised cost.

AWS Cost and Usage Report: CUR 2.0, and the legacy report, whose columns are the same but for punctuation.

Effective cost by kind of line, as in https://docs.aws.amazon.com/cur/latest/userguide/cur-ri-amortization.html and
https://docs.aws.amazon.com/cur/latest/userguide/cur-sp.html: covered use at the commitment's rate, the part of a fee
that nothing used, nothing for upfront fees and negations.

FOCUS 1.0 to 1.4 of any provider: https://focus.finops.org/focus-specification/.
"""

from advisor.audit.files import Table, sample_names
from advisor.audit.sql import MONEY, NULL, Columns, Expressions, Format, name, text
from advisor.errors import InputError
from advisor.names import nearest

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


def _focus_expressions(columns: Columns) -> Expressions:
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


def _focus_notes(columns: Columns) -> tuple[str, ...]:
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
    expressions=_focus_expressions,
    money=(("BilledCost",), ("EffectiveCost",)),
    times=(("ChargePeriodStart",), ("ChargePeriodEnd",)),
    notes=_focus_notes,
)
_LEGACY_TAG = ("resourcetags", "resource_tags_")
_KEY = r'"(?:resourceTags/)?(?:user[_:])?([^"]*"\s*:)'
_EKS_KEY = r'"aws_eks_([^"]*"\s*:)'
_PLAIN, _EKS_PLAIN = r'"\1', r'"aws:eks:\1'
_BILLED = "line_item_unblended_cost"


def _cur_expressions(columns: Columns) -> Expressions:
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
    upfront = money("reservation_unused_amortized_upfront_fee_for_billing_period")
    recurring = money("reservation_unused_recurring_fee")
    unused_fee = (
        f"CASE WHEN {upfront} IS NULL AND {recurring} IS NULL THEN NULL "
        f"ELSE (coalesce({upfront}, {zero}) + coalesce({recurring}, {zero}))::{MONEY} END"
    )
    committed, used = money("savings_plan_total_commitment_to_date"), money("savings_plan_used_commitment")
    unused_plan = f"({committed} - {used})::{MONEY}"
    return (
        f"CASE {kind} WHEN 'SavingsPlanCoveredUsage' THEN {money('savings_plan_savings_plan_effective_cost')} "
        f"WHEN 'SavingsPlanRecurringFee' THEN {unused_plan} "
        f"WHEN 'SavingsPlanNegation' THEN {zero} WHEN 'SavingsPlanUpfrontFee' THEN {zero} "
        f"WHEN 'DiscountedUsage' THEN {money('reservation_effective_cost')} WHEN 'RIFee' THEN {unused_fee} "
        f"WHEN 'Fee' THEN CASE WHEN {reservation} IS NULL THEN {money(_BILLED)} ELSE {zero} END "
        f"ELSE {money(_BILLED)} END"
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
    pairs = []
    for column in tag_columns:
        key = column.replace("resourceTags/", "").replace("resource_tags_", "")
        plain = key.removeprefix("user:").removeprefix("user_").replace("aws_eks_", "aws:eks:")
        pairs.append(f"{text(plain)}, {name(column)}")
    return f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)"


def _plain_keys(tags: str) -> str:
    """SQL of tags without the prefix of the user's keys: CUR 2.0 writes ``user_team`` and ``aws_eks_node``."""
    plain = f"regexp_replace({tags}, {text(_KEY)}, {text(_PLAIN)}, 'g')"
    return f"regexp_replace({plain}, {text(_EKS_KEY)}, {text(_EKS_PLAIN)}, 'g')"


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
    expressions=_cur_expressions,
    money=((_BILLED,), ("savings_plan_savings_plan_effective_cost",), ("reservation_effective_cost",)),
    times=(("line_item_usage_start_date",), ("line_item_usage_end_date",)),
)
_FLAT_CREDITS = ("credits.amount", "credit_amount", "credits_total", "total_credits", "credit", "credits_sum")
MACHINE_SPEC = "compute.googleapis.com/machine_spec"
"""System label of Google Cloud that has the type of a machine."""


def _gcp_expressions(columns: Columns) -> Expressions:
    inner, sku = columns.inner, columns.inner("sku", "description")
    kind = columns.text("cost_type")
    return {
        "provider": "'Google Cloud'",
        "account": inner("project", "id"),
        "service": inner("service", "description"),
        "meter": sku,
        "description": sku,
        "instance_type": _machine_type(columns),
        "region": f"coalesce({inner('location', 'region')}, {inner('location', 'location')})",
        "resource": f"coalesce({inner('resource', 'global_name')}, {inner('resource', 'name')})",
        "resource_name": inner("resource", "name"),
        "charge": f"CASE WHEN {kind} = 'tax' THEN 'tax' WHEN {kind} IN ('adjustment', 'rounding_error') "
        f"THEN 'adjustment' WHEN {sku} LIKE 'Commitment%' THEN 'purchase' ELSE 'usage' END",
        "purchase": f"CASE WHEN {sku} ILIKE '%spot preemptible%' OR {sku} ILIKE '%preemptible%' THEN 'spot' "
        f"WHEN {sku} LIKE 'Commitment%' THEN 'committed' ELSE 'on_demand' END",
        "unit": inner("usage", "unit"),
        "currency": columns.text("currency"),
        "tags": columns.text("labels", "project.labels"),
        "billed": f"({columns.money('cost')} + coalesce({_credits(columns)}, 0::{MONEY}))::{MONEY}",
        "list_cost": columns.money("cost_at_list"),
        "quantity": f"TRY_CAST({inner('usage', 'amount')} AS {MONEY})",
        "start_time": columns.time("usage_start_time"),
        "end_time": columns.time("usage_end_time"),
    }


def _credits(columns: Columns) -> str:
    """Sum of the credits of a row: a list, its JSON, or a flat amount."""
    column = columns.find("credits")
    if column is None:
        return columns.money(*_FLAT_CREDITS)
    entries = name(column)
    if not columns.types[column].endswith("[]"):
        listed = columns.text("credits")
        refusal = "the column credits holds no JSON in some rows (write it with TO_JSON_STRING)"
        entries = (
            f"""from_json(CASE WHEN json_valid({listed}) THEN {listed} WHEN {listed} IS NOT NULL """
            f"""THEN error({text(refusal)}) END, '[{{"amount":"VARCHAR"}}]')"""
        )
    exact = f"list_transform({entries}, lambda credit: CAST(CAST(credit.amount AS VARCHAR) AS {MONEY}))"
    return f"CAST(list_sum({exact}) AS {MONEY})"


def _machine_type(columns: Columns) -> str:
    """The system label ``compute.googleapis.com/machine_spec``: of a list of keys and values, or of an object."""
    labels = f"TRY_CAST({columns.text('system_labels')} AS JSON)"
    key, value = (f"json_extract_string(label, '$.{part}')" for part in ("key", "value"))
    entries = f"list_filter(TRY_CAST({labels} AS JSON[]), lambda label: {key} = {text(MACHINE_SPEC)})"
    listed = f"list_extract(list_transform({entries}, lambda label: {value}), 1)"
    path = text('$."' + MACHINE_SPEC + '"')
    return f"nullif(coalesce({listed}, json_extract_string({labels}, {path})), '')"


def _notes(columns: Columns) -> tuple[str, ...]:
    notes = ["Google Cloud's export does not say which commitments went unused, nor an amortised cost"]
    if columns.find("resource", "resource.name", "resource.global_name") is None:
        notes.append(
            "the standard export names no resources: nothing can be joined with telemetry; use the detailed one"
        )
    if columns.find("credits", *_FLAT_CREDITS) is None:
        notes.append("the export has no column of credits: discounts are not taken off, and less may have been billed")
    if columns.find("labels", "project.labels") is None:
        notes.append("the export has no labels: owners are unknown")
    return tuple(notes)


GCP = Format(
    name="gcp",
    title="Google Cloud billing export",
    mandatory=(
        ("cost",),
        ("currency",),
        ("service", "service.description"),
        ("sku", "sku.description"),
        ("usage_start_time",),
        ("usage_end_time",),
    ),
    expressions=_gcp_expressions,
    money=(("cost",),),
    times=(("usage_start_time",), ("usage_end_time",)),
    notes=_notes,
)
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
FORMATS = (FOCUS, CUR, AZURE, GCP)


def format_of(table: Table, stated: str | None) -> Format:
    """The format whose mandatory columns a table has, or the *stated* one.

    Raises InputError if none fits, several do, or the stated one lacks columns, each named with the nearest that is
    there.
    """
    if stated is not None:
        wanted = next(kind for kind in FORMATS if kind.name == stated)
        if wanted.missing(table.columns):
            raise _lacks(table, wanted, is_stated=True)
        return wanted
    fitting = [kind for kind in FORMATS if not kind.missing(table.columns)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        message = f"the columns fit several formats: {', '.join(kind.title for kind in fitting)}"
        hint = f"name it with --bill-format {' or '.join(kind.name for kind in fitting)}"
        raise InputError(message, where=table.where, hint=hint)
    nearest_format = min(FORMATS, key=lambda kind: len(kind.missing(table.columns)) / len(kind.mandatory))
    raise _lacks(table, nearest_format, is_stated=False)


def is_no_bill(table: Table) -> bool:
    """Whether a table has not one mandatory column of any format."""
    return all(len(kind.missing(table.columns)) == len(kind.mandatory) for kind in FORMATS)


def _lacks(table: Table, kind: Format, *, is_stated: bool) -> InputError:
    missing = kind.missing(table.columns)
    if is_no_bill(table) and not is_stated:
        titles = ", ".join(format_.title for format_ in FORMATS)
        return InputError(
            f"no billing export that is known here; its columns: {sample_names(table.columns)}",
            where=table.where,
            hint=f"give one of {titles}",
        )
    close = {column: nearest(column, table.columns.types)[:1] for column in missing}
    told = {column: f"nearest: {names[0]}" if names else "nothing like it is there" for column, names in close.items()}
    named = "; ".join(f"{column} ({words})" for column, words in told.items())
    plural = "column" if len(missing) == 1 else "columns"
    hint = "export the bill with these columns, or rename the nearest ones"
    return InputError(f"mandatory {plural} of {kind.title} missing: {named}", where=table.where, hint=hint)
