"""Mixers that keep a state of fixed size per sequence: linear attention, state spaces, short convolutions."""

from dataclasses import dataclass

from advisor.models.layers import Mixer, MixerKind


@dataclass(frozen=True, slots=True)
class DeltaNetShape:
    """The shape of a gated delta net (Qwen3-Next, Qwen3.5)."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int


def gated_delta_net(hidden: int, shape: DeltaNetShape) -> Mixer:
    """Linear attention whose state is one key × value matrix per head, behind a short convolution."""
    key_width, value_width = shape.key_heads * shape.key_dim, shape.value_heads * shape.value_dim
    convolved = 2 * key_width + value_width
    projections = hidden * (convolved + value_width + 2 * shape.value_heads) + value_width * hidden
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=projections,
        other_parameters=convolved * shape.kernel + 2 * shape.value_heads + shape.value_dim,
        state_elements=shape.value_heads * shape.key_dim * shape.value_dim,
        convolution_elements=convolved * (shape.kernel - 1),
        width=value_width,
    )


def kimi_delta_attention(hidden: int, heads: int, dim: int, kernel: int) -> Mixer:
    """Linear attention with a decay per channel (Kimi Linear): one ``dim × dim`` state per head."""
    width = heads * dim
    projections = 4 * hidden * width + hidden * heads + 2 * (hidden * dim + dim * width)
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=projections,
        other_parameters=3 * width * kernel + width + heads + dim,
        state_elements=width * dim,
        convolution_elements=3 * width * (kernel - 1),
        width=width,
    )


@dataclass(frozen=True, slots=True)
class StateSpaceShape:
    """The shape of a Mamba-2 mixer."""

    heads: int
    head_dim: int
    groups: int
    state: int
    kernel: int
    projection_bias: bool
    convolution_bias: bool


def mamba2(hidden: int, shape: StateSpaceShape) -> Mixer:
    """Mamba-2: one state of ``head_dim × state`` per head."""
    inner = shape.heads * shape.head_dim
    convolved = inner + 2 * shape.groups * shape.state
    projected = inner + convolved + shape.heads
    biases = (projected + hidden) * shape.projection_bias + convolved * shape.convolution_bias
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=hidden * projected + inner * hidden,
        other_parameters=convolved * shape.kernel + biases + 3 * shape.heads + inner,
        state_elements=inner * shape.state,
        convolution_elements=convolved * (shape.kernel - 1),
        width=inner,
    )


def mamba1(hidden: int, inner: int, state: int, kernel: int, time_step_rank: int) -> Mixer:
    """Mamba (the first): one state of ``inner × state``."""
    projections = hidden * 2 * inner + inner * (time_step_rank + 2 * state) + time_step_rank * inner + inner * hidden
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=projections,
        other_parameters=inner * kernel + inner + inner + inner * state + inner,
        state_elements=inner * state,
        convolution_elements=inner * (kernel - 1),
        width=inner,
    )


def short_convolution(hidden: int, kernel: int) -> Mixer:
    """The gated short convolution of LFM2."""
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=hidden * 3 * hidden + hidden * hidden,
        other_parameters=hidden * kernel,
        convolution_elements=hidden * (kernel - 1),
        width=hidden,
    )
