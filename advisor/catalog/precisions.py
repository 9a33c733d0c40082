"""Precisions that a model can be served in: which repository holds the weights, and what quality they lose."""

import math
import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from advisor.catalog.readers import Sources
from advisor.catalog.values import Provenance, Quality
from advisor.names import architecture_key
from advisor.records import dataclass
from advisor.tables import Record, Row, read_rows

PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
_SIXTEEN_BIT = ("bf16", "fp16")
_WIDE = ("fp32", *_SIXTEEN_BIT)
_QUANTISED_WHILE_LOADING = ("llm", "vlm", "embedding")
"""Tasks of models that vLLM and SGLang serve."""
_ON_LOAD = "fp8"
_QUANTISING_ENGINES = ("vLLM", "SGLang")
"""Engines of engine_support.csv that quantise while loading; plugins for other chips read stored weights only."""
_LOADS_GGUF = "llama.cpp server"
"""Engine of engines.csv that reads GGUF alone: which repository of a larger model is GGUF is not known."""
MOST_CONVERTED_BILLIONS = 3.0
"""Parameters below which code converts weights where a server starts: seconds, where larger ones take minutes."""
_GGUF_SCHEME = "GGUF "
"""Beginning of the schemes of llama.cpp, whose quantisation follows."""
BENCHMARKS = "benchmark scores"
LIKELIHOOD = "likelihood of a text"
"""Measures of what quantised weights keep; the likelihood of a token is the inverse of the perplexity."""
_QUANTISED_ON_LOAD = "FP8 dynamic, quantised by the engine while loading"
_IN_BLOCKS = "FP8 block"
"""Scheme of weights that share a scale by :data:`_BLOCK` × :data:`_BLOCK`."""
_BLOCK = 128
_KEEPING_BLOCKS = ("vLLM", "SGLang")
"""Engines of engine_support.csv that refuse to cut a block; of others no such rule is known."""
_SHARING_EXPERTS = ("vLLM",)
"""Engines whose data-parallel replicas form one group of ranks for the experts (vLLM's Data Parallel Deployment)."""
_TENSORRT = "tensorrt"
_TENSORRT_FORMATS = ("", "modelopt")
"""Formats that TensorRT-LLM reads: published weights, and those of NVIDIA Model Optimizer."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_LONGEST_HUB_ID = 200
_AS_PUBLISHED = "as published"
_CAST = "cast by the engine while loading"
_TRAINED = "quantisation-aware"
"""Schemes that train the weights again: not what a quantised repository usually holds."""
_BILLIONS = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z])")
_WORST_FIRST = (Quality.RECALLED, Quality.COMMUNITY, Quality.STALE, Quality.DERIVED)


def is_hub_id(model: str) -> bool:
    """Whether a model is called as hubs call it, ``organisation/model``, and by no file."""
    return len(model) <= _LONGEST_HUB_ID and _HUB_ID.fullmatch(model) is not None


@dataclass(frozen=True, slots=True)
class KnownCheckpoint:
    """A repository with the weights of a model in one precision."""

    weights: str
    """Model in models.csv whose weights these are; another tuning than asked for where only that one is known."""
    precision: str
    repository: str
    """On the hub; that of the published weights where the engine makes the precision while loading."""
    scheme: str
    """How the weights were quantised, such as ``W8A8 INT8``."""
    format: str
    """How they are stored: compressed-tensors, modelopt, awq, gptq, fp8, quark; "" for published weights."""
    made_while_loading: bool
    """The engine casts or quantises the published weights: TensorRT-LLM quantises none."""
    provenance: Provenance

    def is_of(self, model: str) -> bool:
        """Whether these are the weights of that model, not of another tuning of it."""
        return weights_key(self.weights) == weights_key(model)


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """The weights that an engine loads."""

    repository: str
    """On the hub; "": the model's own, which is not a repository's."""
    scheme: str
    """How they were quantised, or are while they are loaded; "" for published weights."""
    made_while_loading: bool = False
    """The engine quantises the published weights."""

    @property
    def block(self) -> int:
        """Side of the square blocks that share a scale; 0: none by the scheme, or published weights."""
        return _BLOCK if self.scheme == _IN_BLOCKS else 0


@dataclass(frozen=True, slots=True)
class QualityLoss:
    """Rest of a model's scores in a lower precision, quantised ÷ published; of a GGUF, of the likelihood of a text."""

    recovery_ratio: float
    """Mean over benchmarks; above 1 is noise, not gain."""
    low_ratio: float
    """Of the benchmark that loses most."""
    high_ratio: float
    """Of the benchmark that loses least."""
    benchmarks: int
    of_model: str
    """Model that was measured in place of this one, of the same family but for GGUF; "" where this one was."""
    schemes: tuple[str, ...]
    """How the measured weights were quantised."""
    provenance: Provenance
    """All sources; date of the newest, quality of the weakest."""
    measure: str = BENCHMARKS
    """What they keep a share of."""


