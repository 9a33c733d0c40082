"""Compute by what it was for: bills beside samples of the same hours."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from advisor.audit.split import read_host_names
from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.report.bill_table import audit_table
from audit.bills import Charge, write_bill
from audit.machines import ACCELERATED, ROWS_PER_HOUR, billed, day_of, sampled
from samples.engine_building import engine_rows
from samples.records import DAY, row
from samples.stores import store

GIB = 1024**3


def test_use_of_every_hour_splits_the_whole_cost(tmp_path, audit):
    """Half the rows at 20 %, half at 60 %: 40 % needed, 20 % headroom up to the p95 of 60 %, the rest idle."""
    samples = sampled(tmp_path, lambda number: 0.6 if number % 2 else 0.2)

    parts = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(samples,)).split.parts

    assert sum(parts.values()) == 20
    assert float(parts["needed"]) == pytest.approx(8, abs=0.05)
    assert float(parts["headroom"]) == pytest.approx(4, abs=0.05)
    assert float(parts["idle"]) == pytest.approx(8, abs=0.05)
    assert float(parts["unattributed"]) == pytest.approx(0, abs=0.05)


def test_a_table_of_hosts_that_is_no_csv_is_refused(tmp_path):
    """A cell longer than CSV cells may be is an error with the file."""
    path = tmp_path / "hosts.csv"
    path.write_text(f"host,resource\nh,{'x' * 200_000}\n")

    with pytest.raises(InputError, match="not a CSV table: field larger") as refused:
        read_host_names(path)

    assert refused.value.where == str(path)


def test_hours_that_were_not_sampled_are_unattributed(tmp_path, audit):
    """Two of four billed hours have samples: half of the cost is nobody's guess, unless that is asked for."""
    samples = sampled(tmp_path, lambda _: 0.5)
    bill = billed(tmp_path, day_of(ACCELERATED, 4))

    strict = audit(bill, telemetry=(samples,)).split.parts
    wide = audit(bill, telemetry=(samples,), extrapolates=True).split.parts

    assert float(strict["unattributed"]) == pytest.approx(20, abs=0.05)
    assert float(strict["needed"]) == pytest.approx(10, abs=0.05)
    assert float(wide["needed"]) == pytest.approx(20, abs=0.05)
    assert wide["unattributed"] == 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("billed_hours", [(0, 2), (0, 3), (1,), (2, 3), (3,), (0, 1, 2)])
