"""Plans of the same kinds in other numbers: nothing gets smaller before what takes over is there."""

import pytest

from advisor.codegen import Language, Stage
from advisor.codegen.kept import joint
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.test_cut_over import A10G, GOOGLE, L40S, plan_of, run

FAR = {**L40S, "region": "eu-west-1"}
RTX = {**GOOGLE, "instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"}


def kinds(counts, *facts, policy=Policy.STATIC):
    """A plan of kinds, each of which carries as much as it has instances in its busiest hours."""
    total = sum(most for _, most in counts)
    sized = ({"instances": (least, most), "request_shares": (most / total,) * 2} for least, most in counts)
    return plan_of(*(fact | size for fact, size in zip(facts, sized, strict=True)), policy=policy)


def same(*counts):
    """Counts that are the same at all hours."""
    return [(count, count) for count in counts]


def state(generated):
    """Sizes and weights of the groups in their stage."""
    groups = sorted(joint(generated.rollouts[""]).groups, key=lambda group: (group.region, group.instance_type))
    return [group.instances for group in groups], [group.weight for group in groups]


PLACES = [
    pytest.param("ec2", A10G, L40S, Language.TERRAFORM, id="ec2"),
    pytest.param("ec2", A10G, L40S, Language.PYTHON, id="ec2 by Pulumi"),
    pytest.param("ec2", {}, {"region": "us-west-2"}, Language.TERRAFORM, id="ec2 in two regions"),
    pytest.param("eks", A10G, L40S, Language.TERRAFORM, id="eks"),
    pytest.param("sagemaker", A10G, L40S, Language.TERRAFORM, id="sagemaker"),
    pytest.param("gke", GOOGLE, RTX, Language.TERRAFORM, id="gke"),
]


@pytest.mark.parametrize(("target", "first", "second", "language"), PLACES)
def test_what_shrinks_keeps_its_size_until_what_grows_serves(target, first, second, language, tmp_path):
    """2 and 4 become 6 and 2: 6 and 4 run until the end, with the requests where they went before at first."""
    before, after = (kinds(same(*counts), first, second) for counts in ((2, 4), (6, 2)))
    wanted = {"target": target, "language": language}
    sizes, shares = state(run(tmp_path, before, **wanted)[0])
    assert sizes == [2, 4]
    for stage in (Stage.SHIFT, Stage.FINISH):
        with pytest.raises(InputError, match=r"6 × .*: not all of them serve as planned yet"):
            run(tmp_path, after, stage, **wanted)
    generated, _ = run(tmp_path, after, **wanted)
    assert "cut-over, stage prepare: what serves keeps its size until each instance runs as planned" in generated.notes
    at_prepare = state(generated)
    at_shift, at_finish = (state(run(tmp_path, after, stage, **wanted)[0]) for stage in (Stage.SHIFT, Stage.FINISH))
    assert [at_prepare[0], at_shift[0], at_finish[0]] == [[6, 4], [6, 4], [6, 2]]
    assert at_finish[1] != shares
    assert (at_prepare[1], at_shift[1]) == (shares, at_finish[1])


def test_the_way_back_is_finished_at_once(tmp_path):
    """Nothing got smaller: the former numbers need no stage."""
    before, after = (kinds(same(*counts), {}, A10G) for counts in ((2, 4), (6, 2)))
    first = state(run(tmp_path, before)[0])
    run(tmp_path, after)
    assert state(run(tmp_path, before, Stage.FINISH)[0]) == first


def test_members_of_one_backend_have_nothing_to_shift(tmp_path):
    """On demand and spot of one type: each instance has its share whenever it serves, and the end follows at once."""
    spot = {"purchase": "spot"}
    run(tmp_path, kinds(same(2, 4), {}, spot))
    generated, _ = run(tmp_path, kinds(same(6, 2), {}, spot))
    assert any("generate again with --cut-over finish" in note for note in generated.notes)


@pytest.mark.parametrize("counts", [(3, 5), (1, 2), (2, 4)])
def test_what_grows_or_shrinks_as_a_whole_is_no_cut_over(counts, tmp_path):
    """Nothing takes over from anything."""
    run(tmp_path, kinds(same(2, 4), {}, A10G), target="eks")
    generated, _ = run(tmp_path, kinds(same(*counts), {}, A10G), target="eks")
    assert generated.notes == ()


