"""Google Cloud billing export to BigQuery (standard and detailed), as Parquet, JSON lines or a flattened CSV:
https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/detailed-usage.

The export states cost and credits apart; their sum is what is billed. It has no amortised cost.
"""  # noqa: D205 - the address is longer than a line

from advisor.audit.sql import MONEY, Columns, Expressions, Format, name, text

_FLAT_CREDITS = ("credits.amount", "credit_amount", "credits_total", "total_credits", "credit", "credits_sum")
_MACHINE = "compute.googleapis.com/machine_spec"


def _expressions(columns: Columns) -> Expressions:
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
    entries = f"list_filter(TRY_CAST({labels} AS JSON[]), lambda label: {key} = {text(_MACHINE)})"
    listed = f"list_extract(list_transform({entries}, lambda label: {value}), 1)"
    path = text('$."' + _MACHINE + '"')
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
    expressions=_expressions,
    money=(("cost",),),
    times=(("usage_start_time",), ("usage_end_time",)),
    notes=_notes,
)
