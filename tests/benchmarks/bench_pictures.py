"""Pictures of vision-language models: seconds that each was measured to take, beside those that plans count.

Run it with ``python tests/benchmarks/bench_pictures.py``; it prints a line for each row of measurements.csv with pictures
(two of 1,280 × 720 a request) whose tower is known, and asserts nothing.

Of a lone user the pictures take what the first token is later than without them; of a hundred users the difference of
the engine's seconds a request, ``1 ÷ requests per second``. Without them was measured too, or is predicted. Tokens that
one row of a pair has more are taken off at half of the peak.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import geometric_mean, quantiles

import numpy as np

from advisor.catalog import load_catalog
from advisor.data_files import data_dir
from advisor.performance import Scenario
from advisor.performance.deployments import pack
from advisor.performance.explain import predict
from advisor.performance.model import shipped_model
from advisor.performance.physics import picture_seconds
from advisor.performance.setups import SCENARIOS, Questions, Resolved, Setup, resolve
from advisor.tables import Row, read_rows
from advisor.units import MS_PER_SECOND

PICTURES, WIDTH, HEIGHT = 2, 1280, 720
SHARE_OF_TEXT = 0.5
ALIKE = ("model", "accelerator", "accelerator_count", "precision", "engine", "engine_version", "concurrency")


@dataclass(frozen=True)
class Compared:
    """One measured row."""

    row: Row
    text: str
    """Where the time without pictures comes from."""
    measured_s: float
    """Of one picture."""
    counted_s: float


def compared() -> Iterator[Compared]:
    """Every row with pictures whose tower is known."""
    rows = list(read_rows(data_dir("instance_catalog") / "measurements.csv"))
    for row in (row for row in rows if row["flag"].startswith("image inputs")):
        setup = _setup(row)
        if not isinstance(setup, Resolved) or setup.model.vision is None:
            continue
        text = next(
            (other for other in rows if not other["flag"] and all(other[key] == row[key] for key in ALIKE)), None
        )
        alone_s = _predicted(setup, row) if text is None else _seconds(text) + _more_tokens_s(setup, row, text)
        source = "predicted" if text is None else "measured"
        yield Compared(row, source, (_seconds(row) - alone_s) / PICTURES, _counted(setup))


def _setup(row: Row) -> object:
    ranks = int(row["tensor_parallel"] or 1)
    named = {"precision": row["precision"], "engine": row["engine"], "tensor_parallel": ranks}
    return resolve(Setup(row["model"], row["accelerator"], int(row["accelerator_count"]), **named), load_catalog())


def _seconds(row: Row) -> float:
    """Of the first token for a lone user, of a request for many."""
    if row["concurrency"] == "1":
        return float(row["ttft_ms"]) / MS_PER_SECOND
    return float(row["output_tokens"]) / float(row["output_tokens_per_second"])


def _predicted(setup: Resolved, row: Row) -> float:
    """The same without pictures."""
    numbers = (row["concurrency"], row["input_tokens"], row["output_tokens"])
    scenario = np.array([SCENARIOS.index(Scenario.FIXED_CONCURRENCY)])
    questions = Questions(np.array([0]), scenario, *(np.array([float(number)]) for number in numbers))
    value = predict([setup], questions, shipped_model()).value
    answered = {name: str(value[name][0]) for name in ("ttft_ms", "output_tokens_per_second")}
    return _seconds({**row, **answered})


def _more_tokens_s(setup: Resolved, row: Row, text: Row) -> float:
    """Seconds of the tokens that a row has more than that without pictures."""
    more = float(row["input_tokens"]) - float(text["input_tokens"])
    peak = pack([setup.deployment], shipped_model().calibration.constants).replicas.attention_flops[0]
    return 2 * setup.model.parameters_active / setup.deployment.tensor_parallel * more / (SHARE_OF_TEXT * float(peak))


def _counted(setup: Resolved) -> float:
    """Seconds of one picture as plans count them."""
    assert setup.model.vision is not None
    flop, pixels = setup.model.vision.flop(WIDTH, HEIGHT), float(WIDTH * HEIGHT)
    shown = replace(setup.deployment, picture_flop=flop, picture_pixels=pixels)
    packed = pack([shown], shipped_model().calibration.constants)
    return float(picture_seconds(packed.replicas, packed.constants)[0])


def main() -> None:
    """Print each row, and all of them together."""
    ratios = []
    for each in compared():
        row = each.row
        ratios.append(each.measured_s / each.counted_s)
        setup = f"{row['model']:32} {row['accelerator_count']} × {row['accelerator']:9} {row['concurrency']:>4} users"
        times = f"{each.measured_s * MS_PER_SECOND:6.1f} ms, {each.counted_s * MS_PER_SECOND:5.1f} ms counted"
        print(f"{setup}: {times}, {ratios[-1]:5.2f} times (text {each.text})")
    low, *_, high = quantiles(ratios, n=10, method="inclusive")
    print(f"geometric mean {geometric_mean(ratios):.2f}, eight in ten from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
