"""The command of a finding: whatever a bill calls its resources, it is one that the provider's command line takes."""

import json
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.audit.findings.provider_commands import Place, provider_command
from audit.bills import Charge, hours, write_bill
from audit.commands import aws_parsed, parsed, parts
from audit.machines import ACCELERATED, billed, day_of, sampled

VM = "/subscriptions/5d/resourceGroups/ai/providers/Microsoft.Compute/virtualMachines/gpu-1"
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/{}"
AWS = [
    ("ADV101", "i-0abc", "stop-instances"),
    ("ADV108", "arn:aws:savingsplans::1:savingsplan/01234567-89ab-cdef-0123-456789abcdef", "describe-savings-plans"),
    ("ADV109", "arn:aws:ec2:us-east-1:1:reserved-instances/0123-ab", "describe-reserved-instances"),
    ("ADV110", "arn:aws:ec2:us-east-1:1:capacity-reservation/cr-0ab", "cancel-capacity-reservation"),
    ("ADV112", "arn:aws:ec2:us-east-1:1:natgateway/nat-0ab", "create-vpc-endpoint"),
    ("ADV113", "arn:aws:logs:us-east-1:1:log-group:/aws/eks/chat:*", "put-retention-policy"),
    ("ADV114", "snap-0ab", "modify-snapshot-tier"),
    ("ADV114", "vol-0ab", "describe-volumes"),
    ("ADV114", "my-checkpoints", "put-bucket-intelligent-tiering-configuration"),
    ("ADV115", BALANCER.format("app/chat/0ab"), "delete-load-balancer"),
    ("ADV115", BALANCER.format("chat"), "delete-load-balancer"),
    ("ADV115", "eipalloc-0ab", "release-address"),
    ("ADV117", "vol-0ab", "create-tags"),
    ("ADV117", "arn:aws:rds:us-east-1:1:db:users", "tag-resources"),
]


@pytest.mark.parametrize(("finding", "resource", "verb"), AWS)
def test_aws_has_the_operation_with_these_parameters(finding, resource, verb):
    """Verb, options and the options that it cannot do without are those of the API's own model."""
    for words in parts(provider_command(finding, [Place("aws", "us-east-1", resource)])):
        (told, *_) = aws_parsed(words)[1:2]
        assert told in {verb, "describe-nat-gateways"}


@pytest.mark.parametrize(
    ("finding", "place", "command"),
    [
        ("ADV101", Place("azure", "eastus", VM), f"az vm deallocate --ids {VM}"),
        (
            "ADV117", Place("azure", "eastus", VM),
            f"az tag update --operation merge --tags owner=unassigned --resource-id {VM}",
        ),
        (
            "ADV109", Place("gcp", "us-central1", "projects/p/regions/us-central1/commitments/gpus"),
            "gcloud compute commitments update gpus --region us-central1 --no-auto-renew",
        ),
        (
            "ADV114", Place("gcp", "us", "projects/_/buckets/checkpoints"),
            "gcloud storage buckets update gs://checkpoints --enable-autoclass",
        ),
        (
            "ADV101", Place("gcp", "us-central1", "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/gpu-1"),
            "gcloud compute instances stop projects/p/zones/us-central1-a/instances/gpu-1",
        ),
        ("ADV101", Place("gcp", "us-central1", "gpu-1"), None),
        ("ADV101", Place("aws", "us east; ls", "i-0abc"), None),
        ("ADV111", Place("aws", "us-east-1", "i-0abc"), None),
    ],
)  # fmt: skip
def test_other_clouds_take_their_own_names(finding, place, command):
    """Names that need a zone, regions of no known form and findings without a command of a provider have none."""
    assert provider_command(finding, [place]) == command


def test_resources_of_a_region_are_one_command_and_the_dearest_come_first():
    """Two regions are two commands, and more than ten resources are not named."""
    places = [Place("aws", region, f"i-0{number:02}") for number in range(8) for region in ("us-east-1", "us-west-2")]

    first, second = provider_command("ADV101", places).split(" && ")

    assert first.split()[4:] == ["us-east-1", "--instance-ids", *(f"i-0{number:02}" for number in range(5))]
    assert second.split()[4] == "us-west-2"


@settings(max_examples=60)
@given(
    st.sampled_from(sorted({finding for finding, *_ in AWS} - {"ADV112"})),
    st.sampled_from(["aws", "azure", "gcp"]),
    st.text(max_size=40) | st.sampled_from([name for _, name, _ in AWS]).flatmap(
        lambda name: st.text(max_size=6).map(lambda text: name + text)
    ),
)  # fmt: skip
def test_no_name_of_a_bill_becomes_a_command(finding, provider, resource):
    """Whatever a resource is called, a shell reads the line as the words that were meant."""
    command = provider_command(finding, [Place(provider, "us-east-1", resource)])

    if command is not None:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        assert words[0] in {"aws", "az", "gcloud"}
        assert not set(words) & {";", "|", "&", "&&", "||", "(", ")", "<", ">"}
        assert not {"$", "`", "\n"} & set(command)


def test_repeated_prompts_are_replayed_against_caches(tmp_path, audit):
    """A log of JSON lines is the one that the replay reads; of another kind the finding lists its endpoints."""
    log = tmp_path / "my log.jsonl"
    times = (f"2026-10-01T{hour:02}:{minute:02}:00Z" for hour in range(24) for minute in range(9))
    sizes = {"endpoint": "chat", "input_tokens": 9, "output_tokens": 9, "prompt": "Where is it?"}
    log.write_text("\n".join(json.dumps({"timestamp": time, **sizes}) for time in times))
    bill = write_bill(tmp_path, "cur", hours(Charge(tags={"endpoint": "chat"}), 24))
    found = audit(bill, requests=(str(log),), option_words=("--requests", str(log)))
    command = next(finding.command for finding in found.findings if finding.id == "ADV120")

    assert command == f"advisor demand cache {shlex.quote(str(log))}"
    assert parsed(shlex.split(command)).params["log"] == log


def test_spare_accelerators_are_planned_from_what_was_measured(tmp_path, audit):
    """The workload files that the plan reads are written first, by the same line."""
    samples = sampled(tmp_path, lambda number: 0.5 if number % 10 == 0 else 0.13)
    found = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(samples,))
    command = next(finding.command for finding in found.findings if finding.id == "ADV102")

    init, recommend = parts(command)
    assert parsed(init).params["samples"] == (str(samples),)
    assert recommend == ["advisor", "recommend", "workloads/"]
