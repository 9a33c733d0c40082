"""The need and the verdict of every accelerator of some hosts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from advisor.samples.need.advice import advise
from advisor.samples.need.engines import Engines
from advisor.samples.need.evidence import Evidence, gather
from advisor.samples.need.join import join
from advisor.samples.need.memory import Fixed, MemoryNeed, memory_need, need_of
from advisor.samples.need.verdict import Verdict, judge
from advisor.samples.query.counts import Counted
from advisor.samples.query.timeline import Timeline
from advisor.samples.query.values import Accelerator


@dataclass(frozen=True, slots=True)
class AcceleratorNeed:
    """Needs of one accelerator, and what limits it."""

    who: Accelerator
    verdict: Verdict
    memory: MemoryNeed | None
    """None: it never said how much memory it held."""
    evidence: Evidence
    queue_p95: float | None
    """Requests waiting; the longest queue of the engines that may be on it."""
    engines: int
    """Engines that may be on it."""
    advice: str
    """One plain sentence."""

    def ratio(self, name: str) -> float | None:
        """The p95 of ``busy``, ``sm_active``, ``tensor_active`` or ``dram_active``, over what was observed."""
        bounds = getattr(self.evidence, name)
        return None if bounds is None else bounds.value

    @property
    def used_p95(self) -> float | None:
        """The p95 of the share of time in which it worked: busy, else SM active; None: unknown."""
        activity = self.evidence.busy or self.evidence.sm_active
        return None if activity is None else activity.value

    def besides(self, fixed: Fixed) -> "AcceleratorNeed":
        """The same where it is known what engines hold besides their KV pool."""
        if self.memory is None:
            return self
        memory = need_of(self.memory.held_bytes, self.memory.total_bytes, self.memory.kv, fixed)
        return replace(self, memory=memory, advice=advise(self.verdict, memory))


def assess(
    accelerators: Sequence[Counted], engines: Sequence[Timeline], fixed: Fixed | None = None
) -> Iterator[AcceleratorNeed]:  # fmt: skip
    """Each accelerator with the engines of its host.

    Args:
        accelerators: of any hosts, in the order of host, index and MIG instance.
        engines: of the same hosts.
        fixed: what every engine holds besides its KV pool on each accelerator, where it is known.
    """
    for host in dict.fromkeys(accelerator.who.host for accelerator in accelerators):
        here = [accelerator for accelerator in accelerators if accelerator.who.host == host]
        serving = sorted(
            (engine for engine in engines if engine.who.host == host),
            key=lambda engine: (engine.who.uuid or "", engine.who.index),
        )
        for position, on_it in join(here, serving).items():
            yield _assess_one(here[position], on_it, fixed)


def _assess_one(accelerator: Counted, engines: Engines, fixed: Fixed | None) -> AcceleratorNeed:
    memory = memory_need(accelerator, engines, fixed)
    return need_from(accelerator.who, gather(accelerator, engines), memory, engines.queue_p95, len(engines))


def need_from(
    who: Accelerator, evidence: Evidence, memory: MemoryNeed | None, queue_p95: float | None, engines: int
) -> AcceleratorNeed:
    """The need of an accelerator, judged by its evidence."""
    verdict = judge(evidence)
    return AcceleratorNeed(who, verdict, memory, evidence, queue_p95, engines, advise(verdict, memory))
