"""Layouts that a fleet can do without before any pool is made: another of the type beats them."""

from collections.abc import Sequence

import numpy as np

from advisor.candidates import Candidate
from advisor.cost.services import counted_gib
from advisor.performance.served import Served
from advisor.plan.problem.values import Floats
from advisor.workload.values import Limits


def best_layouts(served: Sequence[Served], rates: Floats, limits: Limits) -> list[int]:
    """Positions of the candidates that no other layout of the same instance type and engine beats.

    Two layouts of a type cost the same but for their checkpoints, so the one whose instances sustain more of everything
    and whose checkpoint is no larger is as good; of two equals the earlier one, whose precision the workload prefers.

    Args:
        served: the candidates.
        rates: requests per second of a replica in every case, (cases, candidates); without cases no region that is
            near enough sells any, as is said of each later.
        limits: the number of replicas may matter beside what they sustain.
    """
    if not rates.size:
        return list(range(len(served)))
    replicas = np.array([one.candidate.replicas_per_instance for one in served], dtype=np.float64)
    copies = np.array([_copies(able.candidate) for able in served], dtype=np.float64)
    disks = np.array([counted_gib(one.candidate.memory.checkpoint_gib) for one in served])
    by_type: dict[tuple[str, str, str], list[int]] = {}
    for at, one in enumerate(served):
        machine = one.candidate.instance_type
        by_type.setdefault((machine.provider, machine.name, one.candidate.engine), []).append(at)
    kept: list[int] = []
    for members in by_type.values():
        kept += _unbeaten(np.array(members), rates, (replicas, copies), disks, limits)
    return sorted(kept)


def _copies(candidate: Candidate) -> int:
    """Replicas of an instance that count as copies; slices of one machine fail together, and count as one."""
    return 1 if candidate.partition else candidate.replicas_per_instance


def _unbeaten(
    members: np.ndarray, rates: Floats, counts: tuple[Floats, Floats], disks: Floats, limits: Limits
) -> list[int]:  # fmt: skip
    """Positions of the layouts of a type that no other beats; *counts* are replicas and copies of an instance."""
    own, count = (rates[:, members] * counts[0][members]).T, counts[1][members]
    beats = (own[None, :, :] >= own[:, None, :]).all(axis=2)
    beats &= disks[members] <= disks[members][:, None]
    if limits.min_replicas > 1:
        beats &= count >= count[:, None]
    if limits.max_replicas is not None:
        per_replica = rates[:, members].T
        beats &= (per_replica[None, :, :] >= per_replica[:, None, :]).all(axis=2)
    earlier = np.arange(len(members)) < np.arange(len(members))[:, None]
    return [int(at) for at in members[~(beats & (~beats.T | earlier)).any(axis=1)]]
