"""Requirements × catalog → candidates that can hold the model, or rejections with the two numbers compared."""

from advisor.candidates.judging import Matches, judge, judge_hardware, match
from advisor.candidates.values import (
    ANY,
    Candidate,
    Rejection,
    divides_heads,
    parallel_choices,
    reject,
    reject_candidate,
    reject_undeployable,
    split_shortfall,
)
from advisor.deployable import Shortfall

__all__ = [
    "ANY", "Candidate", "Matches", "Rejection", "Shortfall", "divides_heads", "judge", "judge_hardware", "match",
    "parallel_choices", "reject", "reject_candidate", "reject_undeployable", "split_shortfall",
]  # fmt: skip