def test_quiet_hours_are_compared_with_quiet_hours(tmp_path):
    """A kind that is smaller at night gives nothing to one that is larger by day alone, and something to one at night."""
    policy = Policy.SCHEDULED
    run(tmp_path, kinds([(2, 4), (2, 4)], {}, A10G, policy=policy), target="eks")
    generated, _ = run(tmp_path, kinds([(1, 4), (2, 5)], {}, A10G, policy=policy), target="eks")
    assert generated.notes == ()
    generated, _ = run(tmp_path, kinds([(3, 4), (1, 5)], {}, A10G, policy=policy), target="eks")
    assert generated.rollouts[""].stage is Stage.PREPARE


def rated(*kinds_by_rate, **changes):
    """A static plan of instances that each get what they carry: facts, instances and requests per second of each."""
    total = sum(count * rate for _, count, rate in kinds_by_rate)
    return plan_of(
        *(
            {
                **fact,
                "instances": (count, count),
                "request_shares": (count * rate / total,) * 2,
                "planned_requests_per_second_per_instance": rate,
                **changes,
            }
            for fact, count, rate in kinds_by_rate
        )
    )


def shares(generated):
    """Weights of the groups in the order of their regions and types."""
    return state(generated)[1]


def in_stages(directory, before, after):
    """Stage and weights before, in each stage, and the error of a first run with a later one."""
    first = shares(run(directory, before)[0])
    for stage in (Stage.SHIFT, Stage.FINISH):
        with pytest.raises(InputError, match="not all of them serve as planned yet"):
            run(directory, after, stage)
    return first, *(shares(run(directory, after, stage)[0]) for stage in (None, Stage.SHIFT, Stage.FINISH))


def test_a_share_waits_for_the_engine_that_carries_it(tmp_path):
    """On EC2 in fp8 a kind is to get twice the share, while its one host still runs bf16: first the host, then the share."""
    before = rated((A10G, 1, 0.5), (L40S, 2, 1.1))
    after = rated((A10G, 1, 1.25), (L40S, 2, 1.1), precision="fp8")
    first, prepare, shift, finish = in_stages(tmp_path, before, after)
    assert (first, prepare, shift, finish) == ([185, 815], [185, 815], [362, 638], [362, 638])
    assert "moved {" in (tmp_path / "moved.tf").read_text()


@pytest.mark.parametrize("policy", Policy)
def test_a_share_waits_for_the_instances_that_carry_it(policy, tmp_path):
    """One kind grows beside another that stays: its share would reach the hosts that it has, as much as all of theirs."""
    least = 1 if policy is not Policy.STATIC else 3
    before, after = (kinds([(least, 3), (1, most)], A10G, L40S, policy=policy) for most in (1, 3))
    first, prepare, shift, finish = in_stages(tmp_path, before, after)
    assert (first, prepare, shift, finish) == ([750, 250], [750, 250], [500, 500], [500, 500])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rated((A10G, 1, 0.5), (L40S, 2, 1.1)), rated((A10G, 1, 1.25), (L40S, 2, 1.1))),
        (rated((A10G, 1, 1.0), (L40S, 2, 1.0)), rated((A10G, 7, 1.0), (L40S, 14, 1.01))),
        (rated((A10G, 4, 1.0), (L40S, 2, 1.0)), rated((A10G, 3, 1.0), (L40S, 2, 1.0))),
        (rated((A10G, 2, 1.0)), rated((A10G, 9, 1.0))),
        (rated((A10G, 3, 1.0), (FAR, 1, 1.0)), rated((A10G, 3, 1.0), (FAR, 3, 1.0))),
    ],
    ids=["another prediction", "all grow alike", "one shrinks", "one kind", "another region"],
)
def test_a_share_that_those_of_before_carry_waits_for_nothing(before, after, tmp_path):
    """Or that they would get all the same: the plan is applied at once."""
    run(tmp_path, before)
    generated, _ = run(tmp_path, after)
    assert generated.rollouts[""].stage is None
