"""Machines of the nights and others of the days on EC2: the one goes once the other answers, and not before."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.targets import target_of
from advisor.records import replace
from codegen.plans import make_fleet_plan, make_group
from codegen.state_machine import FailedError, run
from codegen.test_turns import stack_of, turns

NIGHT, DAY = "night", "day"
START_MINUTES = 12
TUESDAY = 24 * 60
MORNING, EVENING = TUESDAY + 7 * 60, TUESDAY + 19 * 60
AROUND = (*range(MORNING - 15, MORNING + 5), *range(EVENING - 15, EVENING + 5))
MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
SIZES = re.compile(r"\{ minute = (\d+), instances = (\d+) \}")
SCHEDULED = re.compile(r'\{ recurrence = "(\d+) (\d+) \* \* ([\d,*]+)", instances = (\d+) \}')


@dataclass
class Account:
    """Doubles of Elastic Load Balancing and EC2 Auto Scaling, one group behind each target group."""

    weights: dict[str, int]
    desired: dict[str, int]
    starts: dict[str, list[int]] = field(default_factory=lambda: {NIGHT: [], DAY: []})
    """Minutes since which the instances of a group are there."""
    broken: frozenset[str] = frozenset()
    """Groups whose instances never answer."""
    now: int = 0
    stopped: list[tuple[int, str]] = field(default_factory=list)

    def healthy(self, key: str) -> int:
        """Hosts that answer."""
        return 0 if key in self.broken else sum(self.now - start >= START_MINUTES for start in self.starts[key])

    def resize(self, key: str, instances: int) -> None:
        """What Auto Scaling does at once: instances leave their target group, or are ordered."""
        self.desired[key] = instances
        self.starts[key] = self.starts[key][:instances] + [self.now] * (instances - len(self.starts[key]))

    def answer(self, call, arguments):
        """The answer to a call of the state machine."""
        match call:
            case "describeTargetHealth":
                healthy = self.healthy(arguments["TargetGroupArn"])
                return {"TargetHealthDescriptions": [{"TargetHealth": {"State": "healthy"}}] * healthy}
            case "describeListeners":
                groups = [{"TargetGroupArn": key, "Weight": weight} for key, weight in self.weights.items()]
                return {"Listeners": [{"DefaultActions": [{"ForwardConfig": {"TargetGroups": groups}}]}]}
            case "modifyListener":
                (action,) = arguments["DefaultActions"]
                self.weights = {one["TargetGroupArn"]: one["Weight"] for one in action["ForwardConfig"]["TargetGroups"]}
            case "describeAutoScalingGroups":
                names = arguments["AutoScalingGroupNames"]
                described = [{"AutoScalingGroupName": key, "DesiredCapacity": self.desired[key]} for key in names]
                return {"AutoScalingGroups": described}
            case "setDesiredCapacity":
                key = arguments["AutoScalingGroupName"]
                assert self.weights[key] == 0 or not any(self.healthy(other) for other in self.weights)
                self.stopped.append((self.now, key))
                self.resize(key, arguments["DesiredCapacity"])
        return {}


@cache
def code(language=Language.TERRAFORM):
    """Code of a plan with one machine from 19:00 to 07:00 and another by day, on weekdays."""
    return generate(make_fleet_plan(*turns(), zones=1), language, Wanted(target="ec2")).files


def blocks(text, name):
    """Key of each backend or group → its text in ``fleet.tf``."""
    (table,) = re.findall(rf"^  {name} = {{\n(.*?)^  }}", text, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^    ([\w\"-]+) += {\n(.*?)^    }", table, re.DOTALL | re.MULTILINE)
    return {DAY if "h100" in key or "p5" in key else NIGHT: block for key, block in found}


@cache
def machine():
    """The definition, with what Terraform fills in."""
    files = code()
    backends = blocks(files["fleet.tf"], "backends")
    targets = [
        {
            "TargetGroupArn": key,
            "Weight": int(re.search(r"weight += (\d+)", block)[1]),
            "Groups": [key],
            "Sizes": [{"Minute": int(minute), "Instances": int(count)} for minute, count in SIZES.findall(block)],
        }
        for key, block in backends.items()
    ]
    text = files["failover.asl.json.tftpl"].replace("${targets}", json.dumps(targets))
    return json.loads(text.replace("${partition}", "aws").replace("${listener_arn}", "listener"))


@cache
def orders():
    """Minute of the week → group and size that its schedule orders then."""
    ordered = {}
    for key, block in blocks(code()["fleet.tf"], "groups").items():
        for minute, hour, days, count in SCHEDULED.findall(block):
            for day in range(1, 8) if days == "*" else map(int, days.split(",")):
                ordered[(day - 1) * 1440 + int(hour) * 60 + int(minute)] = (key, int(count))
    return ordered


def live(account, minutes, looked=None):
    """The minutes of a week: orders of the schedules, and a look each; minutes in which the looks failed."""
    definition, ordered, failed = machine(), orders(), []
    for minute in minutes:
        account.now = minute
        if minute in ordered:
            account.resize(*ordered[minute])
        try:
            run(definition, account.answer, (MONDAY + timedelta(minutes=minute)).isoformat())
        except FailedError:
            failed.append(minute)
        if looked:
            looked(minute)
    return failed


def at_night():
    """The account in the night of a Monday, when the machine of the nights serves."""
    return Account({NIGHT: 200, DAY: 0}, {NIGHT: 1, DAY: 0}, {NIGHT: [-60], DAY: []})


def test_nothing_is_emptied_by_the_clock():
    """The schedule orders what comes up; neither language has an entry that ends a backend."""
    assert {count for _, count in orders().values()} == {1}
    program = code(Language.PYTHON)["inference/fleet.py"]
    assert "ScheduledSize(" in program
    assert re.findall(r"ScheduledSize\([^)]*instances=0", program) == []
    assert json.dumps(code(Language.PYTHON)["inference/failover.asl"]) == json.dumps(code()["failover.asl.json.tftpl"])


def test_a_group_that_ends_before_its_backend_does_is_emptied_by_the_clock():
    """Of a backend from 07:00 to 19:00 the spot machines go at 16:00: the state machine looks at the backend alone."""
    large = {"instance_type": "g6e.xlarge", "accelerator": "L40S"}
    stack = stack_of(
        make_group(instances=(2, 2), request_shares=(1.0, 0.3)),
        make_group(**large, instances=(0, 1), request_shares=(0.0, 0.4)),
        make_group(**large, instances=(0, 2), request_shares=(0.0, 0.3), purchase="spot"),
    )
    always, on_demand, spot = stack.groups
    ordered, emptied = spot.schedule
    early = replace(emptied, hour=16)
    spot = replace(spot, schedule=(ordered, early))
    stack = replace(stack, groups=(always, on_demand, spot))

    files = target_of(stack).renderers[Language.TERRAFORM](stack)
    schedules = {
        key: SCHEDULED.findall(block)
        for key, block in re.findall(r"^    (\S+) += {\n(.*?)^    }", files["fleet.tf"], re.DOTALL | re.MULTILINE)
    }
    assert schedules[on_demand.key] == [("48", "6", "1,2,3,4,5", "1")]
    assert schedules[spot.key] == [("48", "6", "1,2,3,4,5", "2"), ("0", "16", "1,2,3,4,5", "0")]


def test_each_hands_over_to_the_other_and_requests_always_meet_a_healthy_host():
    """A day and a night: first the weight goes, a minute later the instance; a weight without a host lasts no minute."""
    account = at_night()
    served = []

    def look(minute):
        answering = {key: account.healthy(key) > 0 for key in account.weights}
        assert all(answering[key] for key, weight in account.weights.items() if weight), minute
        served.append(sum(account.weights.values()) > 0)

    assert live(account, AROUND, look) == []
    assert all(served)
    assert account.stopped == [(MORNING + 1, NIGHT), (EVENING + 1, DAY)]


def test_the_old_one_stays_until_its_successor_answers():
    """The machine of the day comes up 40 minutes late: that of the night has its requests, and looks fail, till then."""
    account = at_night()
    account.broken = frozenset({DAY})
    late = live(account, range(MORNING - 15, MORNING + 40))
    assert account.weights == {NIGHT: 200, DAY: 0}
    assert account.stopped == []
    assert late == list(range(MORNING, MORNING + 40))
    account.broken = frozenset()
    assert live(account, range(MORNING + 40, MORNING + 45)) == []
    assert account.stopped == [(MORNING + 41, NIGHT)]
    assert account.weights == {NIGHT: 0, DAY: 800}


def test_where_the_successor_never_comes_up_the_old_one_serves_the_whole_day():
    """The alarm rings from ten minutes after the hour on, and the next night begins as planned."""
    account = at_night()
    account.broken = frozenset({DAY})
    failed = live(account, AROUND)
    assert account.weights == {NIGHT: 200, DAY: 0}
    assert account.stopped == [(EVENING, DAY)]
    assert failed == [minute for minute in AROUND if MORNING <= minute < EVENING - START_MINUTES - 2]


def test_a_machine_that_was_just_ordered_is_not_stopped():
    """A look that begins in the last minute of the rest, and ends after the order, leaves the size alone."""
    account = at_night()
    ordered = EVENING - START_MINUTES
    live(account, range(MORNING - 15, MORNING + 5))
    assert account.desired == {NIGHT: 0, DAY: 1}
    account.resize(NIGHT, 1)
    live(account, range(ordered - 2, ordered))
    assert account.desired[NIGHT] == 1


@pytest.mark.parametrize("language", Language)
def test_the_role_may_stop_those_groups_alone(language):
    """Listing groups knows no resource; setting their size is for those that the plan empties."""
    text = "".join(code(language).values())
    assert text.count("autoscaling:SetDesiredCapacity") == 1
    assert re.search(r"min_instances == 0", text)
    assert "SuccessorMissing" in text
