"""``advisor explain --cost``: every line of a plan's total, the same as FOCUS rows, and the price of a token."""

import csv
import datetime as dt
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.plan.document import plan_from_json
from advisor.report.explain_plan import cost_section, focus_of, litellm_config
from advisor.units import SECONDS_PER_MONTH

ROOT = Path(__file__).parents[2]
MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost",
    "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
)  # fmt: skip
"""Of FOCUS 1.2, with ChargeClass, which is null but for corrections."""
PERIODS = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")


def _written(folder, rows):
    """The rows as a file."""
    bill = folder / "bill.csv"
    with bill.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return bill


@pytest.fixture(scope="module")
def plan(run_advisor, tmp_path_factory):
    """The plan of an example."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    run_advisor("recommend", ROOT / "examples/chat/workload.yaml", "--format", "json", "-o", path)
    return path


def test_every_line_is_shown_and_the_sums_are_those_of_the_plan(plan, run_advisor):
    """Table, JSON and FOCUS show one total."""
    total = json.loads(plan.read_text())["fleet"]["cost"]["total_usd_per_month"]
    table = run_advisor("explain", plan, "--cost").stdout
    assert table.startswith(f"${total:,.2f} a month is the sum of these lines")
    assert all(len(line) <= 80 for line in table.splitlines())
    told = json.loads(run_advisor("explain", plan, "--cost", "--format", "json").stdout)["cost"]
    assert told["total_usd_per_month"] == total
    rows = list(csv.DictReader(io.StringIO(run_advisor("explain", plan, "--format", "focus").stdout)))
    assert round(math.fsum(float(row["EffectiveCost"]) for row in rows), 2) == total
    assert len(rows) == len([line for line in told["lines"] if line["in_total"]])


def test_each_line_is_its_quantity_times_its_price(plan, run_advisor):
    """An amount is the product to the cent, and the total the sum of such amounts alone."""
    cost = json.loads(run_advisor("explain", plan, "--cost", "--format", "json").stdout)["cost"]

    for line in cost["lines"]:
        assert line["usd_per_month"] == pytest.approx(line["quantity"] * line["usd_per_unit"], rel=1e-5, abs=0.00501)
    amounts = [line["usd_per_month"] for line in cost["lines"] if line["in_total"]]
    assert round(math.fsum(amounts), 2) == cost["total_usd_per_month"]


def test_each_line_has_a_source_and_what_is_assumed_is_said(plan, run_advisor):
    """Prices say where they are from; what the code orders by itself, and what only other code would, is explained."""
    lines = json.loads(run_advisor("explain", plan, "--cost", "--format", "json").stdout)["cost"]["lines"]

    assert all(line["price_source"] for line in lines)
    assert {line["unit"] for line in lines if line["item"] == "disk"} == {"GiB-month"}
    assert all(line["assumes"].startswith("only where") for line in lines if not line["in_total"])
    assert {"nat_gateway", "kms_key", "alarm"} <= {line["item"] for line in lines if line["in_total"]}
    told = run_advisor("explain", plan, "--cost", "--wide").stdout
    assert all(line["assumes"] in told for line in lines if "assumes" in line)


def test_downloads_after_interruptions_are_of_the_network(plan, run_advisor):
    """What a machine downloads that replaces an interrupted one is told in GB at the price of a gateway."""
    lines = json.loads(run_advisor("explain", plan, "--cost", "--format", "json").stdout)["cost"]["lines"]

    gateways = {line["usd_per_unit"] for line in lines if line["item"] == "start_download"} or {0.045}
    downloads = [line for line in lines if line["item"] == "interruption_download"]
    assert {(line["kind"], line["unit"]) for line in downloads} == {("network", "GB")}
    assert {line["usd_per_unit"] for line in downloads} == gateways


def test_what_code_costs_beside_the_lines_is_told(plan):
    """Sentences of the generated code stand above the table."""
    fleet = plan_from_json(plan.read_text(), str(plan)).fleet

    assert "The total leaves out the entrances." in cost_section(fleet, ("The total leaves out the entrances.",)).lines


def test_what_has_no_price_is_named_and_not_zero(plan):
    """A charge of unknown price, and a provider of whom nothing is known, stand above the table."""
    fleet = plan_from_json(plan.read_text(), str(plan)).fleet
    gateway = next(line for line in fleet.cost_lines if line.item == "nat_gateway")
    unpriced = replace(gateway, usd_per_unit=None, usd_per_month=None)
    other = replace(fleet.groups[0], provider="lambda")

    section = cost_section(replace(fleet, cost_lines=(unpriced,), groups=(other,)))

    assert "not in the total, since no price is known: NAT gateway" in section.lines
    assert "not in the total: what lambda charges beside machines, of which no price is known" in section.lines
    assert section.rows[0][5:7] == ("?", "?")


def test_rows_of_focus_say_machine_tags_and_one_period(plan, run_advisor, tmp_path):
    """Instances have their type and accelerators, rows the tags of the workload, and 730 hours are 730 hours."""
    document, path = json.loads(plan.read_text()), tmp_path / "plan.json"
    document["workload"] |= {"tags": {"project": "assistant", "team": "search"}, "as_of": "2026-12-01"}
    path.write_text(json.dumps(document))
    rows = list(csv.DictReader(io.StringIO(run_advisor("explain", path, "--cost", "--format", "focus").stdout)))

    machines = [row for row in rows if row["ChargeDescription"] == "instances"]
    assert {row["SkuId"] for row in machines} == {row["ResourceName"].split("/")[2] for row in machines}
    assert all(json.loads(row["SkuPriceDetails"])["InstanceType"] == row["SkuId"] for row in machines)
    assert {row["Tags"] for row in rows} == {'{"project": "assistant", "team": "search"}'}
    (period,) = {tuple(row[name] for name in PERIODS) for row in rows}
    begin, end = map(dt.datetime.fromisoformat, period[:2])
    assert (end - begin, period[2:]) == (dt.timedelta(hours=730), period[:2])
    assert period[0] == "2026-12-01T00:00:00Z"
    audit = json.loads(run_advisor("audit", _written(tmp_path, rows), "--tag", "team", "--format", "json").stdout)
    assert "search" in json.dumps(audit["tags"])


def test_the_audit_reads_the_rows(plan, run_advisor, tmp_path):
    """A plan as FOCUS is a bill of its kinds."""
    bill = tmp_path / "plan.csv"
    run_advisor("explain", plan, "--format", "focus", "-o", bill)
    audit = json.loads(run_advisor("audit", bill, "--format", "json").stdout)
    lines = [line for line in json.loads(plan.read_text())["fleet"]["cost_lines"] if line["in_total"]]
    assert float(audit["bill"]["effective_cost"]) == pytest.approx(
        math.fsum(line["usd_per_month"] or 0 for line in lines), abs=0.005
    )
    for kind in ("compute", "storage", "network", "managed"):
        own = math.fsum(line["usd_per_month"] or 0 for line in lines if line["kind"] == kind)
        assert float(audit["kinds"][kind]) == pytest.approx(own, abs=0.005), kind


def test_rows_have_the_mandatory_columns_of_their_version(plan, run_advisor, tmp_path):
    """Every column that FOCUS 1.2 demands is there, with a value unless it may be null, and the audit sees 1.2."""
    bill = tmp_path / "plan.csv"
    run_advisor("explain", plan, "--format", "focus", "-o", bill)
    rows = list(csv.DictReader(io.StringIO(bill.read_text())))

    assert all(row[name] for row in rows for name in MANDATORY)
    assert {"ChargeClass", "InvoiceId"} <= rows[0].keys()
    day = json.loads(plan.read_text())["provenance"]["catalog_as_of"]
    assert {row["BillingPeriodStart"][:10] for row in rows} == {day}
    assert "FOCUS 1.2" in run_advisor("audit", bill, "--format", "json").stdout


def test_only_machines_on_spot_have_a_changing_price(plan):
    """Disks of a machine on spot have the price of any other's."""
    fleet = plan_from_json(plan.read_text(), str(plan)).fleet
    spot = [replace(line, place=line.place.replace("on_demand", "spot")) for line in fleet.cost_lines]
    text = focus_of(replace(fleet, cost_lines=tuple(spot)), dt.date(2026, 12, 1), "assistant", {})

    dynamic = {
        row["ChargeDescription"] for row in csv.DictReader(io.StringIO(text)) if row["PricingCategory"] != "Standard"
    }
    assert dynamic == {"instances"}


