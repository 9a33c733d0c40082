"""Machines of the nights and others of the days on EC2: the one goes once the other answers, and not before."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.targets import target_of
from advisor.codegen.turns import has_hand_overs
from advisor.records import replace
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS
from codegen.state_machine import CallError, FailedError, run
from codegen.test_turns import stack_of, turns

START_MINUTES = 12
TUESDAY = 24 * 60
MORNING, EVENING = TUESDAY + 7 * 60, TUESDAY + 19 * 60
AROUND = (*range(MORNING - 15, MORNING + 5), *range(EVENING - 15, EVENING + 5))
MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
EVERY_DAY = "1,2,3,4,5,6,7"


@dataclass
class Account:
    """Doubles of Elastic Load Balancing and EC2 Auto Scaling, one group behind each target group."""

    weights: dict[str, int]
    desired: dict[str, int]
    starts: dict[str, list[int]]
    """Minutes since which the instances of a group are there."""
    broken: frozenset[str] = frozenset()
    """Groups whose instances never answer."""
    unhealthy: dict[str, int] = field(default_factory=dict)
    """Hosts of a group that answered and no longer do."""
    refused: frozenset[str] = frozenset()
    """Groups whose size nobody may set."""
    now: int = 0
    shrunk: list[tuple[int, str, int]] = field(default_factory=list)
    """Minutes at which the state machine made a group smaller, and its size then."""

    def registered(self, key: str) -> int:
        """Hosts in service: those that have answered."""
        return 0 if key in self.broken else sum(self.now - start >= START_MINUTES for start in self.starts[key])

    def healthy(self, key: str) -> int:
        """Hosts that answer."""
        return max(0, self.registered(key) - self.unhealthy.get(key, 0))

    def resize(self, key: str, instances: int) -> None:
        """What Auto Scaling does at once: instances leave their target group, or are ordered."""
        self.desired[key] = instances
        self.starts[key] = self.starts[key][:instances] + [self.now] * (instances - len(self.starts[key]))

    def answer(self, call, arguments):
        """The answer to a call of the state machine."""
        match call:
            case "describeTargetHealth":
                key = arguments["TargetGroupArn"]
                states = ["healthy"] * self.healthy(key) + ["unhealthy"] * self.unhealthy.get(key, 0)
                described = [{"TargetHealth": {"State": state}} for state in states[: self.registered(key)]]
                return {"TargetHealthDescriptions": described}
            case "describeListeners":
                groups = [{"TargetGroupArn": key, "Weight": weight} for key, weight in self.weights.items()]
                return {"Listeners": [{"DefaultActions": [{"ForwardConfig": {"TargetGroups": groups}}]}]}
            case "modifyListener":
                (action,) = arguments["DefaultActions"]
                listed = action["ForwardConfig"]["TargetGroups"]
                self.weights = {target["TargetGroupArn"]: target["Weight"] for target in listed}
            case "describeAutoScalingGroups":
                names = arguments["AutoScalingGroupNames"]
                assert names, "without names all groups of the account are listed"
                described = [{"AutoScalingGroupName": key, "DesiredCapacity": self.desired[key]} for key in names]
                return {"AutoScalingGroups": described}
            case "setDesiredCapacity":
                key, instances = arguments["AutoScalingGroupName"], arguments["DesiredCapacity"]
                if key in self.refused:
                    raise CallError(call)
                empties = instances == 0 and any(self.healthy(other) for other in self.weights)
                assert self.weights[key] == 0 or not empties
                self.shrunk.append((self.now, key, instances))
                self.resize(key, instances)
        return {}


@dataclass(frozen=True)
class Fleet:
    """Definition of the state machine, and what the schedules order: minute of the week → backend and size."""

    definition: dict
    weights: dict[str, int]
    orders: dict[int, list[tuple[str, int]]]

    def at(self, minute: int) -> Account:
        """The account at a minute, long after the last order, with what the plan has then."""
        steps = json.loads(self.definition["targets"])
        sizes = {}
        for target in steps:
            past = [step for step in target["Steps"] if step["Minute"] <= minute] or target["Steps"]
            sizes[target["TargetGroupArn"]] = sum(past[-1]["Groups"].values())
        weights = {key: weight if sizes[key] else 0 for key, weight in self.weights.items()}
        return Account(weights, dict(sizes), {key: [minute - 600] * size for key, size in sizes.items()})


@cache
def code(language=Language.TERRAFORM):
    """Code of a plan with one machine from 19:00 to 07:00 and another by day, on weekdays."""
    return generate(make_fleet_plan(*turns(), zones=1), language, Wanted(target="ec2")).files


def fleet_of(files):
    """What the files of a root make, with one group in each backend, which is known by its first."""
    (block,) = read_hcl(files["fleet.tf"], "fleet.tf").body.of("locals")
    backends, groups = (literal(block.attributes[name].value.node) for name in ("backends", "groups"))
    group_of = {group["backend"]: key for key, group in groups.items()}
    targets = [
        {
            "TargetGroupArn": group_of[key],
            "Weight": backend["weight"],
            "StartMinutes": groups[group_of[key]]["start_seconds"] // 60,
            "Steps": [
                {
                    "Minute": step["minute"],
                    "Groups": step["groups"],
                    "Needs": step.get("needs", sum(step["groups"].values())),
                    "After": [group_of[other] for other in step.get("after", [])],
                }
                for step in backend["steps"]
            ],
        }
        for key, backend in backends.items()
    ]
    text = files["failover.asl.yaml.tftpl"].replace("${targets}", json.dumps(targets))
    definition = yaml.safe_load(text.replace("${partition}", "aws").replace("${listener_arn}", "listener"))
    ordered = {}
    for key, group in groups.items():
        for entry in group["schedule"].values():
            minute, hour, _, _, days = entry["recurrence"].split()
            for day in (EVERY_DAY if days == "*" else days).split(","):
                at = (int(day) - 1) % 7 * 1440 + int(hour) * 60 + int(minute)
                ordered.setdefault(at, []).append((key, entry["instances"]))
    weights = {target["TargetGroupArn"]: target["Weight"] for target in targets}
    return Fleet({**definition, "targets": json.dumps(targets)}, weights, ordered)


@cache
def pair():
    """A machine of the nights and one of the days, with their keys."""
    fleet = fleet_of(code())
    night, day = sorted(fleet.weights, key=fleet.weights.get)
    return fleet, night, day


def fleet_from(*groups):
    """Fleet of a plan of these groups, and their keys in the given order."""
    stack = stack_of(*groups)
    keys = [next(own.key for own in stack.groups if own.instance_type == group.instance_type) for group in groups]
    return fleet_of(target_of(stack).renderers[Language.TERRAFORM](stack)), keys


def live(fleet, account, minutes, looked=None):
    """The minutes of a week: orders of the schedules, and a look each; minutes in which the looks failed."""
    failed = []
    for minute in minutes:
        account.now = minute
        for order in fleet.orders.get(minute, []):
            account.resize(*order)
        try:
            run(fleet.definition, account.answer, (MONDAY + timedelta(minutes=minute)).isoformat())
        except FailedError:
            failed.append(minute)
        if looked:
            looked(minute)
    return failed


def test_nothing_is_emptied_by_the_clock():
    """The schedule orders what comes up; neither language has an entry that ends a backend."""
    fleet, _, _ = pair()
    assert {count for orders in fleet.orders.values() for _, count in orders} == {1}
    program = code(Language.PYTHON)["inference/fleet.py"]
    assert "ScheduledSize(" in program
    assert re.findall(r"ScheduledSize\([^)]*instances=0", program) == []
    assert code(Language.PYTHON)["inference/failover.asl.yaml"] == code()["failover.asl.yaml.tftpl"]


def test_a_group_that_ends_before_its_backend_does_is_emptied_by_the_clock():
    """Of a backend from 07:00 to 19:00 the spot machines go at 16:00, to nobody: the state machine leaves them alone."""
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

    (block,) = read_hcl(target_of(stack).renderers[Language.TERRAFORM](stack)["fleet.tf"], "fleet.tf").body.of("locals")
    groups = literal(block.attributes["groups"].value.node)
    schedules = {key: list(group["schedule"].values()) for key, group in groups.items()}
    up = {"recurrence": "48 6 * * 1,2,3,4,5"}
    assert schedules[on_demand.key] == [{**up, "instances": 1}]
    assert schedules[spot.key] == [{**up, "instances": 2}, {"recurrence": "0 16 * * 1,2,3,4,5", "instances": 0}]


def test_each_hands_over_to_the_other_and_requests_always_meet_a_healthy_host():
    """A day and a night: first the weight goes, a minute later the instance; a weight without a host lasts no minute."""
    fleet, night, day = pair()
    account = fleet.at(TUESDAY)
    served = []

    def look(minute):
        answering = {key: account.healthy(key) > 0 for key in account.weights}
        assert all(answering[key] for key, weight in account.weights.items() if weight), minute
        served.append(sum(account.weights.values()) > 0)

    assert live(fleet, account, AROUND, look) == []
    assert all(served)
    assert account.shrunk == [(MORNING + 1, night, 0), (EVENING + 1, day, 0)]


def test_the_old_one_stays_until_its_successor_answers():
    """The machine of the day comes up 40 minutes late: that of the night has its requests, and looks fail, till then."""
    fleet, night, day = pair()
    account = fleet.at(TUESDAY)
    account.broken = frozenset({day})
    late = live(fleet, account, range(MORNING - 15, MORNING + 40))
    assert account.weights == {night: 200, day: 0}
    assert account.shrunk == []
    assert late == list(range(MORNING, MORNING + 40))
    account.broken = frozenset()
    assert live(fleet, account, range(MORNING + 40, MORNING + 45)) == []
    assert account.shrunk == [(MORNING + 41, night, 0)]
    assert account.weights == {night: 0, day: 800}


def test_where_the_successor_never_comes_up_the_old_one_serves_the_whole_day():
    """Looks fail at all hours of the missing one, and the next night begins as planned."""
    fleet, night, day = pair()
    account = fleet.at(TUESDAY)
    account.broken = frozenset({day})
    failed = live(fleet, account, AROUND)
    assert account.weights == {night: 200, day: 0}
    assert account.shrunk == [(EVENING, day, 0)]
    assert failed == [minute for minute in AROUND if MORNING <= minute < EVENING]


def test_a_machine_that_was_just_ordered_is_not_stopped():
    """A look that begins in the last minute of the rest, and ends after the order, leaves the size alone."""
    fleet, night, day = pair()
    account = fleet.at(TUESDAY)
    ordered = EVENING - START_MINUTES
    live(fleet, account, range(MORNING - 15, MORNING + 5))
    assert account.desired == {night: 0, day: 1}
    account.resize(night, 1)
    live(fleet, account, range(ordered - 2, ordered))
    assert account.desired[night] == 1


L4 = {"instance_type": "g6.xlarge", "planned_requests_per_second_per_instance": 1.0}
A10G = {"instance_type": "g5.xlarge", "accelerator": "A10G", "planned_requests_per_second_per_instance": 1.0}
L40S = {"instance_type": "g6e.xlarge", "accelerator": "L40S", "planned_requests_per_second_per_instance": 4.0}
H100 = {"instance_type": "p5.4xlarge", "accelerator": "H100-SXM", "planned_requests_per_second_per_instance": 4.0}


def test_a_host_that_is_missing_elsewhere_holds_up_no_hand_over():
    """Of a backend that always runs one of three hosts is gone: the machine of the night still goes, on the minute."""
    fleet, (always, night, day) = fleet_from(
        make_group(**L40S, instances=(3, 3), request_shares=(0.9, 0.6)),
        make_group(**L4, instances=(1, 0), request_shares=(0.1, 0.0)),
        make_group(**H100, instances=(0, 2), request_shares=(0.0, 0.4)),
    )
    account = fleet.at(TUESDAY)
    account.resize(always, 2)
    assert live(fleet, account, range(MORNING - 15, MORNING + 5)) == []
    assert account.shrunk == [(MORNING + 1, night, 0)]
    assert account.weights[day] > 0


def test_a_spare_host_that_is_missing_holds_up_nothing():
    """Of two hosts of the day the load takes one: the night goes once that answers, and the looks still tell of the other."""
    fleet, (night, day) = fleet_from(
        make_group(**L4, instances=(2, 0), request_shares=(1.0, 0.0)),
        make_group(**{**H100, "planned_requests_per_second_per_instance": 5.0}, instances=(0, 2),
                   request_shares=(0.0, 1.0)),
    )  # fmt: skip
    account = fleet.at(TUESDAY)
    live(fleet, account, range(MORNING - 15, MORNING - 5))
    account.starts[day] = account.starts[day][:1]
    failed = live(fleet, account, range(MORNING - 5, MORNING + 5))
    assert account.shrunk == [(MORNING + 1, night, 0)]
    assert failed == list(range(MORNING, MORNING + 5))


def test_a_backend_that_cannot_start_keeps_no_more_than_it_lacks():
    """Two machines of the night hand over to two of the day, one of which never answers: one goes, one stays; it rings."""
    fleet, (first, second, broken, well) = fleet_from(
        make_group(**A10G, instances=(1, 0), request_shares=(0.5, 0.0)),
        make_group(**L4, instances=(1, 0), request_shares=(0.5, 0.0)),
        make_group(**{**L40S, "planned_requests_per_second_per_instance": 1.0}, instances=(0, 1),
                   request_shares=(0.0, 0.2)),
        make_group(**H100, instances=(0, 1), request_shares=(0.0, 0.8)),
    )  # fmt: skip
    account = fleet.at(TUESDAY)
    account.broken = frozenset({broken})
    failed = live(fleet, account, range(MORNING - 15, MORNING + 60))
    assert [(key, size) for _, key, size in account.shrunk] == [(second, 0)]
    assert [key for key, weight in account.weights.items() if weight] == [first, well]
    assert failed == list(range(MORNING, MORNING + 60))


def test_a_backend_that_shrinks_for_another_waits_for_it_too():
    """Two at night are one by day, when another machine takes over: the second goes once that one answers."""
    fleet, (small, large) = fleet_from(
        make_group(**L4, instances=(2, 1), request_shares=(1.0, 0.2)),
        make_group(**H100, instances=(0, 1), request_shares=(0.0, 0.8)),
    )
    account = fleet.at(TUESDAY)
    account.broken = frozenset({large})
    assert live(fleet, account, range(MORNING - 15, MORNING + 30)) == list(range(MORNING, MORNING + 30))
    assert (account.desired, account.shrunk) == ({small: 2, large: 1}, [])
    account.broken = frozenset()
    assert live(fleet, account, range(MORNING + 30, MORNING + 33)) == []
    assert account.shrunk == [(MORNING + 30, small, 1)]
    assert account.weights[small] > 0


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_host_that_fails_for_minutes_gives_up_nothing(is_replaced):
    """Two hosts stay for a third that never comes up; if either fails or is replaced, both are there for the whole day."""
    fleet, (small, large) = fleet_from(
        make_group(**L4, instances=(2, 1), request_shares=(1.0, 0.2)),
        make_group(**H100, instances=(0, 1), request_shares=(0.0, 0.8)),
    )
    account = fleet.at(TUESDAY)
    account.broken = frozenset({large})
    live(fleet, account, range(MORNING - 15, MORNING + 20))
    if is_replaced:
        account.starts[small][1] = MORNING + 20
    else:
        account.unhealthy = {small: 2}
    live(fleet, account, range(MORNING + 20, MORNING + 25))
    account.unhealthy = {}
    live(fleet, account, range(MORNING + 25, MORNING + 60))
    assert (account.desired, account.shrunk) == ({small: 2, large: 1}, [])
    assert account.healthy(small) == 2


def test_where_every_host_fails_requests_go_to_what_has_hosts():
    """By day the machine of the night has none: an empty target group answers no request, failing hosts some of them."""
    fleet, night, day = pair()
    account = fleet.at(TUESDAY + 12 * 60)
    account.unhealthy = {day: 1}
    live(fleet, account, range(TUESDAY + 12 * 60, TUESDAY + 12 * 60 + 3))
    assert account.weights == {night: 0, day: 800}


def test_a_group_that_cannot_be_made_smaller_holds_up_no_other():
    """Two machines of the night go in the morning: the size of one is refused, the other goes; looks fail till the first is gone."""
    fleet, (first, second, _) = fleet_from(
        make_group(**A10G, instances=(1, 0), request_shares=(0.5, 0.0)),
        make_group(**L4, instances=(1, 0), request_shares=(0.5, 0.0)),
        make_group(**H100, instances=(0, 2), request_shares=(0.0, 1.0)),
    )
    account = fleet.at(TUESDAY)
    account.refused = frozenset({first})
    failed = live(fleet, account, range(MORNING - 15, MORNING + 5))
    assert account.shrunk == [(MORNING + 1, second, 0)]
    assert failed == list(range(MORNING + 1, MORNING + 5))
    account.refused = frozenset()
    assert live(fleet, account, range(MORNING + 5, MORNING + 8)) == []
    assert account.desired[first] == 0


def test_fewer_requests_need_no_successor():
    """Three machines that are two at night have a schedule of their own, beside others that hand over or not."""
    stack = stack_of(
        make_group(**L4, instances=(2, 3), request_shares=(0.5, 0.5)),
        make_group(**H100, instances=(1, 2), request_shares=(0.5, 0.5)),
    )
    assert not has_hand_overs(stack)
    files = target_of(stack).renderers[Language.TERRAFORM](stack)
    assert "SetDesiredCapacity" not in "".join(files.values())
    assert "instances = 2 }" in files["fleet.tf"]


def test_target_groups_that_an_apply_adds_or_removes_are_taken_up_by_a_look():
    """The listener's weights belong to the state machine: it lists what the plan names, and lets go of what it no longer does."""
    fleet, night, day = pair()
    account = fleet.at(TUESDAY)
    account.weights = {night: 200, "former": 800}
    account.starts["former"] = []
    assert live(fleet, account, range(TUESDAY, TUESDAY + 1)) == []
    assert account.weights == {night: 200, day: 0}


