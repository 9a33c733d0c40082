"""The public price file, the command line of refreshes, and providers that a package brings."""

import csv
import importlib.metadata
import io
import json

import pytest
from click.testing import CliRunner

from advisor.catalog.refresh.aws_public import rows_of
from advisor.catalog.refresh.values import CommittedRow, PriceRow, RefreshJob, Sold, Task, Unreachable
from advisor.cli.catalog import command
from advisor.errors import AdvisorError
from catalog.refresh.clouds import Cloud, Reply, azure_item, azure_pages, first_times, serving

COLUMNS = (
    "SKU", "OfferTermCode", "RateCode", "TermType", "EffectiveDate", "Unit", "PricePerUnit", "Currency",
    "LeaseContractLength", "PurchaseOption", "OfferingClass", "Instance Type", "Instance Family", "Tenancy",
    "Operating System", "CapacityStatus", "Pre Installed S/W", "Region Code",
)  # fmt: skip
ON_DEMAND = {
    "SKU": "A", "OfferTermCode": "J", "TermType": "OnDemand", "EffectiveDate": "2026-11-01", "Unit": "Hrs",
    "PricePerUnit": "0.8048", "Currency": "USD", "Instance Type": "g6.xlarge", "Instance Family": "GPU instance",
    "Tenancy": "Shared", "Operating System": "Linux", "CapacityStatus": "Used", "Pre Installed S/W": "NA",
    "Region Code": "us-east-1",
}  # fmt: skip
TERM = ON_DEMAND | {
    "TermType": "Reserved", "LeaseContractLength": "1yr", "PurchaseOption": "Partial Upfront", "OfferingClass": "standard",
    "OfferTermCode": "H", "PricePerUnit": "0.25",
}  # fmt: skip
UPFRONT = TERM | {"Unit": "Quantity", "PricePerUnit": "2190"}


def price_file(*rows):
    """The file as it is published."""
    stream = io.StringIO()
    stream.write('"FormatVersion","v1.0"\n"Disclaimer","x"\n"Version","2026"\n')
    writer = csv.DictWriter(stream, COLUMNS, quoting=csv.QUOTE_ALL, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def test_public_file_gives_linux_prices_and_terms_by_the_hour():
    """Windows, dedicated hosts, processors alone and other regions stay out; both parts of a term are added."""
    others = [
        {"Operating System": "Windows"},
        {"Tenancy": "Dedicated"},
        {"Region Code": "us-west-2"},
        {"CapacityStatus": "AllocatedHost"},
    ]
    cpu = ON_DEMAND | {"Instance Type": "m7i.large", "Instance Family": "General purpose"}
    text = price_file(ON_DEMAND, *(ON_DEMAND | other for other in others), cpu, TERM, UPFRONT)
    rows = list(rows_of(io.StringIO(text), "us-east-1", ()))
    assert rows[:2] == [
        Sold("us-east-1", "g6.xlarge", offered=False),
        PriceRow("us-east-1", "g6.xlarge", "on_demand", 0.8048, "2026-11-01"),
    ]
    (term,) = rows[2:]
    assert isinstance(term, CommittedRow)
    assert (term.payment, term.usd_per_hour) == ("partial_upfront", pytest.approx(0.25 + 2190 / 8760))


@pytest.mark.parametrize("text", ["", "<html>\n" * 40, '"SKU","Unit"\n'])
def test_what_is_no_price_file_is_refused(text):
    """Nothing is made of a login page or of a file without the columns."""
    with pytest.raises(Unreachable):
        list(rows_of(io.StringIO(text), "us-east-1", ()))


def run(*arguments):
    """Result of the command; an error of ours is raised as the program's boundary would see it."""
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, AdvisorError):
        raise result.exception
    return result


def public_cloud(price="0.8048", *faults):
    """The public files on loopback."""
    body = price_file(ON_DEMAND | {"PricePerUnit": price}).encode()
    return serving(Cloud(lambda _asked: Reply(body, kind="text/csv"), list(faults)))


