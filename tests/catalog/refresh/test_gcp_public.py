"""Google's prices without a key, from a public list of sums in its recorded shape."""

import json

import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.catalog.values import Quality
from advisor.cli.catalog import command
from advisor.errors import AdvisorError
from catalog.refresh.clouds import Cloud, Reply, first_times, gcp_pages, serving, sku

STAMP, DAY = 1795219200, "2026-11-21"
HEAD = "---\nabout:\n  copyright: Apache-2.0\n  generated: Sat Nov 21 00:00:00 2026\n  timestamp: {stamp}\ncompute:\n  instance:\n"


def listed(machines, stamp=STAMP):
    """The file: type → region → cost; a machine has cores, memory and accelerators beside it."""
    text = HEAD.format(stamp=stamp)
    for name, regions in machines.items():
        text += f"    {name}:\n      a100: 1\n      cost:\n"
        for region, cost in regions.items():
            text += f"        {region}:\n" + "".join(f"          {key}: {value}\n" for key, value in cost.items())
        text += "      cpu: 12\n      ram: 85\n"
    return text


def cost(hour, spot=None, year=None):
    """Prices of a type in a region, as the list has them."""
    parts = {"hour": hour, "hour_spot": spot, "month": hour * 730, "month_1y": year or hour * 730}
    return {key: value for key, value in parts.items() if value is not None}


def run(text, *options, status=200):
    """Result of a refresh from a list; an error of ours is raised as the program's boundary would see it."""
    with serving(Cloud(lambda _asked: Reply(text.encode(), status, kind="text/plain"))) as cloud:
        result = CliRunner().invoke(command, ["refresh", "gcp", "--endpoint-url", cloud.url, *options])
    if isinstance(result.exception, AdvisorError):
        result.exception.said = result.stdout
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def offer(name, region):
    """An offer of the user's catalog; None where the type is not sold there."""
    found = [
        one for one in load_catalog().offers if (one.provider, one.region, one.instance_type) == ("gcp", region, name)
    ]
    return found[0] if found else None


A2 = {"a2-highgpu-1g": {"us-central1": cost(3.9, 1.4, 1800.0), "africa-south1": cost(4.8, 1.4)}}


def test_prices_are_taken_for_what_is_sold_and_called_derived():
    """Newer ones, of pairs that are known: the list prices every region. The output says from whom they are."""
    result = run(listed(A2))
    assert "without one a public list of sums is read" in result.stderr
    assert "not from gcp itself, so the prices are derived: google-cloud-pricing-cost-calculator" in result.stdout
    found = offer("a2-highgpu-1g", "us-central1")
    assert (found.on_demand.usd_per_hour, found.spot.usd_per_hour) == (3.9, 1.4)
    assert {found.on_demand.provenance.quality, found.spot.provenance.quality} == {Quality.DERIVED}
    assert found.on_demand.provenance.as_of == DAY
    assert offer("a2-highgpu-1g", "africa-south1") is None
    (year,) = [
        one for one in load_catalog().commitments(found)
        if one.commitment.region == "us-central1" and one.commitment.term_years == 1
    ]  # fmt: skip
    assert year.usd_per_hour == pytest.approx(1800.0 / 730, rel=1e-3)
    assert year.commitment.provenance.quality is Quality.DERIVED
    assert not [
        one for one in load_catalog().commitments(offer("a2-highgpu-1g", "us-central1"))
        if one.commitment.region and one.commitment.term_years == 3 and one.provenance.quality is Quality.DERIVED
    ]  # fmt: skip


def test_what_the_list_lacks_stays():
    """0 stands for no price, and a type that is not in the list keeps what was known."""
    before = {one: offer(one, "us-central1") for one in ("a2-highgpu-2g", "g2-standard-4")}
    run(listed(A2 | {"a2-highgpu-2g": {"us-central1": cost(0, 0)}}))
    assert {one: offer(one, "us-central1") for one in before} == before


def test_a_newer_price_that_is_known_stays():
    """Pair by pair: shipped ones are of August 2026, the list is of 2025."""
    before = offer("a2-highgpu-1g", "us-central1")
    with pytest.raises(AdvisorError):
        run("---\n")
    with pytest.raises(AdvisorError, match="could not be read"):
        run(listed(A2, stamp=1741233236))
    assert offer("a2-highgpu-1g", "us-central1") == before


