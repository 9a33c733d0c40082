"""Readings and stores for tests, with defaults for everything a test does not speak of."""

from datetime import UTC, datetime, timedelta

from samples.tick_values import AcceleratorSample, SampleGap
from samples.tick_writing import SampleWriter

MIDNIGHT = datetime(2026, 10, 14, tzinfo=UTC)


def sample(second=1.0, index=0, host="host-a", uuid=None, **values):
    """A reading of an accelerator, so many seconds after midnight."""
    return AcceleratorSample(
        timestamp=MIDNIGHT + timedelta(seconds=second),
        host=host,
        accelerator_index=index,
        mig_index=None,
        accelerator_uuid=uuid or f"GPU-{host}-{index}",
        accelerator="NVIDIA A100-SXM4-40GB",
        **{"busy_ratio": 0.5, **values},
    )


def gap(second, index=0, host="host-a", missed_ticks=1, reason="GPU is lost"):
    """Missed readings that end so many seconds after midnight."""
    return SampleGap(
        timestamp=MIDNIGHT + timedelta(seconds=second),
        host=host,
        accelerator_index=index,
        mig_index=None,
        accelerator_uuid=f"GPU-{host}-{index}",
        accelerator="NVIDIA A100-SXM4-40GB",
        missed_ticks=missed_ticks,
        reason=reason,
    )


def write(directory, readings, interval_seconds=1.0, host="host-a", started=MIDNIGHT):
    """Write readings as one agent does."""
    writer = SampleWriter(directory, host, timedelta(seconds=interval_seconds), started)
    for reading in readings:
        writer.append([reading])
    writer.flush()
    return writer
