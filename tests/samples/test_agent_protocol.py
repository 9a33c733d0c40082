"""What the process of a source says reaches the supervisor whole, in whatever pieces."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.agent.processes import ProtocolError, Reader, Word, message
from advisor.samples.metrics import Buckets, Missed, Reading, Target

TEXT = st.one_of(st.none(), st.text(max_size=20))
TARGETS = st.builds(Target, st.text(), st.text(), st.one_of(st.none(), st.integers(0, 99)), st.none(), TEXT, TEXT, TEXT)
NUMBERS = st.one_of(st.integers(0, 2**62), st.floats(-9e18, 9e18))
BUCKETS = st.builds(
    Buckets, st.tuples(st.floats(0, 9), st.just(inf)), st.tuples(st.floats(0, 9), st.floats(0, 9)), st.floats(0, 9)
)
READINGS = st.builds(
    Reading, TARGETS, st.dictionaries(st.text(max_size=9), NUMBERS), st.dictionaries(st.text(max_size=9), BUCKETS), TEXT
)  # fmt: skip
READ = st.lists(st.one_of(READINGS, st.builds(Missed, TARGETS, st.text())), max_size=5)


def in_pieces(content, size):
    """Content as a pipe might give it."""
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(ticks=st.lists(READ, max_size=4), size=st.integers(1, 4096))
def test_readings_arrive_as_they_were_taken(ticks, size):
    """Targets, values, histograms, notes and misses of every tick are the same at the other end."""
    reader = Reader()
    said = b"".join(message(Word.TICK, at, 7, 1_000_000, None, read) for at, read in enumerate(ticks))
    heard = [items for piece in in_pieces(said, size) for _, items in reader.feed(piece)]
    assert [items[0] for items in heard] == list(range(len(ticks)))
    assert [items[4] for items in heard] == ticks


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00zz", message(Word.BEAT)[:4] + b"N" * 99])
def test_what_is_no_message_is_refused(junk):
    """A pipe that somebody else wrote to is an error of its own, not whatever it unpacks to."""
    with pytest.raises(ProtocolError):
        list(Reader().feed(junk + bytes(64)))