def test_other_questions_and_plans_without_lines_are_refused(plan, run_advisor, tmp_path):
    """``--cost`` stands alone, and an older plan is to be made again."""
    both = run_advisor("explain", plan, "--cost", "--pareto")
    assert both.returncode == 2
    assert "leave out the other questions" in both.stderr
    document = json.loads(plan.read_text())
    del document["fleet"]["cost_lines"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    refused = run_advisor("explain", old, "--cost")
    assert refused.returncode == 1
    assert "make the plan again" in refused.stderr


def requests_per_month(plan):
    """Requests that the plan expects, from its hours of the week."""
    hours = plan.fleet.hour_classes
    rate = sum(hour.mean_requests_per_second * hour.hours_per_week for hour in hours) / 168
    return rate * SECONDS_PER_MONTH


def test_the_audit_of_a_plan_finds_the_kinds_that_the_plan_has(plan, run_advisor, tmp_path):
    """Each line of a plan, access logs among them, is of one kind in the plan and in the audit of its FOCUS rows."""
    bill = tmp_path / "plan.csv"
    bill.write_text(run_advisor("explain", plan, "--format", "focus").stdout)
    audited = run_advisor("audit", bill, "--format", "focus").stdout
    stated, judged = (
        {row["ChargeDescription"]: row["x_Kind"] for row in csv.DictReader(io.StringIO(text))}
        for text in (bill.read_text(), audited)
    )
    assert stated["access logs"] == "managed"
    assert judged == stated


def test_litellm_prices_times_the_planned_tokens_are_the_total(plan, run_advisor, tmp_path):
    """Input and output at their prices add up to the plan's total; cached tokens are not free."""
    config = tmp_path / "litellm.yaml"
    assert run_advisor("explain", plan, "--litellm", config).stdout == ""
    read = plan_from_json(plan.read_text(), str(plan))
    (deployment,) = yaml.safe_load(config.read_text())["model_list"]
    price = deployment["model_info"]
    tokens = (read.demand["input_tokens"]["mean"], read.demand["output_tokens"]["mean"])
    per_request = tokens[0] * price["input_cost_per_token"] + tokens[1] * price["output_cost_per_token"]
    assert requests_per_month(read) * per_request == pytest.approx(read.fleet.cost.total_usd_per_month, abs=0.01)
    assert per_request * 1000 == pytest.approx(read.fleet.cost.usd_per_1000_requests, rel=1e-5)
    assert price["cache_read_input_token_cost"] == price["input_cost_per_token"]
    assert deployment["litellm_params"]["model"] == f"hosted_vllm/{read.workload['model']}"
    both = run_advisor("explain", plan, "--litellm", config, "--pareto")
    assert both.returncode == 2


@pytest.mark.parametrize(
    ("unit", "key", "per_request"),
    [(Unit.TEXTS, "input_cost_per_token", 1.0), (Unit.AUDIO, "input_cost_per_second", 1e-3)],
)
def test_texts_and_recordings_have_a_price_of_their_own(plan, unit, key, per_request):
    """A text is paid by its tokens, a recording by its seconds, and the answer costs nothing."""
    read = plan_from_json(plan.read_text(), str(plan))
    other = replace(read, fleet=replace(read.fleet, unit=unit))
    (deployment,) = yaml.safe_load(litellm_config(other, "plan.json"))["model_list"]
    size = read.demand["input_tokens"]["mean"] * per_request
    usd = requests_per_month(read) * size * deployment["model_info"][key]
    assert usd == pytest.approx(read.fleet.cost.total_usd_per_month, abs=0.01)
    assert {name: value for name, value in deployment["model_info"].items() if name.startswith("output")}.popitem()[
        1
    ] == 0


def test_a_fleet_in_two_regions_has_a_weighted_entry_for_each(plan):
    """Weights are the shares of the requests in the busiest hours; images have no price in LiteLLM."""
    read = plan_from_json(plan.read_text(), str(plan))
    group = read.fleet.groups[0]
    groups = (
        replace(group, request_shares=(0.25,)),
        replace(group, region="eu-west-1", request_shares=(0.75,)),
    )
    two = replace(read, fleet=replace(read.fleet, groups=groups))
    entries = yaml.safe_load(litellm_config(two, "plan.json"))["model_list"]
    assert [entry["litellm_params"]["weight"] for entry in entries] == [250, 750]
    assert len({entry["litellm_params"]["api_base"] for entry in entries}) == 2
    images = replace(read, fleet=replace(read.fleet, unit=Unit.IMAGES))
    with pytest.raises(InputError, match="images"):
        litellm_config(images, "plan.json")
    free = replace(read.fleet.cost, total_usd_per_month=0.0, usd_per_1000_requests=0.0)
    with pytest.raises(InputError, match="cost nothing"):
        litellm_config(replace(read, fleet=replace(read.fleet, cost=free)), "plan.json")


def test_a_reranker_is_called_as_its_engine_wants_it(run_advisor, tmp_path):
    """LiteLLM sends ``texts`` to Text Embeddings Inference, at the address without /v1, and ``documents`` to vLLM."""
    stated = (ROOT / "examples/embedding/workload.yaml").read_text().replace("BAAI/bge-m3", "BAAI/bge-reranker-v2-m3")
    stated = stated.replace("input_tokens: 512", "documents: 23, tokens_per_document: 512")
    workload, path = tmp_path / "workload.yaml", tmp_path / "plan.json"
    workload.write_text(stated)
    run_advisor("recommend", workload, "--format", "json", "-o", path)
    read = plan_from_json(path.read_text(), str(path))
    for engine, driver in (("Text Embeddings Inference", "huggingface"), ("vLLM (pooling)", "hosted_vllm")):
        groups = tuple(replace(group, engine=engine) for group in read.fleet.groups)
        config = litellm_config(replace(read, fleet=replace(read.fleet, groups=groups)), "plan.json")
        drivers = {entry["litellm_params"]["model"].partition("/")[0] for entry in yaml.safe_load(config)["model_list"]}
        assert drivers == {driver}
        assert ("without /v1" in config) == (driver == "huggingface")
