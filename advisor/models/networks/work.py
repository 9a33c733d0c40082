"""Parts of networks that give their whole answer in one pass: parameters, and FLOPs of one sample.

A multiplication with its addition counts as two FLOPs; norms, activations and softmax count as none, as usual.
"""

from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Parameters of a part, and what one sample takes there."""

    parameters: int = 0
    flop: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.parameters + other.parameters, self.flop + other.flop)

    def times(self, count: int) -> "Work":
        """Equal parts, each with weights of its own."""
        return Work(self.parameters * count, self.flop * count)

    def run(self, passes: float) -> "Work":
        """The same weights, run so often."""
        return Work(self.parameters, self.flop * passes)


def linear(inputs: int, outputs: int, positions: float = 1, *, bias: bool = True) -> Work:
    """A matrix applied at each position: 2 · inputs · outputs FLOPs there."""
    return Work(inputs * outputs + outputs * bias, 2.0 * inputs * outputs * positions)


def convolution(inputs: int, outputs: int, kernel: int, positions: float, *, bias: bool = True) -> Work:
    """Filters of *kernel* taps over all inputs, at *positions* of the output."""
    return linear(inputs * kernel, outputs, positions, bias=bias)


def depthwise(channels: int, kernel: int, positions: float) -> Work:
    """One filter of *kernel* taps for each channel, with its bias."""
    return Work(channels * (kernel + 1), 2.0 * channels * kernel * positions)


def table(rows: int, width: int) -> Work:
    """Embeddings: looked up, not computed."""
    return Work(rows * width)


def norm(width: int, vectors: int = 2) -> Work:
    """Scale, and shift where there are two vectors."""
    return Work(width * vectors)


def scores(width: int, queries: float, keys: float) -> Work:
    """Attention itself: 4 · width FLOPs for each pair of a query and a key."""
    return Work(0, 4.0 * width * queries * keys)


@dataclass(frozen=True, slots=True)
class Attended:
    """Positions that ask, positions that are asked, and the width of the latter."""

    queries: float
    keys: float
    width: int


def attention(width: int, positions: float, *, bias: int = 4, over: Attended | None = None, inner: int = 0) -> Work:
    """Projections of queries, keys, values and output, and the scores between them.

    Args:
        width: of the hidden state.
        positions: that attend to each other.
        bias: of the four matrices, how many have one; the output's first.
        over: attention over other positions (cross-attention) in place of *positions* themselves.
        inner: heads × head dimension, where it is not *width*.
    """
    seen = over or Attended(positions, positions, width)
    inner = inner or width
    biases = Work(min(bias, 1) * width + max(bias - 1, 0) * inner)
    queries = linear(width, inner, seen.queries, bias=False) + linear(inner, width, seen.queries, bias=False)
    return (
        queries
        + linear(seen.width, inner, seen.keys, bias=False).times(2)
        + biases
        + scores(inner, seen.queries, seen.keys)
    )


def feed_forward(width: int, inner: int, positions: float, *, matrices: int = 2, bias: bool = True) -> Work:
    """Two matrices, or three where the first is gated."""
    return linear(width, inner, positions, bias=bias).times(matrices - 1) + linear(inner, width, positions, bias=bias)


def transformer_layer(width: int, inner: int, positions: float) -> Work:
    """Attention and feed-forward network with biases and a norm before each: what BERT, ViT and Whisper are made of."""
    return attention(width, positions) + feed_forward(width, inner, positions) + norm(width).times(2)


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters, FLOPs and kind of a network."""

    work: Work
    task: str
    sample: str
    """What the FLOPs are for: an image of a size, seconds of audio, a sequence."""