def test_what_google_itself_answered_is_not_replaced_by_an_older_list(tmp_path):
    """A refresh with a key goes before; the list of a day before is refused with what to do."""
    key = tmp_path / "key"
    key.write_text("secret")
    skus = [
        sku("A2 Instance Core running in Americas", ("us-central1",), 0.031611),
        sku("A2 Instance Ram running in Americas", ("us-central1",), 0.004237),
        sku("Nvidia Tesla A100 GPU running in Americas", ("us-central1",), 2.9),
    ]
    with serving(Cloud(gcp_pages(skus, []))) as cloud:
        done = CliRunner().invoke(
            command, ["refresh", "gcp", "--endpoint-url", f"{cloud.url}/v1", "--gcp-api-key-file", str(key)]
        )
    assert done.exit_code == 0, done.output
    before = offer("a2-highgpu-1g", "us-central1")
    assert before.on_demand.provenance.quality is Quality.LISTED
    with pytest.raises(AdvisorError, match="could not be read") as caught:
        run(listed(A2, stamp=1741233236))
    assert "are there already" in caught.value.said
    assert "--gcp-api-key-file" in caught.value.hint
    assert offer("a2-highgpu-1g", "us-central1") == before


def test_a_jump_is_held_up():
    """The guards hold whoever answers."""
    with pytest.raises(AdvisorError, match="held back") as caught:
        run(listed({"a2-highgpu-1g": {"us-central1": cost(36.7, 1.4)}}))
    assert "--confirm moved:a2" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("<html>log in</html>", 200, "not a price list"),
        (listed(A2)[:-40] + "\n  - [", 200, "not YAML, or is cut off"),
        ("---\nabout:\n  timestamp: soon\ncompute:\n  instance:\n    a: {}\n", 200, "of when it is"),
        (f"---\nabout:\n  timestamp: {STAMP}\ncompute: 3\n", 200, "not a price list"),
        (f"---\nabout:\n  timestamp: {STAMP}\ncompute: {{}}\n", 200, "names no machine"),
        (listed(A2, stamp=4102444800), 200, "of 2100-01-01, which is in the future"),
        (listed(A2, stamp=1577836800), 200, "no price of the public list (2020-01-01) is newer"),
        ("", 404, "404"),
    ],
    ids=["page", "cut off", "date", "shape", "empty", "future", "old", "gone"],
)
def test_what_is_no_list_changes_nothing(text, status, words):
    """The reason is in the output, and the old prices hold."""
    before = load_catalog().content_hash
    with pytest.raises(AdvisorError, match="could not be read") as caught:
        run(text, status=status)
    assert words in caught.value.said
    assert load_catalog().content_hash == before


@pytest.mark.parametrize("value", ["dear", "[1]", ".inf", ".nan", "true", "-3"])
def test_odd_cells_are_no_prices(value):
    """Words, lists, infinities and truth values in place of a number."""
    before = offer("a2-highgpu-1g", "us-central1")
    run(listed({"a2-highgpu-1g": {"us-central1": {"hour": value}, "us-east1": cost(3.9, 1.4)}}))
    assert offer("a2-highgpu-1g", "us-central1") == before


def test_the_same_list_again_changes_nothing():
    """Nor does the day on which it is read; a newer list is taken."""
    run(listed(A2))
    first = load_catalog().offers
    again = run(listed(A2)).stdout
    assert "nothing changed" in again
    assert load_catalog().offers == first
    assert [one for one in load_catalog().commitments(offer("a2-highgpu-1g", "us-central1")) if one.commitment.region]
    run(listed({"a2-highgpu-1g": {"us-central1": cost(4.0, 1.5)}}, stamp=STAMP + 86400))
    assert offer("a2-highgpu-1g", "us-central1").on_demand.usd_per_hour == 4.0


def test_a_dry_run_says_the_quality_as_json():
    """Other programs see who answered."""
    document = json.loads(run(listed(A2), "--dry-run", "--format", "json").stdout)
    assert document[0]["origin"]["quality"] == "derived"


def test_a_list_that_breaks_off_is_asked_for_again():
    """As every other answer."""
    text = listed(A2).encode()
    cut = first_times(1, Reply(text, kind="text/plain", cut_after=50))
    with serving(Cloud(lambda _asked: Reply(text, kind="text/plain"), [cut])) as cloud:
        result = CliRunner().invoke(command, ["refresh", "gcp", "--endpoint-url", cloud.url])
    assert result.exit_code == 0, result.output