@pytest.mark.parametrize("language", Language)
def test_an_apply_leaves_the_weights_of_the_state_machine_alone(language):
    """Else each one would send requests to what rests at that hour; without hand-overs weights are those of the code."""
    ignored = re.compile(r'ignore_changes = \[default_action\]|ignore_changes=\["defaultActions"\]')
    assert ignored.search("".join(code(language).values()))
    static = generate(SCENARIOS["mixed-fleet"]().plan, language, Wanted(target="ec2")).files
    assert not ignored.search("".join(static.values()))


@pytest.mark.parametrize("language", Language)
def test_the_role_may_shrink_those_groups_alone_that_hand_over(language):
    """Listing groups knows no resource; setting their size is for those that give up what others take over."""
    text = "".join(code(language).values())
    assert text.count("autoscaling:SetDesiredCapacity") == 1
    assert re.search(r"can\(step\.after\) \|\| sum|step\.after or not any", text)
    assert "min_instances == 0" not in text.replace("each.value.min_instances == 0", "")


@pytest.mark.parametrize("language", Language)
def test_the_alarm_of_a_hand_over_names_each_error_of_its_state_machine(language):
    """Whoever reads it finds each reason for which it rings, in its description and in the README."""
    files = code(language)
    definition = next(text for path, text in files.items() if "failover.asl.yaml" in path)
    (description,) = (
        line
        for text in files.values()
        for line in text.splitlines()
        if "fewer healthy hosts than planned at this hour (" in line
    )
    errors = re.findall(r"^    Error: (\w+)$", definition, re.MULTILINE)
    assert errors == ["HostsMissing", "GroupsNotShrunk"]
    assert all(error in description and error in files["README.md"] for error in errors)


