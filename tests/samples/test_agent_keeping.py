"""Rows on their way to a disk that may be full."""

import errno

from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent.status import BufferedWriter
from advisor.samples.metrics import Gap, Row, Stats, Target
from advisor.samples.places import ROW_US

TARGETS = [Target("host", "nvml", index) for index in range(2)]


class Disk:
    """A sink with room or without."""

    def __init__(self):
        """There is room."""
        self.kept = []
        self.synced = 0
        self.error = None

    def append(self, records):
        """All or none."""
        if self.error:
            raise self.error
        self.kept += records

    def sync(self):
        """On the disk now."""
        self.synced = len(self.kept)

    def close(self):
        """The end."""


def row(target, number):
    """The row of that number of a target: fifteen readings."""
    return Row(target, number * ROW_US, {"busy_ratio": Stats(0.5, 0.5, 0.5, 0.5, 15)})


def test_what_is_taken_is_synced():
    """Every record is on the disk when the call returns."""
    disk, said = Disk(), []
    writer = BufferedWriter(disk, said.append)
    writer.take([row(TARGETS[0], 1)])
    assert (disk.synced, writer.waiting, writer.written, said) == (1, 0, 1, [])


def test_a_full_disk_is_said_once_and_loses_nothing_at_first():
    """Records wait in memory and are written, in order, as soon as there is room."""
    disk, said = Disk(), []
    writer = BufferedWriter(disk, said.append)
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    for number in range(1, 4):
        writer.take([row(TARGETS[0], number)])
    assert writer.trouble == "[Errno 28] No space left on device"
    disk.error = None
    writer.take([row(TARGETS[0], 4)])
    assert [record.end_us // ROW_US for record in disk.kept] == [1, 2, 3, 4]
    assert len(said) == 2
    assert writer.trouble is None


@given(full=st.integers(1, 40), most=st.integers(1, 20))
def test_what_does_not_fit_into_memory_becomes_one_gap_for_each_target(full, most):
    """After any time without room, each tick of each target is on the disk once: in a row, or in a gap that says why."""
    disk = Disk()
    writer = BufferedWriter(disk, lambda _: None, most)
    disk.error = InputError("no space left")
    for number in range(1, full + 1):
        writer.take([row(target, number) for target in TARGETS])
        assert writer.waiting <= most
    disk.error = None
    writer.take([])
    for target in TARGETS:
        records = [record for record in disk.kept if record.target == target]
        rows = [record for record in records if isinstance(record, Row)]
        gaps = [record for record in records if isinstance(record, Gap)]
        assert len(rows) * 15 + sum(gap.missed_ticks for gap in gaps) == full * 15
        assert len(gaps) <= 1
        for gap in gaps:
            assert gap.start_us == 0
            assert gap.end_us == (full - len(rows)) * ROW_US
            assert gap.reason == "it could not be written: no space left"
    assert writer.lost_rows == max(2 * full - most, 0)


def test_a_disk_that_is_full_to_the_end_leaves_records_waiting():
    """The end raises nothing; what is left can be counted, and is said by the agent."""
    disk = Disk()
    writer = BufferedWriter(disk, lambda _: None)
    disk.error = InputError("no space left")
    writer.take([row(TARGETS[0], 1)])
    writer.close()
    assert (writer.waiting, writer.written, writer.trouble) == (1, 0, "no space left")