def test_public_refresh_that_breaks_off_is_read_anew():
    """A connection that breaks in the middle costs another try; then the prices count."""
    body = price_file(*([ON_DEMAND] * 50)).encode()
    cut = first_times(1, Reply(body, kind="text/csv", cut_after=3000))
    with public_cloud("0.90", cut) as cloud:
        result = run(
            "refresh",
            "aws",
            "--public",
            "--region",
            "us-east-1",
            "--endpoint-url",
            cloud.url,
            "--confirm",
            "family_gone",
        )
    assert result.exit_code == 0
    assert "prices of" in result.stdout
    shown = json.loads(run("show", "g6.xlarge", "--region", "us-east-1", "--format", "json").stdout)
    counting = [row for row in shown["prices"] if row["counts"] and row["purchase"] == "on_demand"]
    assert [(row["layer"], row["usd_per_hour"]) for row in counting] == [("refreshed", 0.9)]


def test_held_rows_are_listed_with_the_option_that_accepts_them():
    """The message can be followed as it stands."""
    arguments = ("refresh", "aws", "--public", "--region", "us-east-1", "--confirm", "family_gone")
    with public_cloud("2.5") as cloud:
        with pytest.raises(AdvisorError) as caught:
            run(*arguments, "--endpoint-url", cloud.url)
        assert "1 row is held back" in caught.value.message
        assert "--confirm moved:g6" in caught.value.hint
        assert run(*arguments, "--endpoint-url", cloud.url, "--confirm", "moved:g6").exit_code == 0


def test_a_price_of_zero_is_not_offered_for_confirmation():
    """Nothing accepts it, so the hint says something else."""
    items = {"eastus": [azure_item("Standard_NC4as_T4_v3", "eastus", 0.0)]}
    with serving(Cloud(azure_pages(items))) as cloud, pytest.raises(AdvisorError) as caught:
        run("refresh", "azure", "--region", "eastus", "--endpoint-url", cloud.url, "--confirm", "family_gone")
    assert "--confirm" not in caught.value.hint
    assert "cannot be accepted" in caught.value.hint


def test_many_families_are_confirmed_with_one_option():
    """A hint of twenty options is not read."""
    families = (
        "NC24ads_A100_v4",
        "NC4as_T4_v3",
        "NV6ads_A10_v5",
        "NC6s_v3",
        "ND96asr_v4",
        "ND96isr_H100_v5",
        "NC40ads_H100_v5",
    )
    items = {"eastus": [azure_item(f"Standard_{name}", "eastus", 900.0) for name in families]}
    with serving(Cloud(azure_pages(items))) as cloud, pytest.raises(AdvisorError) as caught:
        run("refresh", "azure", "--region", "eastus", "--endpoint-url", cloud.url, "--confirm", "family_gone")
    assert caught.value.hint.count("--confirm") == 2
    assert "--confirm far_from_others --confirm moved;" in caught.value.hint


def test_a_service_that_answers_no_price_list_is_told_with_what_to_do():
    """A page of a proxy, and a refusal without words."""
    arguments = ("refresh", "azure", "--region", "eastus", "--endpoint-url")
    for reply, words in (
        (Reply(b"<html>login</html>", 200, "text/html"), "answered what is not JSON"),
        (Reply(b"", 403), "to fix it: check whether a proxy or a firewall answers"),
        (Reply(b"no", 400), "to fix it: run the command again later"),
    ):
        with serving(Cloud(lambda _asked, reply=reply: reply)) as cloud:
            result = CliRunner().invoke(command, (*arguments, cloud.url))
        assert words in result.stdout
        assert result.exception.exit_code == 1