@pytest.mark.parametrize("language", Language)
def test_an_apply_that_waits_for_hosts_does_not_wait_for_its_own_end(language):
    """A target group has health checks once the state machine lists it, whose definition names the groups waited for."""
    asked = Wanted(target="ec2", inputs=frozenset({"wait_for_capacity"}))
    texts = [
        "".join(generate(plan, language, asked).files.values())
        for plan in (make_fleet_plan(*turns(), zones=1), SCENARIOS["mixed-fleet"]().plan)
    ]
    assert all("wait_for_capacity_timeout" in text for text in texts)
    assert ["min_elb_capacity" in text for text in texts] == [False, True]


@pytest.mark.parametrize("language", Language)
def test_a_region_of_one_backend_leaves_the_record_without_hosts(language):
    """Also where a state machine looks at it, as at every region of a fleet by the clock: it has nobody to give requests to."""
    elsewhere = make_group(region="us-west-2", instances=(1, 2), request_shares=(0.5, 0.5))
    plan = make_fleet_plan(*turns(shares=((0.5, 0.0), (0.0, 0.5))), elsewhere)
    text = "".join(generate(plan, language, Wanted(target="ec2", inputs=frozenset({"dns"}))).files.values())
    of_one = {
        Language.TERRAFORM: "evaluate_target_health = length(local.backends_of[each.key]) == 1",
        Language.PYTHON: "alone = places.count(name) == 1",
    }
    assert of_one[language] in text
