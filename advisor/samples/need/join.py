"""Which engines of a host may run on which of its accelerators."""

from collections.abc import Mapping, Sequence

from advisor.samples.need.engines import Engines
from advisor.samples.need.memory import holds_an_engine
from advisor.samples.query.counts import Counted
from advisor.samples.query.timeline import Timeline


def join(accelerators: Sequence[Counted], engines: Sequence[Timeline]) -> Mapping[int, Engines]:
    """Engines that may run on each accelerator of one host, by its position.

    An engine's metrics do not name its accelerators, so the samples decide as far as they can:

    - an accelerator that never held a gibibyte, and one that MIG divides, has no engine;
    - a lone engine runs on all others (tensor or pipeline parallel);
    - data-parallel ranks of one endpoint take equal shares in the order of their numbers, as engines place them;
    - with several engines and no such order each may run on any: what is said then spans all of them.

    Args:
        accelerators: of one host, in the order of index and MIG instance.
        engines: of the same host, in the order of endpoint and rank.
    """
    divided = {accelerator.who.index for accelerator in accelerators if accelerator.who.mig_index is not None}
    able = [
        position
        for position, counted in enumerate(accelerators)
        if holds_an_engine(counted) and not (counted.who.mig_index is None and counted.who.index in divided)
    ]
    found = dict.fromkeys(range(len(accelerators)), Engines())
    for position, on_it in zip(able, _in_order(len(able), engines), strict=True):
        found[position] = on_it
    return found


def _in_order(accelerators: int, engines: Sequence[Timeline]) -> list[Engines]:
    """Engines of each of so many accelerators."""
    ranks = [engine.who.index for engine in engines]
    is_one_endpoint = len({engine.who.uuid for engine in engines}) == 1
    if len(engines) > 1 and is_one_endpoint and ranks == list(range(len(ranks))) and accelerators % len(ranks) == 0:
        alone = [Engines([engine]) for engine in engines]
        return [alone[place * len(ranks) // accelerators] for place in range(accelerators)]
    return [Engines(engines)] * accelerators