def test_dry_run_and_diff_and_forget():
    """A dry run keeps the old prices; diff tells what a refresh changed; forget goes back."""
    items = {"eastus": [azure_item("Standard_NC4as_T4_v3", "eastus", 0.60)]}
    arguments = ("refresh", "azure", "--region", "eastus", "--confirm", "family_gone")
    with serving(Cloud(azure_pages(items))) as cloud:
        url = f"{cloud.url}/api/retail/prices"
        assert "moved" in run(*arguments, "--endpoint-url", url, "--dry-run").stdout
        with pytest.raises(AdvisorError, match="nothing was refreshed"):
            run("diff")
        run(*arguments, "--endpoint-url", url)
    found = json.loads(run("diff", "--format", "json").stdout)
    assert {"moved", "gone"} >= {one["kind"] for one in found} >= {"moved"}
    assert run("refresh", "azure", "--forget").stdout == "azure: back to the prices that came with the program\n"


def test_a_damaged_refresh_is_named_wherever_prices_are_shown(root):
    """List falls back to what was shipped and says so; diff does not call it absent."""
    items = {"eastus": [azure_item("Standard_NC4as_T4_v3", "eastus", 0.53)]}
    with serving(Cloud(azure_pages(items))) as cloud:
        run("refresh", "azure", "--region", "eastus", "--endpoint-url", cloud.url, "--confirm", "family_gone")
    holds = root / "azure" / (root / "azure" / "current").read_text().strip()
    (holds / "prices.csv").write_text("")
    listed = run("list", "--provider", "azure", "--region", "eastus")
    assert "the refreshed prices of azure are not used" in listed.stderr
    with pytest.raises(AdvisorError, match="the refreshed prices of azure are not used"):
        run("diff", "azure")


def test_json_of_a_refresh_has_its_gaps_and_changes():
    """Other programs read it."""
    items = {"eastus": [azure_item("Standard_NC4as_T4_v3", "eastus", 0.53)]}
    with serving(Cloud(azure_pages(items))) as cloud:
        result = run(
            "refresh", "azure", "--region", "eastus", "--endpoint-url", f"{cloud.url}/api/retail/prices",
            "--confirm", "family_gone", "--format", "json",
        )  # fmt: skip
    (entry,) = json.loads(result.stdout)
    assert entry["published"]
    assert entry["rows"] == {"price": 1, "sold": 1}
    assert {"kind", "provider", "region", "instance_type", "purchase", "moved_ratio"} <= set(entry["changes"][0])


def test_no_network_is_said_and_nothing_changes():
    """A closed port: the reason, and what to do."""
    with pytest.raises(AdvisorError, match="could not be read") as caught:
        run("refresh", "aws", "--public", "--region", "us-east-1", "--endpoint-url", "http://127.0.0.1:9")
    assert "run the command again" in caught.value.hint


def test_a_package_brings_a_provider(monkeypatch):
    """Its rows go the way of all others: guards, layers, show."""

    def ask(_catalog, regions):
        rows = [
            Sold("us-central1", "gpu-h100-sxm_8gpu-128vcpu-1600gb"),
            PriceRow("us-central1", "gpu-h100-sxm_8gpu-128vcpu-1600gb", "on_demand", 23.6, "2026-11-26"),
        ]
        assert regions == ()
        return RefreshJob("nebius", (Task("all", "", "prices", lambda: rows),), tells_absence=False)

    point = importlib.metadata.EntryPoint("nebius", "made_up:ask", "advisor.catalog_providers")
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda _self: ask)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_group: [point])
    assert "nebius: prices of" in run("refresh", "nebius").stdout
    found = json.loads(run("list", "--provider", "nebius", "--format", "json").stdout)
    assert len(found) >= 10


def _leaves(*_arguments):
    raise SystemExit(7)


