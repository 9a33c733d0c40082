"""The plan's response cache in the generated code, and what is said where there is none."""

import dataclasses
import re

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.errors import InputError
from codegen.plans import make_cache, make_fleet_plan, make_group, make_option
from codegen.scenarios import SCENARIOS


def planned(**changes):
    """A plan of one group on AWS with a cache; *changes* replace fields of the group."""
    return make_fleet_plan(make_group(**changes), fleet={"response_cache": make_cache()})


def written(plan, language=Language.TERRAFORM, **wanted):
    """The files of a plan."""
    return generate(plan, language, Wanted(**wanted)).files


@pytest.mark.parametrize("target", ["ec2", "eks", "eks-karpenter"])
def test_code_without_a_cache_is_the_same_but_for_it(target):
    """A cache adds a file to a Terraform root, and a line of its README; nothing that serves differs."""
    with_cache = written(planned(), target=target)
    without = written(make_fleet_plan(make_group()), target=target)
    shared = [path for path in without if path.endswith(".tf")]

    assert with_cache.keys() - without.keys() == {"cache.tf"}
    assert all(_is_same_but_for_its_digest(with_cache[path], without[path]) for path in shared)
    readme = with_cache["README.md"].replace("\n ", "")
    assert "`response_cache`" in readme
    assert "2 × `cache.t4g.medium` (one of them a replica that takes over)" in readme
    assert "for 30.0 % of the requests, whose answers take 2 GiB" in readme
    assert "to expire after 3600 seconds" in readme
    assert "elasticache" in with_cache["README.md"]


def _is_same_but_for_its_digest(text, other):
    """Whether each line that differs names the digest of the plan."""
    pairs = zip(text.splitlines(), other.splitlines(), strict=True)
    return all("sha256:" in line for line, other_line in pairs if line != other_line)


@pytest.mark.parametrize("language", Language)
def test_cache_is_private_encrypted_and_has_no_password(language):
    """What protects the answers of users stands in both languages."""
    code = "".join(text for path, text in written(planned(), language, target="ec2").items() if "cache" in path)
    words = re.sub(r'"(\w+)":', r"\1=", code.replace(" ", "").lower())

    for protection in ("at_rest_encryption_enabled=true", "transit_encryption_enabled=true", 'type="iam"'):
        assert protection in words
    assert "password" not in words.replace("thereisnopassword", "")


@pytest.mark.parametrize("name", ["aks-cache", "vm-scale-set-cache"])
@pytest.mark.parametrize("language", Language)
def test_cache_on_azure_is_private_encrypted_and_has_no_key(name, language):
    """No public address, TLS alone, access keys off, one endpoint, and what is used least recently goes first."""
    scenario = SCENARIOS[name]()
    code = "".join(
        text
        for path, text in written(scenario.plan, language, target=scenario.wanted.target).items()
        if "cache" in path
    )
    words = re.sub(r'"(\w+)":', r"\1=", code.replace(" ", "").lower())

    for protection in (
        'public_network_access="disabled"',
        'client_protocol="encrypted"',
        "access_keys_authentication_enabled=false",
        'eviction_policy="allkeyslru"',
        'subresource_names=["redisenterprise"]',
    ):
        assert protection in words
    assert "primary_access_key" not in words


@pytest.mark.parametrize(
    ("name", "role"), [("aks-cache", "Azure Kubernetes Service Contributor"), ("vm-scale-set-cache", "Reader")]
)
@pytest.mark.parametrize("language", Language)
def test_rights_of_the_private_endpoint_are_told(name, role, language):
    """Its record in the DNS zone takes a role of its own, beside those of the target."""
    scenario = SCENARIOS[name]()
    readme = written(scenario.plan, language, target=scenario.wanted.target)["README.md"]
    rights = " ".join(
        readme.partition("- Rights of whoever applies")[2].partition("User Access Administrator")[0].split()
    )

    assert "Private DNS Zone Contributor on" in rights
    assert role in rights


@pytest.mark.parametrize("name", ["gke-cache", "mig-cache"])
@pytest.mark.parametrize("language", Language)
def test_cache_on_google_names_its_apis_and_its_certificate_authority(name, language):
    """Both APIs stand with those of the project, and the CA that clients have to trust is an output."""
    scenario = SCENARIOS[name]()
    files = written(scenario.plan, language, target=scenario.wanted.target)
    readme, code = files["README.md"], "".join(text for path, text in files.items() if "cache" in path)
    apis = readme.partition("APIs")[2].partition("Quota")[0]

    assert "memorystore" in apis
    assert "networkconnectivity" in apis
    assert "get-certificate-authority" in readme
    assert "`response_cache.ca_certificates`" in readme
    assert "managed_server_ca" in code


