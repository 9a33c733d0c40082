"""The command of a finding: whatever a bill calls its resources, it is one that the provider's command line takes."""

import json
import shlex
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.audit.findings import Place, acting_command, looking_command
from audit.bills import Charge, focus_row, hours, write_bill, write_csv
from audit.commands import aws_parsed, parsed, parts
from audit.machines import ACCELERATED, billed, day_of, sampled

VM = "/subscriptions/5d/resourceGroups/ai/providers/Microsoft.Compute/virtualMachines/gpu-1"
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/{}"
SET = VM.replace("virtualMachines/gpu-1", "virtualMachineScaleSets/pool")
COMMITMENT = "projects/p/regions/us-central1/commitments/gpus"
S3, EFS = "Amazon Simple Storage Service", "Amazon Elastic File System"
AWS = [
    ("ADV101", "i-0abc", "describe-instances"),
    ("ADV108", "arn:aws:savingsplans::1:savingsplan/01234567-89ab-cdef-0123-456789abcdef", "describe-savings-plans"),
    ("ADV109", "arn:aws:ec2:us-east-1:1:reserved-instances/0123-ab", "describe-reserved-instances"),
    ("ADV110", "arn:aws:ec2:us-east-1:1:capacity-reservation/cr-0ab", "describe-capacity-reservations"),
    ("ADV112", "arn:aws:ec2:us-east-1:1:natgateway/nat-0ab", "describe-route-tables"),
    ("ADV113", "arn:aws:logs:us-east-1:1:log-group:/aws/eks/chat:*", "describe-log-groups"),
    ("ADV114", "snap-0ab", "describe-snapshots"),
    ("ADV114", "vol-0ab", "describe-volumes"),
    ("ADV114", "fs-0ab", "describe-file-systems"),
    ("ADV114", "my-checkpoints", "list-objects-v2"),
    ("ADV115", BALANCER.format("app/chat/0ab"), "describe-target-groups"),
    ("ADV115", BALANCER.format("chat"), "describe-load-balancers"),
    ("ADV115", "eipalloc-0ab", "describe-addresses"),
    ("ADV117", "vol-0ab", "describe-tags"),
    ("ADV117", "arn:aws:rds:us-east-1:1:db:users", "get-resources"),
]
ACTS = [
    ("ADV117", "vol-0ab", "create-tags"),
    ("ADV117", "arn:aws:rds:us-east-1:1:db:users", "tag-resources"),
]
HARMLESS = {"describe", "list", "show", "get-resources"}
"""Words of which each command that looks has one."""
TAKEN_BACK = {"tag-resources", "create-tags", "tag update", "add-labels"}
"""The same of each that acts: tags are taken away again."""
TAKES_ACTS = {"ADV117"}


def service_of(resource):
    """Service under which a bill has a resource."""
    return EFS if resource.startswith("fs-") else S3


@pytest.mark.parametrize(
    ("command", "finding", "resource", "verb"),
    [*((looking_command, *row) for row in AWS), *((acting_command, *row) for row in ACTS)],
)
def test_aws_has_the_operation_with_these_parameters(command, finding, resource, verb):
    """Verb, options and the options that it cannot do without are those of the API's own model."""
    (words,) = parts(command(finding, [Place("aws", "us-east-1", resource, service_of(resource))]))
    assert aws_parsed(words)[1] == verb


@pytest.mark.parametrize(
    ("finding", "place", "command"),
    [
        ("ADV101", Place("azure", "eastus", VM), f"az vm show --show-details --ids {VM}"),
        ("ADV101", Place("azure", "eastus", f"{SET}/virtualMachines/0"), f"az vmss show --ids {SET}"),
        ("ADV117", Place("azure", "eastus", VM), f"az tag list --resource-id {VM}"),
        ("ADV117", Place("azure", "eastus", f"{SET}/virtualMachines/0"), f"az tag list --resource-id {SET}"),
        (
            "ADV108", Place("gcp", "us-central1", COMMITMENT),
            "gcloud compute commitments describe gpus --project p --region us-central1",
        ),
        (
            "ADV114", Place("gcp", "us", "projects/_/buckets/checkpoints"),
            "gcloud storage buckets describe gs://checkpoints",
        ),
        (
            "ADV101", Place("gcp", "us-central1", "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/gpu-1"),
            "gcloud compute instances describe projects/p/zones/us-central1-a/instances/gpu-1",
        ),
        ("ADV101", Place("gcp", "us-central1", "gpu-1"), None),
        ("ADV108", Place("gcp", "us-central1", "commitments/gpus"), None),
        ("ADV101", Place("aws", "us east; ls", "i-0abc"), None),
        ("ADV111", Place("aws", "us-east-1", "i-0abc"), None),
        ("ADV113", Place("aws", "us-east-1", "i-0abc", "AmazonCloudWatch"), None),
        ("ADV114", Place("aws", "us-east-1", "mydb-prod", "Amazon Relational Database Service"), None),
        ("ADV114", Place("aws", "us-east-1", "acme-checkpoints"), None),
    ],
)  # fmt: skip
def test_resources_are_named_as_their_own_kind_or_not_at_all(finding, place, command):
    """A machine of a scale set is the set's, a file system no bucket; names that lack a place have no command."""
    assert looking_command(finding, [place]) == command


