"""A region without the type: refused by name, with where else it is sold; what is unknown is a warning."""

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Wanted, generate
from advisor.errors import InputError, NotDeployable
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan


def warnings(*options, rank=1):
    """What generating says with the shipped catalog."""
    return generate(make_plan(*options), wanted=Wanted(rank=rank), catalog=load_catalog()).warnings


def test_a_type_that_is_sold_there_is_no_warning():
    """The catalog lists g6.xlarge in us-east-1."""
    assert warnings(make_option()) == ()


def test_a_region_without_the_type_is_refused_with_the_nearest_ones():
    """p5.48xlarge is not sold in Milan; the nearest regions by round trip come first."""
    option = make_option(
        region="eu-south-1", instance_type="p5.48xlarge", accelerator="H100-SXM", accelerator_count=8.0
    )
    with pytest.raises(InputError, match=r"eu-south-1 does not have p5\.48xlarge") as caught:
        warnings(option)
    catalog = load_catalog()
    first, second = caught.value.hint.split("sells it in ")[1].split(";")[0].split(", ")[:2]
    sold = {offer.region for offer in catalog.offers if offer.instance_type == "p5.48xlarge"}
    assert {first, second} <= sold

    def far(region):
        return catalog.geography.between_regions("aws", "eu-south-1", region).rtt_ms

    assert far(first) <= far(second)
    assert far(first) == min(far(region) for region in sold)


def test_no_type_that_is_sold_is_taken_instead():
    """Without a named option the recommended one is refused, and the hint names the ranks of the others."""
    nowhere = make_option(
        region="eu-south-1", instance_type="p5.48xlarge", accelerator="H100-SXM", accelerator_count=8.0
    )
    with pytest.raises(NotDeployable, match=r"eu-south-1 does not have p5\.48xlarge") as caught:
        warnings(nowhere, make_option(rank=2), rank=None)
    assert "1 to 2" not in caught.value.hint
    assert caught.value.hint.endswith(": 2")


def test_one_group_of_a_fleet_is_enough():
    """A fleet is refused for any of its groups, and the message names them all."""
    bad = make_group(instance_type="p5.48xlarge", region="eu-south-1", accelerator="H100-SXM", accelerator_count=8.0)
    plan = make_fleet_plan(make_group(), bad)
    with pytest.raises(NotDeployable, match=r"4 × p5\.48xlarge .* 4 × g6\.xlarge .* eu-south-1 does not have"):
        generate(plan, catalog=load_catalog())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instance_type": "g6.99xlarge"}, "does not know where aws sells g6.99xlarge: check us-east-1"),
        ({"region": "eu-moon-1"}, "does not know eu-moon-1 of aws"),
    ],
)
def test_what_the_catalog_does_not_know_is_a_warning(changes, said):
    """Unknown is neither yes nor no."""
    assert said in warnings(make_option(**changes))[0]
