"""What an estate shares."""

import datetime as dt

import pytest

from advisor.errors import InputError
from advisor.plan.estate.terms import Sharing, allotment, limits_of, read_terms, under_terms
from advisor.workload.values import Limits, OwnedCommitment, QuotaLimit
from builders import workload

ESTATE = """\
limits:
  max_usd_per_month: 5000
  quotas:
    - {provider: aws, region: us-east-1, code: L-1, limit: 64}
commitments:
  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 2, expires: 2027-01-31}
  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 3, expires: 2028-01-31}
sharing: all
"""


def terms(tmp_path, text=ESTATE):
    """The terms of a directory with this file."""
    (tmp_path / "estate.yaml").write_text(text)
    return read_terms(tmp_path)


def test_the_words_are_those_of_the_workload_file(tmp_path):
    """Quotas, a budget and owned commitments are read as in a workload file."""
    found = terms(tmp_path)

    assert found.quotas == (QuotaLimit("aws", "us-east-1", "L-1", 64),)
    assert found.max_usd_per_month == 5000
    assert [one.count for one in found.commitments] == [2, 3]
    assert found.sharing is Sharing.ALL
    assert limits_of(found)["owned", "aws/us-east-1/g6.xlarge"] == 5


def test_an_empty_file_is_no_workload(tmp_path):
    """The refusal shows an estate."""
    with pytest.raises(InputError, match=r"the estate\.yaml is empty") as refused:
        terms(tmp_path, "")
    assert refused.value.hint == "take the file out, or see examples/estate/estate.yaml for one"


@pytest.mark.parametrize("sharing", list(Sharing))
def test_each_way_of_sharing_is_a_word(tmp_path, sharing):
    """None, slices, equal parts by MPS, or turns."""
    assert terms(tmp_path, f"sharing: {sharing.value}\n").sharing is sharing


def test_without_a_file_only_slices_are_shared(tmp_path):
    """No file: no limits, nothing owned, slices allowed."""
    assert read_terms(tmp_path).sharing is Sharing.MIG
    assert limits_of(read_terms(tmp_path)) == {}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("sharing: some\n", "estate.yaml:1: sharing"),
        ("limits: {min_replicas: 2}\n", "estate.yaml:1: limits.min_replicas"),
        ("owned: 2\n", "estate.yaml:1: owned"),
    ],
)
def test_what_an_estate_cannot_say_is_refused(tmp_path, text, where):
    """An unknown word, or a limit that only a workload can have, is named with its line."""
    with pytest.raises(InputError) as refused:
        terms(tmp_path, text)

    assert where in refused.value.where


@pytest.mark.parametrize("line", ["max_usd_per_month: 100", "quotas: []"])
def test_a_limit_beside_limits_says_where_it_belongs(tmp_path, line):
    """A budget at the top is not read; the hint names its place."""
    with pytest.raises(InputError, match="unknown key") as refused:
        terms(tmp_path, line)
    assert refused.value.hint == "it belongs under limits"


def test_the_tighter_quota_holds(tmp_path):
    """A workload keeps its own quota where that is below the estate's, and may use what the estate owns."""
    found = terms(tmp_path)
    own = Limits(quotas=(QuotaLimit("aws", "us-east-1", "L-1", 8), QuotaLimit("aws", "us-east-1", "L-2", 1)))

    work = under_terms(workload(limits=own), found)

    assert {one.code: one.limit for one in work.limits.quotas} == {"L-1": 8, "L-2": 1}
    assert work.commitments == found.commitments


def test_instances_are_owned_by_one_of_them(tmp_path):
    """What a workload owns the estate cannot own too."""
    owned = OwnedCommitment("aws", "us-east-1", "g6.xlarge", 1, dt.date(2027, 1, 1))

    with pytest.raises(InputError, match="owned by the workload and by the estate"):
        under_terms(workload(commitments=(owned,)), terms(tmp_path))


def test_a_share_is_what_a_workload_takes_and_no_more(tmp_path):
    """Planned again, a workload has its units of each quota and its instances; what it does not take is gone."""
    uses = {("quota", "aws/us-east-1/L-1 (on demand)"): 12.0, ("owned", "aws/us-east-1/g6.xlarge"): 4.0}

    some, nothing = allotment(terms(tmp_path), uses), allotment(terms(tmp_path), {})

    assert [one.limit for one in some.quotas] == [12]
    assert [(one.count, one.expires.year) for one in some.commitments] == [(4, 2028)]
    assert [one.limit for one in nothing.quotas] == [0]
    assert nothing.commitments == ()