@dataclass(frozen=True, slots=True)
class _Score:
    """One benchmark of a quantised model."""

    model: str
    precision: str
    scheme: str
    recovery_ratio: float
    provenance: Provenance


def weights_key(model: str) -> str:
    """Key of weights: owner and repository, in any case, with or without ``Meta-`` in front."""
    owner, _, repository = model.strip().casefold().rpartition("/")
    return f"{owner}/{repository.removeprefix('meta-')}"


class Precisions:
    """Checkpoints and quality losses of one directory of tables, each table read when it is first asked for."""

    def __init__(self, sources: Sources) -> None:
        """Remember where the tables are."""
        self._sources = sources
        self._loaded: dict[tuple[str, str, str], LoadedWeights | None] = {}
        """By model, precision and engine: each is asked for once for every layout."""
        self._losses: dict[tuple[str, str, str], QualityLoss | None] = {}
        """By model, precision and scheme: each is asked for once for every option."""

    def checkpoints(self, model: str, precision: str) -> tuple[KnownCheckpoint, ...]:
        """Repositories with a model's weights in a precision, the preferred one first.

        A name in models.csv may stand for several tunings (model_aliases.csv): weights of the others come last.
        """
        row = self._row(model)
        if row is None:
            return ()
        own = weights_key(row["name"])
        others = (weights_key(alias) for alias, name in self._aliases.items() if name == row["name"])
        return (
            *self._published(model, row, precision),
            *self._listed.get((own, precision), ()),
            *self._made_while_loading(model, row, precision),
            *(checkpoint for key in others if key != own for checkpoint in self._listed.get((key, precision), ())),
        )

    def loaded(self, model: str, precision: str, engine: str) -> LoadedWeights | None:
        """The weights that an engine loads for a model in a precision; None where the user has to name a repository.

        Published ones in 16 bit and more, and those of a file, which servers cast; else those that are stored
        in the precision and that the engine reads (TensorRT-LLM: of NVIDIA Model Optimizer); without any, vLLM and
        SGLang quantise published ones to FP8, unless their name says that they are FP8 already.

        llama.cpp takes published ones that are converted when its server starts, if :meth:`makes_gguf` says so.
        *engine* "" is an image of the user's own, which is given the model itself.
        """
        if engine == _LOADS_GGUF and (is_hub_id(model) or precision not in _WIDE):
            if precision not in self._gguf_types or not self.makes_gguf(model):
                return None
            scheme = self.gguf_scheme(precision)
            return LoadedWeights(model, scheme, made_while_loading=bool(scheme))
        key = (model, precision, engine)
        if key not in self._loaded:
            self._loaded[key] = self._weights_loaded(model, precision, engine)
        return self._loaded[key]

    def makes_gguf(self, model: str) -> bool:
        """Whether code converts the published weights of a model to GGUF: those of small language models, in 16 bit."""
        row = self._row(model) if is_hub_id(model) else None
        if row is None or row["task"] != "llm" or row["checkpoint_precision"] not in _WIDE:
            return False
        size = _size_billions(row)
        return row["model_type"] in self._converted and size is not None and size < MOST_CONVERTED_BILLIONS

    def _weights_loaded(self, model: str, precision: str, engine: str) -> LoadedWeights | None:
        own = [checkpoint for checkpoint in self.checkpoints(model, precision) if checkpoint.is_of(model)]
        is_published = any(not checkpoint.format and not checkpoint.made_while_loading for checkpoint in own)
        if is_hub_id(model) and (is_published or precision in _WIDE or not engine):
            return LoadedWeights(model, "")
        named = self._by_repository.get((model.casefold(), precision))
        formats = _TENSORRT_FORMATS if engine.casefold().startswith(_TENSORRT) else None
        for stored in own if named is None else (named, *own):
            if not stored.made_while_loading and (formats is None or stored.format in formats):
                repository = stored.repository if is_hub_id(stored.repository) else ""
                return LoadedWeights(repository, "" if stored.scheme == _AS_PUBLISHED else stored.scheme)
        if not is_hub_id(model):
            return LoadedWeights("", "") if precision in _WIDE else None
        return _quantised(model, own) if self.is_made_while_loading(precision, engine) else None

    def is_made_while_loading(self, precision: str, engine: str) -> bool:
        """Whether an engine makes the precision of 16-bit weights while it loads them."""
        return precision == _ON_LOAD and engine in _QUANTISING_ENGINES

    def shares_experts(self, engine: str) -> bool:
        """Whether replicas behind one server divide the experts among them, as vLLM's do."""
        return engine in _SHARING_EXPERTS

    def cuts_blocks(self, engine: str) -> bool:
        """Whether tensor parallelism may cut blocks of weights that share a scale; vLLM and SGLang keep them whole."""
        return engine not in _KEEPING_BLOCKS

    def known(self, model: str) -> tuple[str, ...]:
        """Precisions that there are weights for, or that an engine makes while loading, the widest first."""
        return tuple(precision for precision in PRECISIONS if self.checkpoints(model, precision))

    def quality_loss(self, model: str, precision: str, scheme: str = "") -> QualityLoss | None:
        """Loss of a model in a precision, measured on it or on the nearest size of its family; None if unknown.

        That of a GGUF is the loss of likelihood that llama.cpp publishes, of the model that loses the most where none
        of the family was measured. Scores of the scheme alone count where there are any.
        """
        key = (model, precision, scheme)
        if key not in self._losses:
            self._losses[key] = self._loss_of(model, precision, scheme)
        return self._losses[key]

    def _loss_of(self, model: str, precision: str, scheme: str) -> QualityLoss | None:
        row = self._row(model)
        if row is None:
            return None
        if scheme.startswith(_GGUF_SCHEME):
            return self._gguf_loss(row, scheme)
        measured = self._scores.get(precision, {})
        name = row["name"] if row["name"] in measured else self._nearest(row, measured)
        if name is None:
            return None
        alike = tuple(score for score in measured[name] if score.scheme == scheme.partition(",")[0])
        return _quality_loss(alike or measured[name], "" if name == row["name"] else name)

    def _gguf_loss(self, row: Row, scheme: str) -> QualityLoss | None:
        measured = self._likelihoods.get(scheme.removeprefix(_GGUF_SCHEME), {})
        if not measured:
            return None
        own = row["name"] if row["name"] in measured else self._nearest(row, measured)
        name = own or min(measured, key=lambda model: measured[model][0])
        kept, origin = measured[name]
        of_model = "" if name == row["name"] else name
        return QualityLoss(kept, kept, kept, 1, of_model, (scheme,), origin, LIKELIHOOD)

    def gguf_scheme(self, precision: str) -> str:
        """Scheme of the quantisation that llama.cpp serves a precision in; "" for 16 bit and what it does not serve."""
        quantisation = None if precision in _WIDE else self._gguf_types.get(precision)
        return f"{_GGUF_SCHEME}{quantisation}" if quantisation else ""

    def _row(self, model: str) -> Row | None:
        """The row of models.csv for a name or another name of it."""
        key = model.strip().casefold()
        exact = self._models.get(key) or self._by_weights.get(weights_key(model))
        return exact or self._models.get(self._aliases.get(key, "").casefold())

    def _repository(self, model: str, row: Row) -> str:
        """The published weights, under the name that was asked for."""
        return model.strip() if weights_key(model) == weights_key(row["name"]) and "/" in model else row["name"]

    def _published(self, model: str, row: Row, precision: str) -> tuple[KnownCheckpoint, ...]:
        published = row["checkpoint_precision"]
        is_cast = published in _WIDE and precision in _SIXTEEN_BIT and precision != published
        if precision != published and not is_cast:
            return ()
        scheme = _CAST if is_cast else _AS_PUBLISHED
        provenance = Provenance(row["source"], row["as_of"], Quality(row["quality"]))
        repository = self._repository(model, row)
        return (KnownCheckpoint(row["name"], precision, repository, scheme, "", is_cast, provenance),)

    def _made_while_loading(self, model: str, row: Row, precision: str) -> tuple[KnownCheckpoint, ...]:
        if row["checkpoint_precision"] not in _WIDE or row["task"] not in _QUANTISED_WHILE_LOADING:
            return ()
        repository = self._repository(model, row)
        return tuple(
            KnownCheckpoint(row["name"], precision, repository, scheme, "", made_while_loading=True, provenance=origin)
            for scheme, origin in self._loading.get(precision, ())
        )

    def _nearest(self, row: Row, measured: Iterable[str]) -> str | None:
        """The measured model of the same family whose size is nearest, of equals one with the same architecture."""
        size = _size_billions(row)
        ranked = []
        for name in measured:
            other = self._models[name.casefold()]
            other_size = _size_billions(other)
            if other["family"] == row["family"] and size is not None and other_size is not None:
                is_other_architecture = architecture_key(name) != architecture_key(row["name"])
                ranked.append((round(abs(math.log(other_size / size)), 1), is_other_architecture, name))
        return min(ranked)[-1] if ranked else None

    @cached_property
    def _models(self) -> Mapping[str, Row]:
        return {row["name"].casefold(): row for row in read_rows(self._sources.directory / "models.csv")}

    @cached_property
    def _by_weights(self) -> Mapping[str, Row]:
        return {weights_key(row["name"]): row for row in self._models.values()}

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        """Name in models.csv by other name."""
        rows = read_rows(self._sources.directory / "model_aliases.csv")
        return {row["alias"].casefold(): row["model"] for row in rows}

    @cached_property
    def _table(self) -> tuple[Record, ...]:
        return tuple(self._sources.rows("checkpoints"))

    @cached_property
    def _listed(self) -> Mapping[tuple[str, str], tuple[KnownCheckpoint, ...]]:
        """Repositories by weights and precision, in the order of their rank."""
        listed: dict[tuple[str, str], list[KnownCheckpoint]] = {}
        for row in sorted(self._table, key=lambda row: row.number("rank")):
            if model := row.optional_text("model"):
                checkpoint = self._sources.value(KnownCheckpoint, row, weights=model, made_while_loading=False)
                listed.setdefault((weights_key(model), checkpoint.precision), []).append(checkpoint)
        return {key: tuple(checkpoints) for key, checkpoints in listed.items()}

    @cached_property
    def _by_repository(self) -> Mapping[tuple[str, str], KnownCheckpoint]:
        """Stored weights by their own repository and precision."""
        every = (checkpoint for listed in self._listed.values() for checkpoint in listed)
        return {(checkpoint.repository.casefold(), checkpoint.precision): checkpoint for checkpoint in every}

    @cached_property
    def _loading(self) -> Mapping[str, tuple[tuple[str, Provenance], ...]]:
        """Scheme and origin by precision that engines make of published weights."""
        made: dict[str, list[tuple[str, Provenance]]] = {}
        for row in self._table:
            if not row.optional_text("model"):
                made.setdefault(row.text("precision"), []).append((row.text("scheme"), self._sources.of(row)))
        return {precision: tuple(schemes) for precision, schemes in made.items()}

    @cached_property
    def _converted(self) -> frozenset[str]:
        """Values of model_type that llama.cpp's converter knows."""
        rows = self._sources.rows("gguf_architectures")
        return frozenset(name for row in rows for name in row.words("model_types"))

    @cached_property
    def _gguf_types(self) -> Mapping[str, str]:
        """Quantisation of GGUF by precision."""
        rows = read_rows(self._sources.directory / "gguf_file_types.csv")
        return {row["precision"]: row["quantisation"] for row in rows if row["precision"]}

    @cached_property
    def _likelihoods(self) -> Mapping[str, Mapping[str, tuple[float, Provenance]]]:
        """Share of the likelihood of a token that is left, by quantisation of GGUF and model."""
        likelihoods: dict[str, dict[str, tuple[float, Provenance]]] = {}
        for row in self._sources.rows("gguf_losses"):
            kept = min(1 / row.number("perplexity_ratio"), 1.0)
            likelihoods.setdefault(row.text("quantisation"), {})[row.text("model")] = (kept, self._sources.of(row))
        return likelihoods

    @cached_property
    def _scores(self) -> Mapping[str, Mapping[str, tuple[_Score, ...]]]:
        """Scores by precision and model; those of weights trained again only where there are no others."""
        by_precision: dict[str, dict[str, list[_Score]]] = {}
        for row in self._sources.rows("quality_loss"):
            score = self._sources.value(_Score, row)
            by_precision.setdefault(score.precision, {}).setdefault(score.model, []).append(score)
        return {
            precision: {
                model: tuple(score for score in scores if _TRAINED not in score.scheme) or tuple(scores)
                for model, scores in models.items()
            }
            for precision, models in by_precision.items()
        }