def test_samples_of_hours_that_were_not_billed_count_nowhere(tmp_path, audit, billed_hours):
    """Three hours are sampled, each of another use; of any choice of four hours that are billed only those are split."""
    samples = sampled(tmp_path, lambda number: (0.25, 0.75, 0.0)[(number - 1) // ROWS_PER_HOUR], rows=3 * ROWS_PER_HOUR)
    charges = [replace(ACCELERATED, at=DAY + timedelta(hours=hour)) for hour in billed_hours]

    parts = audit(billed(tmp_path, charges), telemetry=(samples,)).split.parts

    of_hours = [(0.25, 0.75, 0.0, None)[hour] for hour in billed_hours]
    assert float(parts["needed"]) == pytest.approx(10 * sum(filter(None, of_hours)), abs=0.05)
    assert float(parts["unattributed"]) == pytest.approx(10 * of_hours.count(None), abs=0.05)
    assert sum(parts.values()) == 10 * len(charges)


@pytest.mark.parametrize("form", ["focus", "cur"])
@pytest.mark.parametrize("kind", ["refund", "credit", "usage"])
def test_what_is_given_back_for_a_machine_lowers_its_cost(tmp_path, audit, form, kind):
    """A refund, a credit and a correction of 4 for a machine of 20, half busy: 8 needed in every format, no rest."""
    charges = [*day_of(ACCELERATED), replace(ACCELERATED, kind=kind, cost=Decimal(-4), line="back")]

    split = audit(write_bill(tmp_path, form, charges), telemetry=(sampled(tmp_path, lambda _: 0.5),)).split

    assert [host.cost for host in split.hosts] == [16]
    assert float(split.parts["needed"]) == pytest.approx(8, abs=0.05)
    assert float(split.parts["unattributed"]) == pytest.approx(0, abs=0.05)


def test_a_negative_rest_is_credits_and_not_a_lack_of_telemetry(tmp_path, audit):
    """A credit that names no machine is more than what has no telemetry, and the table says so."""
    charges = [*day_of(ACCELERATED), replace(ACCELERATED, kind="credit", cost=Decimal(-4), resource="")]
    found = audit(billed(tmp_path, charges), telemetry=(sampled(tmp_path, lambda _: 0.5),))

    table = audit_table(found, None, whole=False)

    assert float(found.split.parts["unattributed"]) == pytest.approx(-4, abs=0.05)
    assert "credits and refunds that name no machine" in table
    assert "no telemetry of it" not in table


def test_accelerators_that_were_not_seen_are_unattributed(tmp_path, audit):
    """A g5.12xlarge has four accelerators: with two of them sampled half of the cost is unattributed."""
    samples = sampled(tmp_path, lambda _: 1.0, accelerators=2)

    parts = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(samples,)).split.parts

    assert float(parts["needed"]) == pytest.approx(10, abs=0.05)
    assert float(parts["unattributed"]) == pytest.approx(10, abs=0.05)


def test_a_bill_of_other_days_is_unattributed(tmp_path, audit):
    """Nothing in common: everything is unattributed, and why is said."""
    samples = sampled(tmp_path, lambda _: 0.5)

    found = audit(billed(tmp_path, day_of(ACCELERATED), first_hour=24 * 40), telemetry=(samples,))

    assert found.split.parts["unattributed"] == found.kinds["compute"] == 20
    assert any("the bill is of other days" in note for note in found.notes)


def test_without_telemetry_all_but_unused_commitments_is_unattributed(tmp_path, audit):
    """Nothing is guessed."""
    unused = Charge(cost=Decimal(0), effective=Decimal(3), kind="unused", resource="sp-1", at=DAY)

    parts = audit(billed(tmp_path, [*day_of(ACCELERATED), unused])).split.parts

    assert parts == {"needed": 0, "headroom": 0, "idle": 0, "unused_commitment": 3, "unattributed": 20}


@pytest.mark.parametrize(
    ("resource", "tags", "host"),
    [
        ("arn:aws:ec2:us-east-1:1:instance/i-0abc", {}, "i-0abc"),
        ("i-0abc", {"aws:eks:node": "ip-10-0-0-1.ec2.internal"}, "ip-10-0-0-1.ec2.internal"),
        ("/subscriptions/s/virtualMachines/GPU-7", {}, "gpu-7"),
        ("i-0abc", {"Name": "gpu-7"}, "gpu-7.example.com"),
    ],
)
def test_hosts_are_found_by_id_path_name_and_tag(tmp_path, audit, resource, tags, host):
    """What a host calls itself, in any of the places where bills have it."""
    samples = sampled(tmp_path, lambda _: 0.5, host=host)

    found = audit(billed(tmp_path, day_of(replace(ACCELERATED, resource=resource, tags=tags))), telemetry=(samples,))

    assert [one.resource for one in found.split.hosts] == [resource]


def test_a_name_that_fits_two_resources_fits_none(tmp_path, audit):
    """Two machines of one Name tag: which of them was sampled is not guessed; --hosts says it."""
    samples = sampled(tmp_path, lambda _: 0.5, host="gpu")
    charges = [
        *day_of(replace(ACCELERATED, tags={"Name": "gpu"})),
        *day_of(replace(ACCELERATED, resource="i-0bbb", tags={"Name": "gpu"})),
    ]
    bill = billed(tmp_path, charges)

    found = audit(bill, telemetry=(samples,))
    assert found.split.hosts == []
    assert any("fit several resources" in note for note in found.notes)

    named = audit(bill, telemetry=(samples,), host_names={"gpu": "i-0bbb"})
    assert [one.resource for one in named.split.hosts] == ["i-0bbb"]


def test_a_host_that_the_bill_does_not_know_is_said(tmp_path, audit):
    """Telemetry of a machine that is not billed."""
    found = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(sampled(tmp_path, lambda _: 0.5, host="other"),))

    assert any("no resource of the bill is called like other" in note for note in found.notes)


