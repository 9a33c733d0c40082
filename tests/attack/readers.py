"""Every reader of what people and other programs write, with a sound document of its own."""

import datetime as dt
import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from advisor.audit.run import Inputs, audited
from advisor.calibration.readers import read_measurements
from advisor.cases import read_case
from advisor.catalog import load_catalog
from advisor.catalog.layers.overlay import read_overlay
from advisor.catalog.layers.refreshing import Journal, run_tasks
from advisor.catalog.refresh import aws, azure, gcp
from advisor.catalog.refresh.values import RefreshJob, Task
from advisor.cli.fit import _batch as fit_table
from advisor.cli.predict import predict_table
from advisor.codegen import generate
from advisor.codegen.hcl import read_hcl
from advisor.codegen.pricing.sources import read_project
from advisor.demand.cache_log import read_log
from advisor.demand.cache_replay import replay_caches
from advisor.demand.tally import read_summary
from advisor.demand.trace import read_trace
from advisor.errors import AdvisorError
from advisor.models import FitRequest, fit_memory
from advisor.models.files import model_at
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.estate.assemble import workload_row
from advisor.plan.estate.document import estate_from_json, estate_to_json
from advisor.plan.estate.values import Estate, EstateTotals, Together
from advisor.plan.locks import PlanRows, lock_of, lock_text, read_lock
from advisor.plan.plain_values import digest
from advisor.programme.build import Inputs as ProgrammeInputs
from advisor.programme.build import programme_of
from advisor.programme.values import PROGRAMME as PROGRAMME_DOCUMENT
from advisor.report import bill_documents as documents
from advisor.report import bill_table as table
from advisor.report.bill_documents import read_audit
from advisor.report.pages import estate_page, page_of, plan_page
from advisor.report.plan_diff import diff_markdown, estate_diff, estate_diff_markdown, plan_diff
from advisor.report.programme import programme_json, review_json
from advisor.report.verdict import plan_table
from advisor.workload.document import read_workload
from attack.mutations import damaged_bytes, damaged_cells, damaged_json, damaged_lines, damaged_text, damaged_value
from audit.bills import Charge, hours, write_bill
from catalog.refresh.clouds import azure_item, container_item, product, sku
from codegen.plans import make_fleet_plan, make_group
from codegen.pricing import test_every_kind
from models.networks.published import NETWORKS, PIPELINE
from programme.test_review import CHANGED, PROGRAMME, reviewed, written
from report.documents import sampled_audit_text

ROOT = Path(__file__).resolve().parents[2]
MEASUREMENTS = ROOT / "tests" / "calibration" / "readers" / "samples"
LONGEST_SECONDS = 5
"""Of the processor: the machine may be shared."""


@dataclass(frozen=True)
class Reader:
    """A way into the product."""

    sound: Callable[[], object]
    """A document as it should be: a text, or a JSON value."""
    damage: Callable[[object, Random], object]
    read: Callable[[object, Path], object]
    """Reads a document that was damaged, given a scratch directory, as a command does."""
    cost: int = 1
    """So many times fewer documents are tried: a reader that starts a database takes long for each."""


