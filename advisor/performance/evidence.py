"""Evidence for the numbers of each question, and how far they may be off for it."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.candidates import Candidate, Rejection, Shortfall, reject_candidate
from advisor.demand.values import BatchRun
from advisor.performance import Deployment, Evidence, Interval, Scenario
from advisor.performance.calibration import Calibration
from advisor.performance.constants import Quantity
from advisor.performance.physics import Floats
from advisor.performance.regimes import LOAD_COLUMNS, WITHIN, Load
from advisor.records import dataclass
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, milliseconds


def late_item(candidate: Candidate, running: float, rate: float, run: BatchRun) -> Rejection | None:
    """Rejection where one item alone takes longer than all of a run may; None where it does not.

    An item takes ``running ÷ rate`` on a full replica (Little's law).
    """
    item_s, deadline_s = running / rate, run.deadline_hours * SECONDS_PER_HOUR
    if item_s <= deadline_s:
        return None
    taken, deadline = (milliseconds(seconds * MS_PER_SECOND) for seconds in (item_s, deadline_s))
    reason = f"one item takes {taken} on a full replica, and all of a run may take {deadline}"
    return reject_candidate(candidate, Shortfall("deadline", "s", deadline_s, item_s, reason))


@dataclass(frozen=True, slots=True)
class Served:
    """A candidate that keeps the SLO, with the largest rate that one replica sustains."""

    candidate: Candidate
    requests_per_second_per_replica: Interval
    max_concurrency: int
    """Requests that one replica runs at a time: as the engine allows, the KV cache holds at their mean length, and the
    target for the time per token leaves. Of a model that answers in one pass, the items of a batch."""
    evidence: Evidence
    mean_concurrency: float = 0.0
    """Requests that it runs on average at that rate."""
    most_requests_per_second: float = math.inf
    """Requests per second of one replica that no latency is asked of; infinite where that is not worked out."""


@dataclass(frozen=True, slots=True)
class LoadLatency:
    """Latency at the planned load; in one pass all of it is time to the first token, the whole answer."""

    ttft_p95_ms: Interval
    tpot_p95_ms: Interval
    e2e_p95_ms: Interval


CLASSES = (Evidence.MEASURED, Evidence.CALIBRATED, Evidence.ROOFLINE)
"""Classes of evidence, best first; a code is a position here."""
ROOFLINE = CLASSES.index(Evidence.ROOFLINE)

Codes = npt.NDArray[np.intp]


class PredictionEvidence:
    """Evidence and intervals for questions about some deployments."""

    def __init__(self, deployments: Sequence[Deployment], calibration: Calibration) -> None:
        """Look up once what is known of each deployment."""
        self._deployments = deployments
        self._calibration = calibration
        reach = calibration.reach
        familiar = [CLASSES.index(reach.familiar(deployment)) for deployment in deployments]
        self._familiar = np.array(familiar, dtype=np.intp)
        self._adapted = np.array([deployment.adapters is not None for deployment in deployments], dtype=np.bool_)

    def evidence(self, scenario: Scenario, place: npt.NDArray[np.intp], load: Load) -> Codes:
        """Code of each question, about the deployment at ``place``.

        Measured where the same set-up was, under a load within reach. Neither cached prompts nor adapters ever were.
        """
        low, high = self._ranges(scenario)
        users = np.where(np.isnan(load.concurrency), 1.0, load.concurrency)
        asked = np.stack([users, load.input_tokens, load.output_tokens], axis=1)
        within = np.all((asked >= low[place]) & (asked <= high[place]), axis=1)
        codes = np.where(within, CLASSES.index(Evidence.MEASURED), self._familiar[place])
        return np.where((np.asarray(load.prefix_cache_hit_ratio) > 0) | self._adapted[place], ROOFLINE, codes)

    def spread(self, scenario: Scenario, quantity: Quantity, evidence: Codes) -> tuple[Floats, Floats]:
        """Factors to the ends of the 80 % interval of each question."""
        spreads = [self._calibration.spreads[evidence, scenario, quantity] for evidence in CLASSES]
        return np.array([s.low for s in spreads])[evidence], np.array([s.high for s in spreads])[evidence]

    def _ranges(self, scenario: Scenario) -> tuple[Floats, Floats]:
        """Loads within reach of each deployment; NaN, which holds nothing, where none was measured."""
        low, high = (np.full((len(self._deployments), len(LOAD_COLUMNS)), np.nan) for _ in range(2))
        for at, deployment in enumerate(self._deployments):
            load_range = self._calibration.reach.range_of(deployment, scenario)
            if load_range is not None:
                low[at], high[at] = np.array(load_range.low) / WITHIN, np.array(load_range.high) * WITHIN
        return low, high