def test_idle_hosts_are_a_finding(tmp_path, audit):
    """Accelerators that did nothing: what they cost in a month, of what time is known, and the command that shows them."""
    samples = sampled(tmp_path, lambda _: 0.0)

    found = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(samples,))
    finding = next(one for one in found.findings if one.id == "ADV101")

    assert float(finding.per_month) == pytest.approx(20 * 730 / 2, rel=0.01)
    assert finding.low <= finding.per_month <= finding.high
    assert finding.look == "aws ec2 describe-instances --region us-east-1 --filters Name=instance-id,Values=i-0aaa"
    assert finding.command == finding.look
    assert finding.why_no_action == "the bill has 2 hours of them, 7 days are needed"
    assert finding.evidence.endswith("0% at p95, in 2 hours")
    assert finding.resources == [("i-0aaa", Decimal(20))]


def test_extrapolated_hosts_have_a_verdict(tmp_path, audit):
    """Samples of a quarter of the time leave it open whether it is idle; where the rest is taken to be like it, it is."""
    folder = tmp_path / "samples"
    numbers = range(1, 2 * ROWS_PER_HOUR + 1)
    records = [
        row(number, index, "i-0aaa", busy_ratio=0.0) for index in range(4) for number in numbers if number % 4 == 0
    ]
    store(folder, records, name="i-0aaa")
    bill = billed(tmp_path, day_of(ACCELERATED))

    def verdicts(**options):
        found = audit(bill, telemetry=(str(folder),), **options)
        return {verdict for host in found.split.hosts for verdict in host.use.verdicts}, found

    assert verdicts()[0] == {"unknown"}
    extrapolated, found = verdicts(extrapolates=True)
    assert extrapolated == {"idle"}
    assert found.split.parts["idle"] == 20
    assert "ADV101" in {finding.id for finding in found.findings}


@pytest.mark.parametrize("busy", [0.11, 0.325, 1 / 3])
def test_a_host_that_was_observed_throughout_has_nothing_unattributed(tmp_path, audit, busy):
    """Its parts are its cost to the last digit: shares are decimals, not binary fractions."""
    samples = sampled(tmp_path, lambda _: busy)
    cost = Decimal("1379.33")

    found = audit(billed(tmp_path, day_of(replace(ACCELERATED, cost=cost))), telemetry=(samples,), extrapolates=True)
    (host,) = found.split.hosts

    assert host.parts["unattributed"] == 0
    assert sum(host.parts.values()) == host.cost == 2 * cost


def test_more_accelerators_than_needed_are_a_finding(tmp_path, audit):
    """Four accelerators at 17 % on average and 50 % at p95: three would do, at 80 % use."""
    samples = sampled(tmp_path, lambda number: 0.5 if number % 10 == 0 else 0.13)

    found = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(samples,))
    finding = next(one for one in found.findings if one.id == "ADV102")

    assert "4 accelerators busy 17% on average and 50% at p95, 3 would do on smaller machines" in finding.evidence
    assert (finding.low, finding.per_month) == (0, finding.high / 2)
    assert float(finding.high) == pytest.approx(20 / 4 * 730 / 2, rel=0.01)


@pytest.mark.parametrize(
    ("hosts", "kept", "finding_id", "command"),
    [(1, 0, "ADV101", "--into infra/"), (2, 2, "ADV102", "recommend workloads/"), (3, 2, "ADV101", "--into infra/")],
)
def test_idle_hosts_that_stay_so_that_one_may_fail_are_no_saving(tmp_path, audit, hosts, kept, finding_id, command):
    """What `--into` would leave is promised by no finding on idle hosts; smaller machines are looked for instead."""
    names = [f"i-{number}" for number in range(hosts)]
    for name in names:
        samples = sampled(tmp_path, lambda _, busy=0.3 * (name == "i-0" and hosts > 1): busy, host=name)
    charges = [each for name in names for each in day_of(replace(ACCELERATED, resource=name), 200)]

    found = audit(billed(tmp_path, charges), telemetry=(samples,), extrapolates=True)
    findings = {finding.id: finding for finding in found.findings}

    finding = findings[finding_id]
    assert len(finding.resources) == (kept if finding_id == "ADV102" else hosts - kept)
    assert finding.command.endswith(command)
    assert ("ADV101" in findings) == (finding_id == "ADV101")