def _file(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def _plan(text: str, _directory: Path) -> None:
    known = plan_from_json(text)
    plan_table(known)
    plan_to_json(known)
    plan_page(known)
    diff_markdown(plan_diff(plan_from_json(_plan_text()), known), ())
    generate(known, catalog=load_catalog())


def _programme(text: str, directory: Path) -> None:
    programme_json(PROGRAMME_DOCUMENT.read(_file(directory, "programme.json", text)))
    page_of(text, "programme.json")


@cache
def _audit_text() -> str:
    with TemporaryDirectory() as folder:
        return sampled_audit_text(Path(folder) / "samples")


@cache
def _review_text() -> str:
    with TemporaryDirectory() as folder:
        return review_json(reviewed(written(Path(folder)), {"chat/spot": CHANGED}))


def _findings(text: str, directory: Path) -> None:
    findings = read_audit(_file(directory, "audit.json", text)).findings
    programme_json(programme_of(ProgrammeInputs(dt.date(2026, 12, 1), 100.0, 12.0, findings)))


def _cache_log() -> Reader:
    return Reader(
        lambda: '{"timestamp": 1, "prompt": "a", "output_tokens": 5}\n{"hash_ids": [1, 2], "input_length": 20}\n' * 3,
        damaged_lines,
        lambda text, directory: replay_caches(read_log(_file(directory, "log.jsonl", text), 16)),
    )


def _estate(text: str, _directory: Path) -> None:
    known = estate_from_json(text)
    estate_page(known)
    estate_diff_markdown(estate_diff(estate_from_json(_estate_text()), known))


def _lock(document: object, directory: Path) -> None:
    """A lock whose digest is right, as of somebody who knows how it is made."""
    if isinstance(document, dict):
        rest = {name: value for name, value in document.items() if name != "digest"}
        document = rest | {"digest": digest(rest)}
    locked = read_lock(_file(directory, "lock.json", json.dumps(document)))
    assert locked.newest_as_of >= locked.oldest_as_of


def _terraform_plan(text: str, directory: Path) -> None:
    read_project(_file(directory, "plan.json", text), None, load_catalog())


def _model(text: str, directory: Path) -> None:
    fit_memory(model_at(_file(directory, "config.json", text)), FitRequest(79.2, 2, 2, context_tokens=1000))


MODEL_FILES = ROOT / "tests" / "models" / "files" / "made"
MODEL_KINDS = (
    "llama.gguf", "novel.gguf", "pictures.onnx", "texts.onnx", "forest.onnx", "forest_of_tensors.onnx", "network.onnx", "svm.onnx", "factors.onnx", "one.safetensors", "xgboost.json", "xgboost.ubj",
    "lightgbm.txt", "line.skops", "boosted.skops", "forest.tl",
)  # fmt: skip


def _model_file(name: str, cost: int = 1) -> Reader:
    """A file of weights, a graph or trees, damaged byte by byte."""

    def read(content: object, directory: Path) -> None:
        path = directory / name
        path.write_bytes(bytes(content))
        fit_memory(model_at(path), FitRequest(79.2, 1, 1, context_tokens=1000))

    return Reader((MODEL_FILES / name).read_bytes, damaged_bytes, read, cost)


def _pipeline(document: object, directory: Path) -> None:
    """A diffusion pipeline whose index and parts are one document."""
    parts = document if isinstance(document, dict) else {"model_index.json": document}
    for name, values in parts.items():
        path = directory / name.replace("\x1b", "").replace("\x07", "")
        if path.resolve().is_relative_to(directory.resolve()) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8", errors="replace")
    model_at(directory)


def _network(config: dict[str, object]) -> Reader:
    """The configuration of a network that answers in one pass."""

    def read(document: object, directory: Path) -> None:
        fit_memory(
            model_at(_file(directory, "config.json", json.dumps(document))), FitRequest(79.2, 1, 1, context_tokens=1000)
        )

    return Reader(lambda: config, damaged_value, read, 4)


def _audit(bill: Path, *logs: Path) -> None:
    """An audit in every form, whose parts add up."""
    with audited(Inputs((str(bill),), requests=tuple(map(str, logs)))) as opened:
        audit = opened.audit
        assert sum(audit.kinds.values()) == audit.bill.cost
        assert sum(audit.split.parts.values()) == audit.kinds["compute"]
        table.audit_table(audit, 80, whole=True)
        table.audit_markdown(audit)
        documents.audit_json(audit)
        "".join(documents.focus_rows(audit, opened.ledger)).encode()


@cache
def _bill_text(form: str) -> str:
    with TemporaryDirectory() as folder:
        charges = [*hours(Charge(tags={"team": "a"}), 3), Charge(kind="tax"), Charge("tokens", resource="")]
        return write_bill(Path(folder), form, charges).read_text(encoding="utf-8")


def _bill(form: str, ending: str = "csv") -> Reader:
    damage = damaged_lines if ending == "jsonl" else damaged_text
    return Reader(
        lambda: _bill_text(form), damage, lambda text, directory: _audit(_file(directory, f"bill.{ending}", text)), 10
    )


def _log(name: str, sound: str, damage: Callable[[object, Random], object]) -> Reader:
    def read(text: object, directory: Path) -> None:
        _audit(_file(directory, "bill.csv", _bill_text("focus")), _file(directory, name, str(text)))

    return Reader(lambda: sound, damage, read, 10)


def _rows(rows_of: Callable[[object], Iterable[object]]) -> Callable[[object, Path], None]:
    """What a price list answers, read by a refresh."""

    def read(document: object, directory: Path) -> None:
        task = Task("eastus/prices", "eastus", "prices", lambda: tuple(rows_of(document)))
        run_tasks(RefreshJob("azure", (task,)), Journal(directory), lambda: dt.datetime.now(dt.UTC))

    return read


@cache
def _plan_text() -> str:
    return plan_to_json(make_fleet_plan(make_group()))


@cache
def _estate_text() -> str:
    plan = plan_from_json(_plan_text())
    rows = tuple(workload_row(f"{name}.yaml", plan) for name in ("a", "b"))
    totals = EstateTotals(2, 2, 0, 0, 10.0, 0.0, 0.0, 10.0)
    return estate_to_json(Estate(rows, totals, (), Together((), 0.0), (), (), (), plan.provenance))


@cache
def _lock_document() -> object:
    catalog = load_catalog()
    places = frozenset(("aws", name, "us-east-1") for name in ("g6.xlarge", "g5.xlarge"))
    return json.loads(lock_text(lock_of(catalog, PlanRows("0" * 64, catalog.content_hash, places, places))))


def _config(**changes: object) -> str:
    document = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8,
        "num_key_value_heads": 4, "vocab_size": 1000, "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "quantization_config": {"quant_method": "fp8", "bits": 8},
    }  # fmt: skip
    return json.dumps(document | changes)