@pytest.mark.parametrize(
    ("finding", "place", "command"),
    [
        ("ADV101", Place("azure", "eastus", VM), None),
        ("ADV101", Place("gcp", "us-central1", "projects/p/zones/us-central1-a/instances/gpu-1"), None),
        ("ADV114", Place("gcp", "us", "projects/_/buckets/checkpoints"), None),
        (
            "ADV117", Place("azure", "eastus", f"{SET}/virtualMachines/0"),
            f"az tag update --operation merge --tags advisor-owner=unassigned --resource-id {SET}",
        ),
        *((finding, Place("aws", "us-east-1", name, S3), None) for finding, name, _ in AWS if finding not in TAKES_ACTS),
    ],
)  # fmt: skip
def test_what_acts_can_be_taken_back(finding, place, command):
    """What has no tag gets one; accelerators are not given back, whether idle (ADV101) or reserved (ADV110)."""
    assert acting_command(finding, [place]) == command


def test_resources_of_a_region_are_one_command_and_the_dearest_come_first():
    """Two regions are two commands, and more than ten resources are not named."""
    places = [Place("aws", region, f"i-0{number:02}") for number in range(8) for region in ("us-east-1", "us-west-2")]

    first, second = looking_command("ADV101", places).split("; ")

    assert first.endswith("Values=" + ",".join(f"i-0{number:02}" for number in range(5)))
    assert first.split()[4] == "us-east-1"
    assert second.split()[4] == "us-west-2"


@settings(max_examples=60)
@given(
    st.sampled_from(sorted({finding for finding, *_ in AWS})),
    st.sampled_from(["aws", "azure", "gcp"]),
    st.text(max_size=40) | st.sampled_from([name for _, name, _ in AWS]).flatmap(
        lambda name: st.text(max_size=6).map(lambda text: name + text)
    ),
)  # fmt: skip
def test_no_name_of_a_bill_becomes_a_command(finding, provider, resource):
    """Whatever a resource is called, a shell reads the line as the words that were meant, which take nothing away."""
    for made_by, verbs in ((looking_command, HARMLESS), (acting_command, TAKEN_BACK)):
        command = made_by(finding, [Place(provider, "us-east-1", resource, S3)])
        if command is None:
            continue
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        assert words[0] in {"aws", "az", "gcloud"}
        assert not set(words) & {";", "|", "&", "&&", "||", "(", ")", "<", ">"}
        assert not {"$", "`", "\n"} & set(command)
        assert any(word in " ".join(words[:5]) for word in verbs)


def test_every_type_of_machine_that_a_commitment_is_for_is_shown(tmp_path, audit):
    """Two types are two commands of one line, the dearer first."""
    week = 24 * 7
    rows = [focus_row(charge) for charge in hours(Charge(), week)]
    dearer = hours(Charge(resource="i-0ccc", cost=Decimal(2)), week)
    rows += [{**focus_row(charge), "SkuMeter": "USE1-BoxUsage:g5.2xlarge"} for charge in dearer]

    found = audit(write_csv(tmp_path / "bill.csv", rows))
    command = next(finding.command for finding in found.findings if finding.id == "ADV107")

    shown = [parsed(words).params["instance_type"] for words in parts(command)]
    assert shown == ["g5.2xlarge", "g5.12xlarge"]


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


def test_looking_at_spare_accelerators_writes_nothing(tmp_path, audit):
    """The first command says how many accelerators would do, the second plans smaller machines."""
    samples = sampled(tmp_path, lambda number: 0.5 if number % 10 == 0 else 0.13)
    found = audit(billed(tmp_path, day_of(ACCELERATED)), telemetry=(samples,))
    finding = next(finding for finding in found.findings if finding.id == "ADV102")

    (look,) = parts(finding.look)
    assert look[:3] == ["advisor", "samples", "need"]
    assert str(samples) in look
    parsed(look)
    for words in parts(finding.command):
        parsed(words)
