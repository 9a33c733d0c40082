"""Price of a plan's tokens as configuration of the LiteLLM proxy."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from advisor.cost import FLEET_LEAVES_OUT
from advisor.cost.services import output_weight
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models.encoder_answers import needs_own_server
from advisor.names import printable
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.request import read_question
from advisor.plan.values import Plan
from advisor.records import dataclass
from advisor.report.words import usd
from advisor.units import HOURS_PER_WEEK, MS_PER_SECOND, SECONDS_PER_MONTH
from advisor.workload.kinds import is_reranker

_DRIVERS = {Unit.TOKENS: "hosted_vllm", Unit.TEXTS: "hosted_vllm", Unit.AUDIO: "openai"}
"""Prefixes by which LiteLLM calls a server with OpenAI's routes."""
_HUGGINGFACE = "huggingface"
_BASE_OF_TEXTS = "# The API_BASE of huggingface/ is the address without /v1: LiteLLM appends /rerank to it.\n"
_RERANK_DRIVERS = {"Text Embeddings Inference": _HUGGINGFACE}
"""Prefixes of engines that rank ``texts``, where the others rank ``documents``.

LiteLLM's litellm/llms/huggingface/rerank/transformation.py appends ``/rerank`` to the base (November 2026).
"""
_RERANK = "rerank"
_HEAD = """\
# LiteLLM configuration: what the {what} of the plan {name} cost on hardware of its own.
# {total} a month over {requests:,.0f} requests of the planned demand; {rule}.
# Beyond the total, and not in these prices:
# {beyond}.
"""


@dataclass(frozen=True, slots=True)
class _Price:
    """Price of a deployment, in the keys of LiteLLM's ``model_info``."""

    mode: str
    fields: Mapping[str, float]
    """USD."""
    rule: str
    """How the cost of a request is divided."""


def litellm_config(plan: Plan, where: str) -> str:
    """A ``model_list`` with one entry for each region of the plan's fleet, as YAML.

    Raises:
        InputError: the plan has no fleet, or its requests are counted in a unit that LiteLLM has no price for.
    """
    fleet = plan.fleet
    if fleet is None:
        raise InputError("the plan has no fleet to price", where=where, hint="plan again with other limits")
    if fleet.unit not in _DRIVERS:
        hint = "`advisor explain PLAN --cost` has the cost of 1,000 requests"
        raise InputError(f"LiteLLM has no price by the {fleet.unit} that this plan counts", where=where, hint=hint)
    requests = _requests_per_month(fleet)
    model = read_question(plan.question, where).model
    if needs_own_server(model.answer):
        hint = "`advisor explain PLAN --cost` has the cost of 1,000 requests"
        raise InputError(f"LiteLLM has no route to {model.answer} of texts", where=where, hint=hint)
    is_ranked = is_reranker(model)
    price = _price(plan, fleet.cost.total_usd_per_month / requests, fleet.unit, is_ranked=is_ranked)
    name, total = " ".join(printable(plan.workload["name"]).split()), usd(fleet.cost.total_usd_per_month)
    head = _HEAD.format(
        what=fleet.unit, name=name, total=total, requests=requests, rule=price.rule, beyond=FLEET_LEAVES_OUT
    )
    entries = list(_entries(plan, fleet, price))
    if any(entry["litellm_params"]["model"].startswith(_HUGGINGFACE) for entry in entries):
        head += _BASE_OF_TEXTS
    document = {"model_list": entries}
    return head + yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def _requests_per_month(fleet: Fleet) -> float:
    """Requests of an average month, expected over the hours of a week."""
    of_week = math.fsum(hours.mean_requests_per_second * hours.hours_per_week for hours in fleet.hour_classes)
    return of_week / HOURS_PER_WEEK * SECONDS_PER_MONTH


def _price(plan: Plan, usd_per_request: float, unit: Unit, *, is_ranked: bool) -> _Price:
    """Price of a token, of a second of a recording, or of a query whose documents are ranked.

    For tokens ``output = w × input``, with ``w`` input tokens for one output token (`output_weight`), and
    ``input = USD per request ÷ (input tokens + w × output tokens)`` of a mean request: the planned demand at these
    prices costs the plan's total. Cached tokens have the price of the others, since LiteLLM takes those without one to
    be free.
    """
    entered, answered = (float(plan.demand[key]["mean"]) for key in ("input_tokens", "output_tokens"))
    if unit is Unit.AUDIO:
        price = {"input_cost_per_second": usd_per_request / entered * MS_PER_SECOND, "output_cost_per_second": 0.0}
        return _Price("audio_transcription", price, "a second of a recording costs the same in each")
    if is_ranked:
        return _Price(_RERANK, {"input_cost_per_query": usd_per_request}, "a query costs the same in each")
    weight = 0.0 if unit is Unit.TEXTS else output_weight()
    per_token = _per_token(usd_per_request / (entered + weight * answered), weight)
    if unit is Unit.TEXTS:
        return _Price("embedding", per_token, "a token costs the same in each")
    rule = f"an output token\n# counts {weight:g} input tokens, the median of the catalog's prices of tokens"
    return _Price("chat", per_token, rule)


def _per_token(input_usd: float, weight: float) -> Mapping[str, float]:
    return {
        "input_cost_per_token": input_usd,
        "output_cost_per_token": weight * input_usd,
        "cache_creation_input_token_cost": input_usd,
        "cache_read_input_token_cost": input_usd,
    }


def _driver(engine: str, unit: Unit, *, is_ranked: bool) -> str:
    """Prefix by which LiteLLM calls an engine."""
    return _RERANK_DRIVERS.get(engine, _DRIVERS[unit]) if is_ranked else _DRIVERS[unit]


def _entries(plan: Plan, fleet: Fleet, price: _Price) -> Iterator[dict[str, Any]]:
    """A deployment for each region and driver, weighted by its share of the requests in the busiest hours."""
    model, shares = plan.workload["model"], _shares(fleet, is_ranked=price.mode == _RERANK)
    regions = [place for place, _ in shares]
    for (place, driver), share in shares.items():
        told = place if regions.count(place) == 1 else f"{place}_{driver}"
        variable = re.sub(r"\W+", "_", f"{plan.workload['name']}_{told}").upper()
        yield {
            "model_name": plan.workload["name"],
            "litellm_params": {
                "model": f"{driver}/{model}",
                "api_base": f"os.environ/{variable}_API_BASE",
                "api_key": f"os.environ/{variable}_API_KEY",
                **({"weight": round(share * 1000)} if len(shares) > 1 else {}),
            },
            "model_info": {
                "mode": price.mode,
                **({} if fleet.unit is Unit.AUDIO else {"max_input_tokens": plan.workload["context_tokens"]}),
                **price.fields,
            },
        }


def _shares(fleet: Fleet, *, is_ranked: bool) -> dict[tuple[str, str], float]:
    """Share of the requests by ``provider/region`` and driver in the class of the busiest hours."""
    shares: dict[tuple[str, str], float] = {}
    for group in fleet.groups:
        key = f"{group.provider}/{group.region}", _driver(group.engine, fleet.unit, is_ranked=is_ranked)
        shares[key] = shares.get(key, 0.0) + group.request_shares[-1]
    return shares