def _config_of_experts() -> str:
    return _config(
        model_type="qwen3_moe", decoder_sparse_step=1, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32,
        mlp_only_layers=[], head_dim=8, sliding_window=128,
    )  # fmt: skip


def _text_of(path: Path) -> Callable[[], str]:
    return lambda: path.read_text(encoding="utf-8")


TOLD = {"accelerator": "H100-SXM", "model": "meta-llama/Llama-3.1-8B-Instruct"}
"""What the files of some programs leave out."""
FIT_CASES = "id,model,accelerator,tensor_parallel,context_tokens,concurrency\na,meta-llama/Llama-3.1-8B,H100,1,4096,8\n"
PREDICTIONS = (
    "model,accelerator,precision,tensor_parallel,input_tokens,output_tokens,concurrency\n"
    "meta-llama/Llama-3.1-8B,H100,bf16,1,1000,200,16\n"
)
TRACE = "timestamp,input_tokens,output_tokens\n" + "".join(
    f"{second},{100 + second},{second}\n" for second in range(40)
)
OVERLAY = """version: advisor.overlay/v1
discounts:
  - {provider: aws, families: [g6], regions: [us-east-1], discount_ratio: 0.12, until: 2030-03-31, note: EDP}
private_offers:
  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 0.5, until: 2030-03-31}
quotas:
  - {provider: aws, region: us-east-1, code: L-DB2E81BA, limit: 96}
zones:
  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, zones: [use1-az1, use1-az2]}
"""
HCL = """locals {
  groups = { a = { region = "us-east-1", spot = true, instances = 3 } }
}
resource "aws_instance" "this" {
  for_each = local.groups
  instance_type = each.value.instance_types[0]
}
"""


def _measured(name: str) -> Reader:
    told = {} if name == "own.csv" else TOLD
    damage = {".json": damaged_json, ".csv": damaged_cells}.get(Path(name).suffix, damaged_text)
    return Reader(
        _text_of(MEASUREMENTS / name),
        damage,
        lambda text, directory: read_measurements(_file(directory, name, text), told),
    )


