"""Cautions of a stack: what its files and its alarms leave out."""

from collections.abc import Iterator, Sequence

from advisor.codegen.alarms import Alarm
from advisor.codegen.engines.metrics import METRICS, published, without_times
from advisor.codegen.model import ComputeGroup
from advisor.codegen.wanted import Engine
from advisor.plan.unit_words import unit_of
from advisor.plan.values import Plan


def file_cautions(plan: Plan, engines: Sequence[Engine]) -> Iterator[str]:
    """The file that a plan was made of, where what it starts loads another checkpoint of the model."""
    file = plan.provenance.model_file
    others = [engine.value for engine in engines if engine is not Engine.LLAMA_CPP_SERVER]
    if file is not None and file.is_gguf and others and not unit_of(plan.demand).is_one_pass:
        yield (
            f"the plan was made of {file.name}, and {' and '.join(others)} is planned without GGUF: speed and memory "
            "are those of another checkpoint of the same model, which model_ids has to name"
        )


def tells_times(engine: Engine) -> bool:
    """Whether an engine publishes times of its requests."""
    metrics = published(engine)
    return metrics is not None and bool(metrics.times)


def slo_left_out(alarms: Sequence[Alarm], engines: Sequence[Engine], without_target: str = "") -> Iterator[str]:
    """Why some alarms on what clients were promised and on waiting requests are missing.

    Args:
        alarms: those of the workload's targets.
        engines: servers of the stack.
        without_target: the reason where it has none.
    """
    slow = next((alarm for alarm in alarms if alarm.target_seconds is not None), None)
    if slow is None:
        yield without_target
        return
    words = "latency" if slow.name == "latency" else "TTFT"
    for engine in engines:
        if published(engine) is not None:
            if any(map(tells_times, engines)) and not tells_times(engine):
                yield without_times(words, engine)
            continue
        switch = METRICS[engine].switched_on_by if engine in METRICS else ""
        why = f"publishes metrics with {switch} in its options file only" if switch else "has no known metrics"
        missing = f"alarms on {words} and waiting requests" if slow.from_engine else "alarm on waiting requests"
        yield f"no {missing} of {engine.value}, which {why}"


def shared_left_out(groups: Sequence[ComputeGroup]) -> Iterator[str]:
    """Why groups that share their GPUs have no alarms on how busy and full these are."""
    shared = sorted({group.sharing.words for group in groups if group.sharing is not None})
    if shared:
        which = " or ".join(shared)
        yield f"no alarms on idle GPUs and their memory where each has {which}: neither is published of a part"
