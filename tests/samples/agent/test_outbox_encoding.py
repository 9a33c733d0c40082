"""Remote write bodies: Snappy and protobuf, read back by a decoder of the specifications."""

import struct
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.agent.outbox.encoding import Sample, samples_of, write_request
from advisor.samples.agent.outbox.snappy import SnappyBlock, varint
from samples.agent.recorded import END_US, GPU, ROW_US, engine_row, gpu_row


def read_varint(data, at):
    """A number and where it ends."""
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return number, at


def unsnap(block):
    """The content of a Snappy block, by its format description."""
    size, at = read_varint(block, 0)
    out = bytearray()
    while at < len(block):
        tag = block[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(block[at : at + extra], "little")
                at += extra
            out += block[at : at + length + 1]
            at += length + 1
        elif tag & 3 == 2:
            distance = int.from_bytes(block[at : at + 2], "little")
            at += 2
            assert 0 < distance <= len(out)
            for _ in range((tag >> 2) + 1):
                out.append(out[-distance])
        else:
            raise AssertionError("a kind of copy that is not written here")
    assert len(out) == size
    return bytes(out)


def fields_of(message):
    """Number and content of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        if key & 7 == 2:
            length, at = read_varint(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        elif key & 7 == 1:
            yield key >> 3, struct.unpack("<d", message[at : at + 8])[0]
            at += 8
        else:
            number, at = read_varint(message, at)
            yield key >> 3, number - (1 << 64) if number >> 63 else number


def decode(body):
    """Series of a request: labels, and pairs of time and value."""
    series = []
    for field, content in fields_of(unsnap(body)):
        assert field == 1
        labels, samples = [], []
        for kind, part in fields_of(content):
            inner = dict(fields_of(part))
            if kind == 1:
                labels.append((inner[1].decode(), inner[2].decode()))
            else:
                samples.append((inner[2], inner[1]))
        series.append((labels, samples))
    return series


@given(st.lists(st.tuples(st.binary(max_size=200), st.booleans()), max_size=60))
def test_any_pieces_come_back(pieces):
    """Whatever pieces a block is made of, whether they repeat or not, it holds them in their order."""
    block = SnappyBlock()
    for piece, once in pieces * 2:
        (block.add_once if once else block.add)(piece)
    assert unsnap(block.finish()) == b"".join(piece for piece, _ in pieces * 2)


def test_pieces_beyond_reach_are_literal():
    """A piece that came longer ago than an offset can say is written out again."""
    block = SnappyBlock()
    block.add(b"label" * 20)
    block.add_once(bytes(70_000))
    block.add(b"label" * 20)
    assert unsnap(block.finish()) == b"label" * 20 + bytes(70_000) + b"label" * 20


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers(number):
    """A number of 64 bits comes back, negative ones too."""
    value, end = read_varint(varint(number), 0)
    assert (value - (1 << 64) if value >> 63 else value) == number
    assert end <= 10


TEXT = st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace").decode())


@given(
    st.lists(
        st.builds(
            Sample, TEXT, st.dictionaries(TEXT, TEXT, max_size=4).map(lambda d: tuple(sorted(d.items()))),
            st.integers(-(2**40), 2**45), st.floats(allow_nan=False),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_any_samples_come_back(samples):
    """Each series of a request has its labels and its samples in their order."""
    expected: dict = {}
    for sample in samples:
        expected.setdefault((("__name__", sample.name), *sample.labels), []).append((sample.time_ms, sample.value))
    assert [(tuple(labels), points) for labels, points in decode(write_request(samples))] == list(expected.items())


def test_rows_become_samples_at_their_ends():
    """Rows of several times become one series for each name and labels, with a sample for each row."""
    rows = [gpu_row(END_US + n * ROW_US, busy=n / 8) for n in range(4)]
    series = {tuple(labels): samples for labels, samples in decode(write_request(samples_of(reversed(rows))))}
    (busy,) = (samples for labels, samples in series.items() if labels[0][1] == "advisor_accelerator_busy_ratio")
    assert busy == [(END_US // 1000 + n * 15000, n / 8) for n in range(4)]
    assert all(list(labels) == sorted(labels) for labels in series)


def test_histograms_are_sent_as_prometheus_has_them():
    """The buckets of an engine carry their bound as a label, and stand beside sum and count."""
    series = decode(write_request(samples_of([engine_row()])))
    buckets = {dict(labels).get("le"): samples[0][1] for labels, samples in series if "ttft_seconds_b" in labels[0][1]}
    assert buckets == {"0.1": 3, "1.0": 5, "+Inf": 6}


def test_labels_are_sent_once():
    """Eight accelerators take a fraction of their content: labels that repeat cost a few bytes."""
    rows = [gpu_row(target=replace(GPU, index=number, uuid=f"GPU-{number}" * 6)) for number in range(8)]
    body = write_request(samples_of(rows))
    assert len(unsnap(body)) > 3 * len(body)