REQUEST_LOG = "timestamp,endpoint,team,input_tokens,output_tokens,status,spend,prompt\n" + "".join(
    f"2026-10-01T00:{minute:02}:00Z,chat,a,{minute * 10},{minute},200,0.01,hello {minute}\n" for minute in range(20)
)
OTEL = json.dumps(
    {"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "chat"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "gen_ai.server.request.duration", "histogram": {"aggregationTemporality": 2, "dataPoints": [
                {"startTimeUnixNano": "1790812800000000000", "timeUnixNano": "1790813000000000000", "count": "12", "sum": 3.5}]}},
            {"name": "gen_ai.client.inference.usage.input_tokens", "sum": {"dataPoints": [
                {"timeUnixNano": "1790813000000000000", "asInt": "1200"}]}},
        ]}],
    }]}
)  # fmt: skip
READERS = {
    "bill focus": _bill("focus"),
    "bill cur": _bill("cur"),
    "bill azure": _bill("azure-actual"),
    "bill gcp": _bill("gcp-csv"),
    "bill gcp in lines": _bill("gcp-json", "jsonl"),
    "request log": _log("log.csv", REQUEST_LOG, damaged_cells),
    "request log in lines": _log("log.jsonl", '{"time": 1790813000, "model": "a", "input": "x"}\n' * 4, damaged_lines),
    "otel": _log("metrics.jsonl", OTEL, damaged_json),
    "plan": Reader(_plan_text, damaged_json, _plan),
    "estate": Reader(_estate_text, damaged_json, _estate),
    "audit page": Reader(_audit_text, damaged_json, lambda text, _: page_of(text, "audit.json")),
    "review page": Reader(_review_text, damaged_json, lambda text, _: page_of(text, "review.json")),
    "programme": Reader(lambda: programme_json(PROGRAMME), damaged_json, _programme),
    "findings": Reader(_audit_text, damaged_json, _findings),
    "request log of a cache": _cache_log(),
    "lock": Reader(_lock_document, damaged_value, _lock),
    "terraform plan": Reader(test_every_kind.plan_text, damaged_json, _terraform_plan),
    "demand summary": Reader(
        _text_of(ROOT / "examples/chat/demand.json"),
        damaged_json,
        lambda text, directory: read_summary(_file(directory, "demand.json", text)),
    ),
    "workload": Reader(
        _text_of(ROOT / "examples/chat/workload.yaml"),
        damaged_text,
        lambda text, directory: read_workload(_file(directory, "workload.yaml", text)),
    ),
    "case": Reader(
        _text_of(ROOT / "examples/support-chatbot/case.yaml"),
        damaged_text,
        lambda text, directory: read_case(_file(directory, "case.yaml", text)),
        4,
    ),
    "overlay": Reader(
        lambda: OVERLAY,
        damaged_text,
        lambda text, directory: read_overlay(
            _file(directory, "overlay.yaml", text), [("aws", "g6.xlarge")], [("aws", "us-east-1")]
        ),
    ),
    "model": Reader(_config, damaged_json, _model),
    "model of experts": Reader(_config_of_experts, damaged_json, _model),
    **{f"model {name}": _model_file(name, 2) for name in MODEL_KINDS},
    **{f"model network {entry['name']}": _network(entry["config"]) for entry in NETWORKS[::3]},
    "model pipeline": Reader(lambda: PIPELINE, damaged_value, _pipeline, 5),
    "fit cases": Reader(
        lambda: FIT_CASES, damaged_cells, lambda text, directory: fit_table(_file(directory, "cases.csv", text), "csv")
    ),
    "predictions": Reader(lambda: PREDICTIONS, damaged_cells, lambda text, _: predict_table(text, "questions.csv")),
    "trace": Reader(
        lambda: TRACE, damaged_cells, lambda text, directory: read_trace(_file(directory, "trace.csv", text))
    ),
    "hcl": Reader(lambda: HCL, damaged_text, lambda text, _: read_hcl(text, "main.tf")),
    "aws price list": Reader(
        lambda: json.loads(product("g5.xlarge", "eastus", 1.0, reserved=((1, "standard", "No Upfront", 0, 0.6),))),
        damaged_value,
        _rows(lambda item: aws.product_rows(item, "eastus", {"g5.xlarge"})),
    ),
    "azure price list": Reader(
        lambda: azure_item("Standard_NC4as_T4_v3", "eastus", 0.55, savingsPlan=[{"unitPrice": 5.1, "term": "3 Years"}]),
        damaged_value,
        _rows(lambda item: azure.rows_of(item, "eastus")),
    ),
    "azure container prices": Reader(
        lambda: [container_item("Standard NVIDIA A100 GPU Usage", "eastus", 0.1)],
        damaged_value,
        _rows(lambda items: azure.container_rows(items, "eastus")),
    ),
    "google price list": Reader(
        lambda: sku("Nvidia L4 GPU running in Iowa", ["us-central1"], 0.56),
        damaged_value,
        _rows(
            lambda item: gcp.machine_rows(
                gcp.gathered(gcp.parts_of(item)), tuple(load_catalog().instance_types.values())
            )
        ),
    ),
    **{f"measurements {name}": _measured(name) for name in sorted(path.name for path in MEASUREMENTS.iterdir())},
}


def escaped_error(reader: Reader, document: object, directory: Path) -> str:
    """What a reader let through that is no error of the product: the error and where it came from; "" for nothing."""
    directory.mkdir()
    start = time.process_time()
    try:
        reader.read(document, directory)
    except AdvisorError as error:
        return "" if str(error).strip() else "an error without words"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:80]} ({place.filename}:{place.lineno})"
    finally:
        shutil.rmtree(directory)
    return "" if time.process_time() - start < LONGEST_SECONDS else "more than five seconds of the processor"
