"""Response cache of a stack as its code holds it."""

from collections.abc import Mapping
from typing import Any

from advisor.codegen.model import Stack
from advisor.codegen.selection import Choice
from advisor.codegen.wanted import Language
from advisor.cost.response_cache import PlannedCache
from advisor.errors import InputError
from advisor.plan.values import Plan
from advisor.records import replace

_LEAST_SHARE_OF_HITS = 0.8
"""Share of the planned hit ratio below which an alarm rings: the fleet then gets noticeably more than planned."""
_ACCESS = "on ~* -@all +@connection +@read +@write -@dangerous"
"""Commands of a client of ElastiCache, as an access string of Valkey's."""
_DISCOVERY = ("+info", *(f"+cluster|{name}" for name in ("info", "myid", "nodes", "shards", "slots")))
"""Commands by which cluster clients learn the shards: SLOTS or SHARDS (redis-py, Jedis, go-redis), NODES, MYID and INFO
(Lettuce). READONLY and COMMAND are of the category ``@connection``.
"""
_PERCENT = 100


def cache_of(plan: Plan, choice: Choice) -> PlannedCache | None:
    """The plan's cache, where what is chosen of the plan stands; None where it has none.

    Raises:
        InputError: what is chosen stands elsewhere, where the plan prices no node.
    """
    cache = None if plan.fleet is None else plan.fleet.response_cache
    places = {(member.serves.provider, member.serves.region) for member in choice.members}
    if cache is None or places <= {(cache.provider, cache.region)}:
        return cache
    raise InputError(
        f"the plan's response cache is in {cache.region} of {cache.provider}, and this option is not",
        where="--option",
        hint=f"choose an option there, or plan again with regions: {sorted(region for _, region in places)}",
    )


def without_cache(stack: Stack, target: str) -> Stack:
    """The stack for a target that writes no code for a cache, with a caution where the plan has one."""
    if stack.cache is None:
        return stack
    cache = stack.cache
    caution = (
        f"The plan counts on a response cache ({cache.nodes_words} in {cache.region}). No code is "
        f"written for it beside {target}: bring it yourself, or the fleet gets more requests than it is sized for."
    )
    return replace(stack.with_cautions(caution), cache=None)


def cache_files(stack: Stack, language: Language) -> Mapping[str, str]:
    """Templates of the cache by path; none for a stack without one."""
    if stack.cache is None:
        return {}
    if language is Language.TERRAFORM:
        return {"cache.tf": f"{stack.provider}_cache.tf.j2"}
    return {"inference/cache.py": f"{stack.provider}_cache.py.j2", "inference/cache_place.py": "cache_place.py.j2"}


def cache_facts(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates of the cache use; nothing for a stack without one."""
    cache = stack.cache
    if cache is None:
        return {}
    least = _LEAST_SHARE_OF_HITS * cache.hit_ratio
    percent = {"least_hit_percent": round(least * _PERCENT, 1)}
    alarms = {
        "aws": percent,
        "azure": percent,
        "gcp": {"most_misses_per_hit": round((1 - least) / least, 2)},
    }
    shared = {"region": cache.region, "node_type": cache.node, "nodes": cache.nodes}
    if cache.provider != "azure":  # which has no shards of the user's own
        shared["shards"] = cache.shards
    return {
        "cache": shared | alarms[cache.provider] | {"ttl_seconds": cache.ttl_seconds},
        "cache_access": " ".join((_ACCESS, *(_DISCOVERY if cache.shards > 1 else ()))),
    }
