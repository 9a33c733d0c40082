"""Zones that providers list: read from their interfaces on loopback, kept in the snapshot, and counted before ours."""

import json

import boto3
import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.catalog.layers.layered import layered
from advisor.catalog.layers.refreshing import refresh
from advisor.catalog.layers.snapshot import current, stage, take
from advisor.catalog.refresh import aws, azure, gcp
from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import PriceRow, RefreshJob, Task, ZoneRow
from advisor.cli.catalog import command
from advisor.data_files import data_dir
from advisor.tables import read_rows
from catalog.refresh.clouds import (
    Aws,
    Cloud,
    azure_item,
    azure_pages,
    compute_pages,
    gcp_pages,
    resource_sku,
    serving,
    sku,
    sku_pages,
    xml_error,
)
from catalog.refresh.conftest import NOW

ZONES = {
    ("us-east-1", "g6.xlarge"): ("use1-az1", "use1-az6", "use1-atl2-az1", "use1-wl1-bos-wlz1"),
    ("us-east-1", "g6.2xlarge"): ("use1-az6", "use1-az1"),
    ("us-east-1", "p5.48xlarge"): ("use1-az5",),
    ("us-east-1", "g99.12xlarge"): ("use1-az2",),
    ("us-east-1", "m7i.large"): ("use1-az1", "use1-az2"),
    ("us-west-2", "g6.xlarge"): ("usw2-az3",),
}
PRICES = {(region, name): 1.0 for region, name in ZONES if not name.startswith("m7i")}
NC, ND = "Standard_NC24ads_A100_v4", "Standard_ND96isr_H100_v5"


def quick(token="secret-token"):
    """Waits milliseconds where the product waits seconds."""
    return Client(tries=2, backoff_seconds=0.01, timeout_seconds=5, token=token)


def accepting(refresh_options):
    """Every move and loss is accepted: a few types stand for a cloud."""
    keys = frozenset({"family_gone", "moved", "far_from_others"})
    return type(refresh_options)(
        keys, refresh_options.most_moved_ratio, refresh_options.dry_run, refresh_options.at_once, refresh_options.clock
    )


def priced(region, name):
    """A price list of one row."""
    return Task("prices", region, "prices", lambda: [PriceRow(region, name, "on_demand", 1.0, "2026-11-01")])


def ask_aws(cloud, known, regions=("us-east-1", "us-west-2"), parts=aws.PARTS):
    """Everything that is asked of the account."""
    types = [name for provider, name in known.instance_types if provider == "aws"]
    return RefreshJob("aws", tuple(aws.tasks(regions, boto3.Session(), types, lambda: NOW, cloud.url, parts)))


@pytest.mark.sampled(2)
def test_aws_zones_are_read_by_id_and_count_before_ours(known, root, refresh_options):
    """Availability zones alone, over pages, new types too; CPU machines and local zones are left out."""
    before = known()
    with serving(Cloud(Aws(dict(PRICES), zones=ZONES, new_types=("g99.12xlarge",)))) as cloud:
        result = refresh(ask_aws(cloud, before), before, root, accepting(refresh_options))
    assert result.reason == ""
    assert not any(row.instance_type == "m7i.large" for row in result.answer.rows if isinstance(row, ZoneRow))
    catalog = known()
    found = catalog.zones("aws", "us-east-1", "g6.xlarge")
    assert (found.names, found.count, found.verified) == (("use1-az1", "use1-az6"), 2, True)
    assert found.as_of == "2026-11-26"
    assert found.source == "EC2 DescribeInstanceTypeOfferings, asked directly"
    assert catalog.zones("aws", "us-east-1", "g99.12xlarge").names == ("use1-az2",)
    assert catalog.zones("aws", "us-west-2", "g6.xlarge").names == ("usw2-az3",)
    assert catalog.zones("aws", "eu-west-1", "g6.xlarge") == before.zones("aws", "eu-west-1", "g6.xlarge")
    (row,) = [one for one in read_rows(current(root, "aws").directory / "zones.csv") if "g6.xlarge" in one["instance_types"] and one["region"] == "us-east-1"]  # fmt: skip
    assert row["instance_types"] == "g6.2xlarge;g6.xlarge", "types in the same zones share a row"


@pytest.mark.sampled(2)
def test_zones_of_regions_that_are_not_asked_again_stay(known, root, refresh_options):
    """With their date; those of the region that was asked are the new ones."""
    catalog = known()
    with serving(Cloud(Aws(dict(PRICES), zones=ZONES))) as cloud:
        refresh(ask_aws(cloud, catalog), catalog, root, accepting(refresh_options))
    fewer = ZONES | {("us-east-1", "g6.xlarge"): ("use1-az1",)}
    with serving(Cloud(Aws(dict(PRICES), zones=fewer))) as cloud:
        asked = ask_aws(cloud, known(), ("us-east-1",), ("prices", "sold", "zones"))
        assert refresh(asked, known(), root, accepting(refresh_options)).reason == ""
    assert known().zones("aws", "us-east-1", "g6.xlarge").names == ("use1-az1",)
    assert known().zones("aws", "us-west-2", "g6.xlarge").names == ("usw2-az3",)


