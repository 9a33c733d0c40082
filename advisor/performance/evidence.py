"""Evidence for the numbers of each question, and how far they may be off for it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.performance.calibration import Calibration
from advisor.performance.constants import Quantity
from advisor.performance.measured_coverage import LOAD_COLUMNS, WITHIN
from advisor.performance.physics import Floats
from advisor.performance.regimes import Load
from advisor.performance.values import Deployment, Evidence, Scenario

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
        self._familiar = np.array(
            [CLASSES.index(reach.familiar(deployment)) for deployment in deployments], dtype=np.intp
        )

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
