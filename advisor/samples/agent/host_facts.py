"""Facts of a host: machine, region, zone, way of paying, image by its provider, and how its engines were started.

Asked by the short-lived process that compacts, never by the agent's loop, within seconds; what nobody says stays
unknown. Standard library only.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html (IMDSv2),
https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys,
https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from advisor.atomic_files import write_bytes
from advisor.errors import InputError
from advisor.samples.agent.status import read_object
from advisor.samples.bounded_http import Connection, ExchangeError, Limits, parse_address
from advisor.samples.places import spool_folder

Facts = dict[str, str]
PROVIDER, INSTANCE_TYPE, REGION, ZONE, PURCHASE, IMAGE, ENGINES = (
    "provider", "instance_type", "region", "zone", "purchase", "image", "engines",
)  # fmt: skip
ON_DEMAND, SPOT = "on_demand", "spot"
_FILE = "host.json"
_BOOT = "boot"
_METADATA_ADDRESS = "http://169.254.169.254"
_VENDOR = Path("/sys/class/dmi/id/sys_vendor")
_LIMITS = Limits(connect_seconds=0.5, total_seconds=1.0, body_bytes=256 * 1024)
_VALUE = re.compile(r"(?!.*://[^/]*@)[\w./:@+ -]{1,256}")
"""Plain text, and no address with a password in it."""
_AWS_PURCHASES = {"on-demand": ON_DEMAND, "spot": SPOT}
_ENGINE = re.compile(
    r"\b(vllm|sglang|text-generation-launcher|text-embeddings-router|tritonserver|trtllm-serve|llama-server)\b"
)
_FLAGS = {
    "--model", "--model-path", "--model-id", "--served-model-name", "--tensor-parallel-size", "-tp", "--tp",
    "--tp-size", "--tp_size", "--pipeline-parallel-size", "-pp", "--pp-size", "--data-parallel-size", "-dp",
    "--dp", "--dp-size",
    "--dtype", "--quantization", "-q", "--quantize", "--kv-cache-dtype", "--max-model-len", "--context-length",
    "--max-num-seqs", "--max-batch-size", "--max_batch_size", "--max-running-requests", "--max-num-batched-tokens",
    "--gpu-memory-utilization", "--mem-fraction-static", "--num-shard", "--max-total-tokens", "--max-input-tokens",
    "--enable-prefix-caching", "--no-enable-prefix-caching", "--enable-chunked-prefill", "--enforce-eager",
    "--speculative-config", "-ngl", "--n-gpu-layers", "-c", "--ctx-size", "-np", "--parallel",
}  # fmt: skip
"""What says how an engine runs. Every other argument is left out: it may be a secret."""
_MOST_ENGINES = 16


class _UnansweredError(Exception):
    """The metadata service is not that provider's, or is not there."""


def keep_facts(directory: Path, host: str, gather: "Callable[[], Facts] | None" = None) -> None:
    """Write what this machine is beside its spool; what was known since it was started stays known.

    Where nothing can be written it is asked again the next time.
    """
    path = spool_folder(directory, host) / _FILE
    boot = _boot()
    before = read_object(path)
    earlier = {name: str(value) for name, value in before.items() if name != _BOOT} if before.get(_BOOT) == boot else {}
    facts = earlier | (gather or facts_here)()
    if facts or before:
        with suppress(InputError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, json.dumps({**facts, _BOOT: boot}, sort_keys=True).encode())


def read_facts(directory: Path, host: str) -> Facts:
    """Facts that :func:`keep_facts` wrote; empty where it did not."""
    kept = read_object(spool_folder(directory, host) / _FILE)
    return {str(name): str(value) for name, value in kept.items() if name != _BOOT}


def facts_here(address: str = _METADATA_ADDRESS, processes: Path = Path("/proc")) -> Facts:
    """All that can be found out of this machine; *processes*: where the system shows them.

    The metadata service has the same *address* with all providers; AWS_EC2_METADATA_SERVICE_ENDPOINT and
    GCE_METADATA_HOST say otherwise, and AWS_EC2_METADATA_DISABLED that there is none of AWS's.
    """
    facts: Facts = {}
    for ask in _likely():
        try:
            facts = ask(address)
        except (_UnansweredError, ExchangeError, InputError, ValueError, LookupError, TypeError):
            continue
        break
    if engines := "; ".join(_engines(processes)):
        facts[ENGINES] = engines
    return facts