def test_an_account_that_may_not_list_offerings_keeps_our_zones(known, root, refresh_options):
    """The gap names the action, and the table that came with the program still counts."""
    before = known()
    denied = xml_error("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
    cloud = Cloud(Aws(dict(PRICES), zones=ZONES))
    cloud.faults.append(lambda asked: denied if b"availability-zone-id" in asked.body else None)
    with serving(cloud):
        result = refresh(ask_aws(cloud, before, ("us-east-1",)), before, root, accepting(refresh_options))
    assert result.reason == ""
    (gap,) = result.answer.gaps
    assert gap.part == "zones"
    assert "ec2:DescribeInstanceTypeOfferings" in gap.remedy
    place = ("aws", "us-east-1", "g6.xlarge")
    assert known().zones(*place) == before.zones(*place)


def test_the_policy_allows_to_list_offerings():
    """Both lists, by region and by zone, are one action."""
    assert "ec2:DescribeInstanceTypeOfferings" in aws.policy()["Statement"][0]["Action"]


def test_snapshots_without_zones_still_load(root, tmp_path):
    """Older versions wrote none: the table that came with the program counts."""
    shipped = data_dir("instance_catalog")
    prices = (shipped / "prices" / "lambda.csv").read_text().splitlines()[0] + "\n"
    tables = {
        "prices.csv": prices,
        "instances.csv": (shipped / "instances.csv").read_text().splitlines()[0] + "\n",
        "commitments.csv": (shipped / "commitments.csv").read_text().splitlines()[0] + "\n",
        "sources.csv": "source_id,title,licence,note\n",
    }
    take(root, stage(root, "aws", tables, "2026-01-01", ()))
    catalog = layered(shipped, root, tmp_path / "none.yaml", NOW.date())
    assert catalog.snapshots
    place = ("aws", "us-east-1", "g6.xlarge")
    assert catalog.zones(*place) == load_catalog(shipped).zones(*place)


def test_google_zones_come_from_both_lists(known, root, refresh_options):
    """Machine types by zone; attached accelerators only where the zone has both; an AI zone beside an ordinary one not."""
    types = [
        ("g2-standard-4", "us-central1-a"),
        ("g2-standard-4", "us-central1-c"),
        ("g2-standard-4", "us-central1-ai1a"),
        ("g2-standard-4", "us-south1-ai1b"),
        ("n1-standard-8", "us-central1-a"),
        ("n1-standard-8", "us-central1-b"),
        ("n1-standard-8", "us-central1-f"),
        ("e2-standard-4", "us-central1-f"),
    ]
    accelerators = [("nvidia-tesla-t4", "us-central1-b"), ("nvidia-tesla-t4", "us-central1-c"), ("ct6e", "x1-a")]
    machines = [machine for (owner, _), machine in known().instance_types.items() if owner == "gcp"]
    with serving(Cloud(compute_pages(types, accelerators))) as cloud:
        project = gcp.Project("mine", quick(), cloud.url)
        tasks = (priced("us-central1", "g2-standard-4"), *gcp.zone_tasks(machines, project))
        result = refresh(RefreshJob("gcp", tasks, tells_absence=False), known(), root, accepting(refresh_options))
        assert {asked.path for asked in cloud.asked} == {
            f"/projects/mine/aggregated/{what}" for what in ("machineTypes", "acceleratorTypes")
        }
        assert not any("e2-" in asked.query.get("filter", "") for asked in cloud.asked)
    assert result.reason == ""
    catalog = known()
    assert catalog.zones("gcp", "us-central1", "g2-standard-4").names == ("us-central1-a", "us-central1-c")
    assert catalog.zones("gcp", "us-south1", "g2-standard-4").names == ("us-south1-ai1b",)
    attached = catalog.zones("gcp", "us-central1", "n1-standard-8+1xT4")
    assert (attached.names, attached.as_of) == (("us-central1-b",), "2026-11-26")
    other = ("gcp", "us-central1", "n1-standard-8+1xP100")
    assert catalog.zones(*other) == load_catalog(data_dir("instance_catalog")).zones(*other)


def test_azure_zones_are_those_that_the_subscription_may_use(known, root, refresh_options):
    """Restricted zones are left out; a size sold without a choice of zone is in one; one that is closed is not listed."""
    closed, plain = "Standard_NC40ads_H100_v5", "Standard_NC4as_T4_v3"
    items = [
        resource_sku(NC, "eastus", ("1", "2", "3"), closed=("2",)),
        resource_sku(ND, "eastus", ("3",)),
        resource_sku(plain, "eastus"),
        resource_sku(closed, "eastus", ("1", "2"), location_closed=True),
        resource_sku("Standard_D2s_v5", "eastus", ("1",)),
        resource_sku(NC, "eastus", ("1",), kind="disks"),
        resource_sku(NC, "westeurope", ("1",)),
    ]
    with serving(Cloud(sku_pages(items))) as cloud:
        asked = azure.zone_tasks(("eastus",), azure.Subscription("mine", quick(), cloud.url))
        tasks = (priced("eastus", NC), *asked)
        result = refresh(RefreshJob("azure", tasks, tells_absence=False), known(), root, accepting(refresh_options))
    assert result.reason == ""
    catalog = known()
    assert catalog.zones("azure", "eastus", NC).names == ("1", "3")
    assert catalog.zones("azure", "eastus", ND).names == ("3",)
    single = catalog.zones("azure", "eastus", plain)
    assert (single.names, single.count, single.verified) == ((), 1, True)
    assert not catalog.zones("azure", "eastus", closed).verified
    assert not catalog.zones("azure", "westeurope", NC).verified


@pytest.mark.parametrize("provider", ["gcp", "azure"])
def test_a_token_that_is_refused_leaves_a_gap(provider, known, root, refresh_options):
    """The prices are published, and the remedy names the options; the token is not in it."""
    answer = compute_pages([]) if provider == "gcp" else sku_pages([])
    with serving(Cloud(answer)) as cloud:
        client = quick("wrong-token")
        asked = (
            gcp.zone_tasks([], gcp.Project("mine", client, cloud.url))
            if provider == "gcp"
            else azure.zone_tasks(("eastus",), azure.Subscription("mine", client, cloud.url))
        )
        region, name = ("us-central1", "g2-standard-4") if provider == "gcp" else ("eastus", NC)
        question = RefreshJob(provider, (priced(region, name), *asked), tells_absence=False)
        result = refresh(question, known(), root, accepting(refresh_options))
    assert result.reason == ""
    (gap,) = result.answer.gaps
    assert gap.denied
    assert f"--{provider}-token-file" in gap.remedy
    assert "wrong-token" not in f"{gap}"


def test_the_command_asks_for_zones_with_an_account(tmp_path):
    """Token files of both clouds; prices are asked without a token, and what is read is told."""
    token, key = tmp_path / "token", tmp_path / "key"
    token.write_text("secret-token\n")
    key.write_text("secret")

    def both(prices, zones):
        return lambda asked: zones(asked) if asked.token else prices(asked)

    confirmed = ("--confirm", "family_gone", "--confirm", "moved")
    items = {"eastus": [azure_item(NC, "eastus", 3.673)]}
    with serving(Cloud(both(azure_pages(items), sku_pages([resource_sku(NC, "eastus", ("1", "2"))])))) as cloud:
        done = CliRunner().invoke(
            command,
            ["refresh", "azure", "--region", "eastus", "--endpoint-url", f"{cloud.url}/api/retail/prices",
             "--azure-subscription", "mine", "--azure-token-file", str(token), *confirmed],
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "2 zones of offers" in done.output
    skus = [
        sku("G2 Instance Core running in Americas", ("us-central1",), 0.02499),
        sku("G2 Instance Ram running in Americas", ("us-central1",), 0.00293),
        sku("Nvidia L4 GPU running in Americas", ("us-central1",), 0.56),
    ]
    with serving(Cloud(both(gcp_pages(skus), compute_pages([("g2-standard-4", "us-central1-a")])))) as cloud:
        done = CliRunner().invoke(
            command,
            ["refresh", "gcp", "--endpoint-url", cloud.url, "--gcp-api-key-file", str(key),
             "--gcp-project", "mine", "--gcp-token-file", str(token), *confirmed],
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "1 zone of an offer" in done.output
    shown = CliRunner().invoke(command, ["show", NC, "--region", "eastus", "--format", "json"])
    (zones,) = json.loads(shown.stdout)["zones"]
    assert (zones["region"], zones["count"], zones["names"], zones["verified"]) == ("eastus", 2, ["1", "2"], True)
    assert zones["source"] == "Azure resource SKUs, asked directly"
    table = CliRunner().invoke(command, ["show", NC, "--region", "eastus"]).stdout
    assert ["eastus", "2", "1,", "2", "yes"] in [line.split()[:5] for line in table.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("azure", "--azure-subscription", "mine"), "--azure-token-file"),
        (("azure", "--azure-token-file", "x"), "--azure-subscription"),
    ],
)
def test_an_account_without_its_token_is_refused(arguments, missing):
    """And a token without its account: the message names the option that is missing."""
    done = CliRunner().invoke(
        command, ["refresh", *arguments, "--region", "eastus", "--endpoint-url", "http://127.0.0.1:9"]
    )
    assert done.exit_code != 0
    assert missing in f"{done.output}{getattr(done.exception, 'where', '')}"