def _job(rows):
    return lambda _catalog, _regions: RefreshJob("nebius", (Task("all", "", "prices", rows),), tells_absence=False)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda _catalog, _regions: int("v"), "failed: ValueError: invalid literal"),
        (lambda _catalog, _regions: None, "returned NoneType, no RefreshJob"),
        (lambda _catalog: None, "failed: TypeError"),
        (_leaves, "failed: SystemExit: 7"),
        (5, "is not a function"),
        (_job(lambda: [5]), "gave int, no row"),
        (_job(_leaves), "failed: SystemExit: 7"),
        (None, "cannot be loaded: SystemExit: 7"),
    ],
)
def test_a_fault_of_a_package_is_told_as_its_own(monkeypatch, ask, told):
    """The function and its package are named, with a remedy: it is no bug of this program."""
    point = importlib.metadata.EntryPoint("nebius", "made_up:ask", "advisor.catalog_providers")
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", _leaves if ask is None else lambda _self: ask)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_group: [point])
    result = CliRunner().invoke(command, ("refresh", "nebius"))
    assert isinstance(result.exception, AdvisorError)
    assert result.exception.exit_code == 1
    words = f"{result.output}{result.exception}"
    assert all(word in words for word in (told, "made_up:ask", "fix or remove the package")), words


def test_one_provider_that_cannot_be_asked_does_not_stop_the_others(monkeypatch):
    """No credentials for AWS: Azure, which asks for none, is refreshed; the exit code and the hint tell of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    items = {"eastus": [azure_item("Standard_NC4as_T4_v3", "eastus", 0.53)]}
    with serving(Cloud(azure_pages(items))) as cloud:
        monkeypatch.setattr("advisor.catalog.refresh.azure.URL", f"{cloud.url}/api/retail/prices")
        result = CliRunner().invoke(
            command,
            ("refresh", "aws", "azure", "--region", "us-east-1", "--region", "eastus", "--confirm", "family_gone"),
        )
    assert "azure: prices of" in result.stdout
    assert str(result.exception).startswith("aws: there are no AWS credentials; their old prices hold")
    assert "aws: log in" in result.exception.hint


@pytest.mark.sampled(2)
def test_a_dead_network_is_not_asked_for_every_region():
    """After eight failures and nothing else the rest is left out, and said so in a line."""
    result = CliRunner().invoke(command, ("refresh", "azure", "--endpoint-url", "http://127.0.0.1:9/prices"))
    assert result.exception.exit_code == 1
    assert "not asked, since nothing before it could be read" in result.stdout
    assert result.stdout.count("missing:") <= 3
    assert "nothing changed" not in result.stdout
    assert "kept for six hours" not in result.exception.hint


def test_answers_of_one_address_are_not_taken_for_another():
    """What a dry run read elsewhere is asked anew."""
    items = {"eastus": [azure_item("Standard_NC4as_T4_v3", "eastus", 0.53)]}
    arguments = ("refresh", "azure", "--region", "eastus", "--confirm", "family_gone")
    with serving(Cloud(azure_pages(items))) as first, serving(Cloud(azure_pages(items))) as second:
        result = run(*arguments, "--endpoint-url", f"{first.url}/prices", "--dry-run")
        assert result.stdout.endswith("azure: this was a dry run, so the old prices hold\n")
        assert run(*arguments, "--endpoint-url", f"{first.url}/prices", "--dry-run").exit_code == 0
        assert len(first.asked) == 2, "its own answers are kept"
        run(*arguments, "--endpoint-url", f"{second.url}/prices")
        assert len(second.asked) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("refresh", "azure", "--print-policy"), "--print-policy is for aws"),
        (("refresh", "azure", "--forget", "--dry-run"), "exclude each other"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments, words):
    """Exit code 2, and nothing is forgotten."""
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_unknown_names_come_with_the_nearest():
    """Provider and region."""
    with pytest.raises(AdvisorError) as caught:
        run("refresh", "azur")
    assert "azure" in caught.value.hint
    with pytest.raises(AdvisorError) as caught:
        run("refresh", "azure", "--region", "eastuss")
    assert "eastus" in caught.value.hint
    with pytest.raises(AdvisorError, match="no provider of this name can be refreshed: 'azur'"):
        run("diff", "azur")
    with pytest.raises(AdvisorError, match="unknown provider: 'gpc'") as caught:
        run("show", "g6.xlarge", "--provider", "gpc")
    assert "gcp" in caught.value.hint
    with pytest.raises(AdvisorError, match="not sold in eu-nope-1"):
        run("show", "g6.xlarge", "--region", "us-east-1", "--region", "eu-nope-1")