def _quantised(model: str, own: Iterable[KnownCheckpoint]) -> LoadedWeights:
    """Weights that the engine makes FP8 of while it loads them, or that are FP8 already by their name."""
    if _ON_LOAD in model.casefold():
        return LoadedWeights(model, "")
    schemes = (checkpoint.scheme for checkpoint in own if checkpoint.made_while_loading)
    return LoadedWeights(model, next(schemes, _QUANTISED_ON_LOAD), made_while_loading=True)


def _quality_loss(scores: tuple[_Score, ...], of_model: str) -> QualityLoss:
    ratios = [score.recovery_ratio for score in scores]
    origins = [score.provenance for score in scores]
    qualities = {origin.quality for origin in origins}
    return QualityLoss(
        recovery_ratio=math.fsum(ratios) / len(ratios),
        low_ratio=min(ratios),
        high_ratio=max(ratios),
        benchmarks=len(ratios),
        of_model=of_model,
        schemes=tuple(dict.fromkeys(score.scheme for score in scores)),
        provenance=Provenance(
            source="; ".join(dict.fromkeys(origin.source for origin in origins)),
            as_of=max(origin.as_of for origin in origins),
            quality=next((quality for quality in _WORST_FIRST if quality in qualities), Quality.LISTED),
        ),
    )


def _size_billions(row: Row) -> float | None:
    """Parameters of a model: as published, else as its name says; None where neither does."""
    if row["published_parameters_total"]:
        return float(row["published_parameters_total"]) / 1e9
    named = _BILLIONS.search(row["name"].casefold())
    if named is None:
        return None
    experts, number, unit = named.groups()
    return float(experts or 1) * float(number) / (1 if unit == "b" else 1000)