def _likely() -> Iterator[Callable[[str], Facts]]:
    """Whose machine it may be by its firmware; where that cannot be read, anybody's."""
    try:
        vendor = _VENDOR.read_text(encoding="utf-8").lower()
    except OSError:
        vendor = ""
    for ask, names, variable in (
        (_aws, ("amazon", "xen"), "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        (_gcp, ("google",), "GCE_METADATA_HOST"),
        (_azure, ("microsoft",), ""),
    ):
        if not vendor or variable in os.environ or any(name in vendor for name in names):
            yield ask


def _aws(address: str) -> Facts:
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise _UnansweredError
    address = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", address).rstrip("/")
    token = _asked(f"{address}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    header = {"X-aws-ec2-metadata-token": token}

    def value(name: str) -> str:
        return _asked_or_empty(f"{address}/latest/meta-data/{name}", header)

    zone = value("placement/availability-zone")
    return _facts(
        "aws",
        value("instance-type"),
        value("placement/region") or zone.rstrip("abcdefghijklmnopqrstuvwxyz"),
        zone,
        _AWS_PURCHASES.get(value("instance-life-cycle"), ""),
        value("ami-id"),
    )


def _gcp(address: str) -> Facts:
    named = os.environ.get("GCE_METADATA_HOST")
    address = f"http://{named}" if named else address

    def value(name: str) -> str:
        url = f"{address}/computeMetadata/v1/instance/{name}"
        return _asked_or_empty(url, {"Metadata-Flavor": "Google"}).rpartition("/")[2]

    machine = _asked(f"{address}/computeMetadata/v1/instance/machine-type", {"Metadata-Flavor": "Google"})
    zone = value("zone")
    purchase = {"TRUE": SPOT, "FALSE": ON_DEMAND}.get(value("scheduling/preemptible"), "")
    return _facts("gcp", machine.rpartition("/")[2], zone.rpartition("-")[0], zone, purchase, value("image"))


def _azure(address: str) -> Facts:
    machine = json.loads(_asked(f"{address}/metadata/instance/compute?api-version=2021-02-01", {"Metadata": "true"}))
    image = machine.get("storageProfile", {}).get("imageReference", {})
    named = [image.get(part) for part in ("publisher", "offer", "sku", "version")]
    purchase = {"Spot": SPOT, "Low": SPOT, "Regular": ON_DEMAND}.get(machine.get("priority") or "Regular", "")
    return _facts(
        "azure",
        str(machine["vmSize"]),
        str(machine.get("location", "")),
        str(machine.get("zone", "")),
        purchase,
        ":".join(str(part) for part in named if part),
    )


def _facts(*values: str) -> Facts:
    """Facts in their order, of which empty and odd ones are left out."""
    names = (PROVIDER, INSTANCE_TYPE, REGION, ZONE, PURCHASE, IMAGE)
    return {name: value for name, value in zip(names, values, strict=True) if _VALUE.fullmatch(value)}


def _asked_or_empty(url: str, headers: Mapping[str, str]) -> str:
    try:
        return _asked(url, headers)
    except (_UnansweredError, ExchangeError):
        return ""


def _asked(url: str, headers: Mapping[str, str], method: str = "GET") -> str:
    connection = Connection(parse_address(url, "/"), _LIMITS)
    try:
        answer = connection.exchange(method, {**headers, **({"Content-Length": "0"} if method == "PUT" else {})})
    finally:
        connection.close()
    if answer.status != 200:
        raise _UnansweredError
    return answer.body.decode().strip()


def _engines(processes: Path) -> Iterator[str]:
    """Serving engines that run here with the arguments that say how, where this user may see them."""
    lines = set()
    for path in processes.glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:
            continue
        if line := _engine_line(arguments):
            lines.add(line)
    yield from sorted(lines)[:_MOST_ENGINES]


def _engine_line(arguments: Sequence[str]) -> str:
    """An engine and its known flags; empty for any other process."""
    engine = next((match[1] for word in arguments[:4] if (match := _ENGINE.search(word))), None)
    if engine is None:
        return ""
    words = [engine]
    for number, argument in enumerate(arguments):
        flag, has_value, value = argument.partition("=")
        if flag not in _FLAGS:
            continue
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        value = value if has_value else ("" if following.startswith("-") else following)
        words += [flag, *([value] if _VALUE.fullmatch(value) else [])]
    model = arguments[arguments.index("serve") + 1 :][:1] if "serve" in arguments else []
    words[1:1] = [word for word in model if not word.startswith("-") and _VALUE.fullmatch(word)]
    return " ".join(words) if len(words) > 1 else ""


def _boot() -> str:
    """Boot id, new whenever the machine is started; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
