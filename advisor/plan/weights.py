"""Weights that a replica loads, and what is known of their quality."""

from advisor.catalog import Catalog
from advisor.catalog.precisions import LoadedWeights, QualityLoss
from advisor.models.model import SERVES_GGUF
from advisor.records import dataclass, replace
from advisor.units import kept_words

PUBLISHED_RATIO = 1.0
"""Quality of published weights: what others are measured against."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a model in one precision, as one engine loads them."""

    precision: str
    engine: str
    loaded: LoadedWeights | None
    """None: no repository is known that it can load."""
    loss: QualityLoss | None
    """None: not measured, or nothing is lost."""

    @property
    def repository(self) -> str:
        """Repository on the hub; "" where the user has to name one."""
        return "" if self.loaded is None else self.loaded.repository

    @property
    def scheme(self) -> str:
        """Scheme of quantisation; "" for published weights, and where nobody knows."""
        return "" if self.loaded is None else self.loaded.scheme

    @property
    def is_published(self) -> bool:
        """Whether they are the model's own, as they stand on the hub or cast between 16 and 32 bit."""
        return self.loaded is not None and not self.loaded.scheme

    @property
    def quality_ratio(self) -> float | None:
        """Share of what published weights score that they keep, 1 at most; None where unknown."""
        if self.is_published:
            return PUBLISHED_RATIO
        return None if self.loss is None else min(self.loss.recovery_ratio, PUBLISHED_RATIO)

    @property
    def words(self) -> str:
        """Origin of the weights, and how much quality they keep, with the source of that."""
        if self.loaded is None:
            where = "quantise them yourself"
        elif self.loaded.made_while_loading:
            where = _made(self.engine, self.repository)
        else:
            where = self.repository
        told = f"{self.precision} weights: {where}"
        if self.loss is None or self.quality_ratio is None:
            return f"{told}; quality loss not known"
        is_alike = self.scheme.partition(",")[0] in ("", *self.loss.schemes)
        alike = "" if is_alike else f" as {' or '.join(self.loss.schemes)}"
        of_model = f" on {self.loss.of_model}" if self.loss.of_model else ""
        measured = f" (measured{of_model}{alike})" if alike or of_model else ""
        origin = self.loss.provenance
        return (
            f"{told}; keeps {kept_words(self.quality_ratio)} of its {self.loss.measure}{measured}, "
            f"{origin.source.partition(' (')[0]}, {origin.as_of}"
        )


def _made(engine: str, repository: str) -> str:
    """How an engine comes to weights of fewer bits than the published ones."""
    if engine.startswith(SERVES_GGUF):
        return f"made of {repository} by llama.cpp when a server first starts"
    return f"made by {engine} while it loads {repository}"


def weights_of(catalog: Catalog, model: str, precision: str, engine: str) -> Weights:
    """The weights that an engine loads for a model.

    Args:
        catalog: known checkpoints, and measured losses of quality.
        model: name on the hub.
        precision: what they are served in.
        engine: as the plan names it.
    """
    weights = Weights(precision, engine, catalog.loaded_weights(model, precision, engine), None)
    if weights.is_published:
        return weights
    own = catalog.gguf_scheme(precision) if engine.startswith(SERVES_GGUF) else ""
    return replace(weights, loss=catalog.quality_loss(model, precision, weights.scheme or own))