@pytest.mark.parametrize(("name", "mode"), [("eks-cache", "cluster-enabled"), ("gke-cache", '="cluster"')])
@pytest.mark.parametrize("language", Language)
def test_cache_in_shards_speaks_the_cluster_protocol(name, mode, language):
    """Cluster mode is on, clients may ask for the slots, and the README says what they speak."""
    scenario = SCENARIOS[name]()
    files = written(scenario.plan, language, target=scenario.wanted.target)
    words = "".join(text for path, text in files.items() if "cache" in path).replace(" ", "").lower()

    assert mode in words
    assert ("configuration_endpoint_address" if name == "eks-cache" else "connection_type_discovery") in words
    for discovery in ("+info", "+cluster|slots", "+cluster|shards", "+cluster|nodes", "+cluster|myid"):
        assert (discovery in words) is (name == "eks-cache")
    assert f"{scenario.plan.fleet.response_cache.shards} shards" in files["README.md"]
    assert "cluster protocol" in " ".join(files["README.md"].split())


@pytest.mark.parametrize("language", Language)
def test_signing_in_to_a_cache_on_aws_needs_no_guess(language):
    """The output has the id and the region that the token of a role is signed for."""
    files = written(planned(), language, target="ec2")
    code = "".join(text for path, text in files.items() if "cache" in path).replace(" ", "")

    assert "cache_id=" in code
    assert "region=local.cache.region\npolicy_arn" in code or "region=REGION,\npolicy_arn" in code
    assert "`response_cache.cache_id` and `response_cache.region`" in " ".join(files["README.md"].split())


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("eks-cache", "Valkey 8.2"),
        ("gke-cache", "Memorystore for Valkey has vector search"),
        ("aks-cache", "The index stands elsewhere"),
    ],
)
@pytest.mark.parametrize("language", Language)
def test_semantic_cache_is_not_told_to_key_by_equality_alone(name, where, language):
    """The README says from which similarity on answers are given, who searches, and where the index may stand."""
    scenario = SCENARIOS[name]()
    exact = scenario.plan
    cache = dataclasses.replace(exact.fleet.response_cache, similarity=0.9)
    plan = dataclasses.replace(exact, fleet=dataclasses.replace(exact.fleet, response_cache=cache))
    told, silent = (written(each, language, target=scenario.wanted.target) for each in (plan, exact))
    readme = " ".join(told["README.md"].split())

    assert "by the similarity of the prompt's embedding, from 0.9 (cosine) on" in readme
    assert where in readme
    assert "similarity of the prompt" not in silent["README.md"]
    versions = ["".join(files.values()).count('"8.2"') for files in (told, silent)]
    assert versions == [int(name == "eks-cache"), 0]


@pytest.mark.parametrize(("nodes", "survives"), [(1, "false"), (2, "true")])
def test_replica_takes_over_where_there_is_one(nodes, survives):
    """The nodes are those of the plan, over several zones where one may fail."""
    plan = make_fleet_plan(make_group(), fleet={"response_cache": make_cache(nodes=nodes)})
    code = written(plan, target="ec2")["cache.tf"]

    assert f"nodes             = {nodes}\n" in code
    assert ("CKV2_AWS_50" in code) == (survives == "false")


@pytest.mark.parametrize("name", ["sagemaker-mixed-scheduled", "container-apps-mixed", "cloud-run-two-regions"])
def test_target_without_code_for_a_cache_says_so(name):
    """The README names what the plan counts on, since the fleet is sized for what it leaves."""
    scenario = SCENARIOS[name]()
    fleet = scenario.plan.fleet
    here = {"provider": fleet.groups[0].provider, "region": fleet.groups[0].region}
    groups = tuple(group for group in fleet.groups if group.region == here["region"])
    fleet = dataclasses.replace(fleet, groups=groups, response_cache=make_cache(**here))
    files = generate(dataclasses.replace(scenario.plan, fleet=fleet), Language.TERRAFORM, scenario.wanted).files

    assert "cache.tf" not in files
    assert "The plan counts on a response cache" in files["README.md"].replace("\n", " ")


def test_option_in_another_region_is_refused():
    """The plan prices no node there, and a cache does not answer across regions."""
    plan = dataclasses.replace(planned(), options=(make_option(region="us-west-2"),))
    with pytest.raises(InputError, match="response cache is in us-east-1 of aws, and this option is not") as refused:
        written(plan, rank=1)
    assert "us-west-2" in refused.value.hint


@pytest.mark.parametrize(("ratio", "is_on"), [(0.0, False), (0.4, True)])
def test_prefix_cache_that_the_plan_counts_is_switched_on(ratio, is_on):
    """The engine is told, whatever its image has by default."""
    plan = make_fleet_plan(make_group())
    plan = dataclasses.replace(plan, workload={**plan.workload, "prefix_cache_hit_ratio": ratio})

    assert ("--enable-prefix-caching" in "".join(written(plan, target="ec2").values())) == is_on
