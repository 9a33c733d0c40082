"""A network that gives its whole answer in one pass, as its configuration describes it."""

from dataclasses import dataclass

from advisor.models.networks.work import Work


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters, FLOPs and kind of a network."""

    work: Work
    task: str
    sample: str
    """What the FLOPs are for: an image of a size, seconds of audio, a sequence."""