def test_spare_hosts_are_a_finding_of_what_into_takes_away(tmp_path, audit):
    """Four busy hosts of whose load two carry all: half of the cost at most, by the command that lowers the number."""
    names = [f"i-{number}" for number in range(4)]
    for name in names:
        samples = sampled(tmp_path, lambda _: 0.2, host=name)
    charges = [each for name in names for each in day_of(replace(ACCELERATED, resource=name), 200)]

    found = audit(billed(tmp_path, charges), telemetry=(samples,), extrapolates=True)
    finding = next(finding for finding in found.findings if finding.id == "ADV102")

    assert "16 accelerators busy 20% on average and 20% at p95, 4 would do, so 2 of 4 hosts may go" in finding.evidence
    assert float(finding.high) == pytest.approx(2 * 10 * 730, rel=0.01)
    assert (finding.low, float(finding.per_month)) == (0, pytest.approx(float(finding.high) / 2))
    assert finding.command.endswith("--into infra/")


def test_a_kv_cache_that_is_never_filled_is_a_finding(tmp_path, audit):
    """An engine that used a fifth of its pool."""
    folder = tmp_path / "samples"
    memory = {"memory_used_bytes": 36 * GIB, "memory_total_bytes": 40 * GIB}
    store(folder, [row(number, 0, "host-a", busy_ratio=0.4, **memory) for number in range(1, 2 * ROWS_PER_HOUR + 1)])
    use = {"kv_cache_used_ratio": 0.1, "kv_cache_used_ratio_max": 0.2, "requests_running": 2.0, "requests_waiting": 0.0}
    engine_rows(folder, [(15 * number, use) for number in range(1, 2 * ROWS_PER_HOUR + 1)], model="a-model")

    found = audit(billed(tmp_path, day_of(replace(ACCELERATED, resource="host-a"))), telemetry=(str(folder),))

    finding = next(one for one in found.findings if one.id == "ADV103")
    assert "at most 20% of the KV cache ever in use on 1 host" in finding.evidence


def test_accelerators_without_telemetry_are_a_finding(tmp_path, audit):
    """What nobody watches is an amount, not a saving."""
    finding = next(one for one in audit(billed(tmp_path, day_of(ACCELERATED))).findings if one.id == "ADV118")

    assert finding.basis == "spend"


def test_refunds_of_an_accelerator_without_telemetry_lower_its_amount(tmp_path, audit):
    """A machine costs the same in the table and in the finding."""
    charges = [
        *day_of(ACCELERATED),
        replace(ACCELERATED, kind="refund", cost=Decimal("-0.5"), effective=Decimal("-0.5")),
    ]
    audited = audit(billed(tmp_path, charges))

    finding = next(each for each in audited.findings if each.id == "ADV118")
    assert sum(cost for _, cost in finding.resources) == audited.kinds["compute"]


def test_a_place_without_samples_is_an_error(tmp_path, audit):
    """A folder that does not exist."""
    with pytest.raises(InputError):
        audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(str(tmp_path / "nowhere"),))


def test_bandwidth_is_compared_with_accelerators_of_no_less_memory(tmp_path, audit):
    """Decode on four A10G: the cheapest bandwidth with 24 GiB an accelerator is named, not that of a smaller one."""
    folder = tmp_path / "samples"
    records = [
        row(
            number,
            index,
            "i-0aaa",
            busy_ratio=1.0,
            sm_active_ratio=0.9,
            tensor_active_ratio=0.1,
            dram_active_ratio=0.95,
        )
        for index in range(4)
        for number in range(1, 2 * ROWS_PER_HOUR + 1)
    ]
    store(folder, records, name="i-0aaa")
    findings = {
        finding.id: finding
        for finding in audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(str(folder),)).findings
    }
    words = findings["ADV105"].evidence
    other = load_catalog().instance_types["aws", re.search(r": (\S+) sells memory bandwidth", words)[1]]
    assert load_catalog().accelerator(other.accelerator).memory_gib >= 24
    assert findings["ADV105"].low == 0 < findings["ADV105"].high
