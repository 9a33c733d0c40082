"""Kinds of models by the unit of their requests, and the size of a request in that unit as a workload states it."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from advisor.catalog import Catalog
from advisor.demand.values import (
    LARGEST_SIZE,
    OF_DOCUMENTS,
    OF_IMAGES,
    OF_PICTURES,
    OF_RECORDINGS,
    OF_TEXTS,
    OF_TOKENS,
    ONE,
    ROWS,
    SizeColumns,
    Unit,
)
from advisor.errors import InputError
from advisor.models.model import OF_ROWS_IN_ONNX, Model, TextAnswer
from advisor.models.values import answer_servers, planned_types
from advisor.models.weights import served_quantisations
from advisor.records import dataclass, fields, replace
from advisor.units import MS_PER_SECOND
from advisor.workload.measured_demand import (
    CloudWatchDemand,
    OnePassSize,
    PrometheusDemand,
    RecordedDemand,
    SampleDemand,
)
from advisor.workload.values import DeclaredDemand, Workload

UNITS: Mapping[str, Unit] = {
    "llm": Unit.TOKENS,
    "vlm": Unit.TOKENS,
    "encoder": Unit.TEXTS,
    "embedding": Unit.TEXTS,
    "asr": Unit.AUDIO,
    "vision": Unit.IMAGES,
    "diffusion": Unit.PICTURES,
    "tabular": Unit.ROWS,
}
"""By task of the model; others are not planned."""
LLAMA_CPP = "llama.cpp server"
"""Server of files in GGUF, as the catalog names it."""
_NOT_PLANNED: Mapping[str, str] = {
    "encoder-decoder": "no server of the plans runs this one (vLLM removed such models in pull request 24907, Text "
    "Embeddings Inference and Infinity answer with vectors and scores): CTranslate2, or TensorRT-LLM with Triton, "
    "does in a server of your own; `advisor predict` knows its samples a second",
    "tabular": "of tabular models, trees that Triton loads: files of XGBoost and LightGBM, and scikit-learn's by "
    "treelite.sklearn.import_model(model).serialize('checkpoint.tl')",
}
"""By task of the model: what is known of models that are not planned."""
_OF_TOKENS = ("input_tokens", "output_tokens")
_OF_RERANKERS = ("documents", "tokens_per_document", "query_tokens")
_SCORING_DECODERS = (
    "; a decoder that ranks documents is planned where its config.json names a class ForSequenceClassification with "
    "one label, as conversions do (tomaarsen/Qwen3-Reranker-0.6B-seq-cls)"
)
_IMAGE_FIELDS = ("images", "width", "height")
Size = tuple[float, float]
"""Size of an item, and items of a request."""
_GRAPH_OF_ROWS = (
    "graphs that take rows are planned where every input has a type and fixed columns, the work is known, and no "
    "result is a map: export it with a free first axis alone, and of skl2onnx with options={'zipmap': False}"
)


def unplanned_graph(model: Model) -> str:
    """Reason why an ONNX graph of rows is not planned, and what would be."""
    work = model.sample.removeprefix("not known: ")
    return _GRAPH_OF_ROWS if model.flop_per_sample is not None else f"its work is not known: {work}; {_GRAPH_OF_ROWS}"


_OWN_ANSWERS: Mapping[TextAnswer, tuple[str, str]] = {
    TextAnswer.VECTORS: (
        "a vector for each token (late interaction, ColBERT)",
        (
            "vLLM serves jinaai/jina-colbert-v2 and LFM2 by classes of their own "
            """(--hf-overrides '{"architectures": ["ColBERTJinaRobertaModel"]}' --trust-remote-code, or """
            "ColBERTLfm2Model), which no generated code sets up, and PyLate any other in a server of your own"
        ),
    ),
    TextAnswer.TERMS: (
        "weights of terms of its vocabulary (a sparse vector, SPLADE)",
        (
            "sentence-transformers (SparseEncoder) computes them in a server of your own; Text Embeddings Inference "
            "does for masked language models alone (--pooling splade)"
        ),
    ),
}
"""Answers that encoders of some types alone are planned for: in words, and what serves the others (docs.vllm.ai 0.32,
ColBERT late interaction models; router/src/lib.rs of Text Embeddings Inference)."""


def unit_of(model: Model, workload: Workload) -> Unit:
    """Unit of the requests to a model. Raises InputError if models of its task, or of its answers, are not planned."""
    unit = UNITS.get(model.task)
    if model.answer in _OWN_ANSWERS and not answer_servers(model.answer, model.answer_type):
        answers, remedy = _OWN_ANSWERS[model.answer]
        planned = ", ".join(planned_types(model.answer))
        raise InputError(
            f"{model.name} answers {answers}, and no server of the plans gives that of model_type {model.answer_type}",
            where=workload.where("model"),
            hint=f"planned are {planned}; {remedy}; `advisor predict` tells the texts a second of its encoder",
        )
    if unit is Unit.AUDIO and model.flop_per_sample is None:
        raise InputError(
            f"{model.name} recognises speech, and its FLOPs of a recording are not known (family: {model.family})",
            where=workload.where("model"),
            hint="no plan is made for it: Whisper is planned, which vLLM's transcription server runs",
        )
    if unit is Unit.ROWS and model.sample_size is None and model.family in OF_ROWS_IN_ONNX:
        raise InputError(
            f"{model.name} takes rows of an ONNX graph in a form that no plan is made for",
            where=workload.where("model"),
            hint=unplanned_graph(model),
        )
    if unit is None or (unit is Unit.ROWS and model.sample_size is None):
        raise InputError(
            f"{model.name} is of a kind that no plan is made for (task: {model.task}, family: {model.family})",
            where=workload.where("model"),
            hint=f"models of these kinds are planned: {', '.join(UNITS)}; {_NOT_PLANNED[model.task]}",
        )
    return unit


_RERANKERS = ("rerank", "cross-encoder")
"""Parts of the names of models that score documents against a query."""


def is_reranker(model: Model) -> bool:
    """Whether a model scores documents against a query, as its file says, or its name where no file does."""
    if UNITS.get(model.task) is not Unit.TEXTS:
        return False
    is_other = model.answer is TextAnswer.LABELS or model.answer in _OWN_ANSWERS
    return model.answer is TextAnswer.SCORE or (not is_other and names_reranker(model.name))


def is_embedder(model: Model) -> bool:
    """Whether a model answers a text with one vector."""
    is_vector = model.answer in (TextAnswer.VECTOR, TextAnswer.WORDS)
    return UNITS.get(model.task) is Unit.TEXTS and is_vector and not is_reranker(model)


def names_reranker(name: str) -> bool:
    """Whether the name of a model of texts is that of one that scores documents against a query."""
    return any(mark in name.lower() for mark in _RERANKERS)


def declared_size(declared: DeclaredDemand, model: Model, workload: Workload) -> tuple[Unit, Size]:
    """Unit and size of a workload's requests. Raises InputError if the size is not stated in the model's unit."""
    unit = unit_of(model, workload)
    _check_keys(declared, model, unit, workload)
    size, items = _SIZED[unit].read(declared, model, workload)
    if size > LARGEST_SIZE:
        raise _fault(workload, f"{size:,.0f} {_SIZED[unit].measure} of one item are too many", "split it into several")
    return unit, (size, items)


@dataclass(frozen=True, slots=True)
class CountedSize:
    """Size of requests that metrics count, as far as the workload states it or the model sets it."""

    size: float | None
    """Of an item; None: the server counts tokens."""
    items: float | None
    """Of a request; None: the server counts them, or each request brings one."""


def counted_size(model: Model, source: RecordedDemand, workload: Workload) -> CountedSize:
    """Size of requests that metrics count.

    Raises InputError if models of its task are not planned, the size is stated in another unit, or metrics do not count
    it and it is not stated.
    """
    unit, size = unit_of(model, workload), source.recorded.size
    stated = DeclaredDemand(None, None, source.input_tokens, source.output_tokens, size=size)
    _check_keys(stated, model, unit, workload)
    if unit is Unit.TOKENS:
        return CountedSize(source.input_tokens, source.output_tokens)
    if unit is Unit.TEXTS and source.input_tokens is None and size.tokens_per_document is None:
        return CountedSize(None, None if size.documents is None else float(size.documents))
    return CountedSize(*_SIZED[unit].read(stated, model, workload))


def trace_columns(model: Model, unit: Unit) -> SizeColumns:
    """Columns of a request trace that tell the size of a request to a model."""
    if unit is Unit.ROWS:
        return replace(_SIZED[unit].traced, sizes=(replace(ONE, usual=round(model.sample_size or 1.0)),))
    return OF_DOCUMENTS if is_reranker(model) else _SIZED[unit].traced


def check_targets(workload: Workload, model: Model, unit: Unit) -> None:
    """Refuse targets of another kind of model.

    Raises InputError for TTFT or TPOT of answers that come whole, whole answers' targets of tokens, or a real-time
    factor of anything but speech.
    """
    slo = workload.slo
    if unit.is_one_pass and slo.is_of_tokens:
        raise InputError(
            f"{model.name} does not answer token by token (task: {model.task}), so TTFT and TPOT say nothing of it",
            where=workload.where("slo"),
            hint=f"state {'real_time_factor or ' * (unit is Unit.AUDIO)}latency_p50, latency_p95 or latency_p99",
        )
    if not unit.is_one_pass and slo.is_of_whole_answers:
        raise InputError(
            f"{model.name} answers token by token: a latency without the length of the answer says nothing of it",
            where=workload.where("slo"),
            hint="state ttft_p95 and tpot_p95, or e2e_p95",
        )
    if slo.real_time_factor is not None and unit is not Unit.AUDIO:
        raise InputError(
            f"a real_time_factor is of speech, and {model.name} is not (task: {model.task})",
            where=workload.where("slo.real_time_factor"),
            hint="state latency_p95",
        )


def takes_llama_cpp(workload: Workload, model: Model, unit: Unit) -> bool:
    """Whether a language model is planned with llama.cpp too: it is a GGUF file, or ``engines`` names the server."""
    is_asked = LLAMA_CPP in workload.engines or (not workload.engines and model.file is not None and model.file.is_gguf)
    return is_asked and not unit.is_one_pass and LLAMA_CPP not in workload.exclude.engines


def takes_processors(workload: Workload, model: Model, catalog: Catalog) -> bool:
    """Whether a language model is planned with llama.cpp on processors alone, by itself: it is small, and no file."""
    is_open = not workload.engines and LLAMA_CPP not in workload.exclude.engines
    is_plain = model.file is None and model.adapters is None and workload.adapters is None
    is_served = not served_quantisations().keys().isdisjoint(workload.precisions)
    return is_open and is_plain and is_served and catalog.precisions.makes_gguf(model.name)


def _check_keys(declared: DeclaredDemand, model: Model, unit: Unit, workload: Workload) -> None:
    """Refuse sizes in the unit of another kind of model."""
    allowed = {*_SIZED[unit].keys, *(_OF_RERANKERS if is_reranker(model) else ())}
    if unit is Unit.TOKENS and model.vision is not None:
        allowed.add("images")
    foreign = [key for key in _stated(declared) if key not in allowed]
    if not foreign:
        return
    if unit is Unit.TOKENS and model.task == "vlm" and foreign[0] == "images":
        reason = f"how many tokens an image becomes is not known of {model.name}"
        raise _fault(workload, reason, "take images out, and state input_tokens, those of the images among them")
    if unit is Unit.TOKENS and foreign[0] == "images":
        raise _fault(workload, f"{model.name} sees no images", "take images out, or name a model that reads them")
    if unit is Unit.TOKENS:
        reason = f"{foreign[0]} is of models that answer in one pass, and {model.name} answers token by token"
        hint = f"take {foreign[0]} out, and state input_tokens and output_tokens"
        raise _fault(workload, reason, hint + _SCORING_DECODERS * (foreign[0] in _OF_RERANKERS))
    reason = f"{foreign[0]} is not a size of a request to {model.name} (task: {model.task})"
    if foreign[0] == "output_tokens":
        reason = f"{model.name} generates no tokens: its answer comes whole (task: {model.task})"
    needed = "documents and tokens_per_document" if is_reranker(model) else " and ".join(_SIZED[unit].keys)
    raise _fault(workload, reason, f"take {foreign[0]} out; its requests are sized by {needed}")


def _stated(declared: DeclaredDemand) -> Iterator[str]:
    """Keys under demand.declared that state a size."""
    for key in ("input_tokens", "output_tokens"):
        if getattr(declared, key) is not None:
            yield key
    stated = [field.name for field in fields(OnePassSize) if getattr(declared.size, field.name) is not None]
    yield from dict.fromkeys("images" if name in _IMAGE_FIELDS else name for name in stated)


def picture_tokens(declared: DeclaredDemand, model: Model) -> int:
    """Tokens that the images of a request to a language model become; 0 where none are stated."""
    size = declared.size
    if model.vision is None or size.width is None or size.height is None:
        return 0
    return (size.images or 1) * model.vision.encoded(size.width, size.height).tokens


def _tokens(declared: DeclaredDemand, model: Model, workload: Workload) -> Size:
    """Prompt, with the tokens of its images, and answer of a language model."""
    size = declared.size
    stated = [getattr(size, name) is not None for name in _IMAGE_FIELDS]
    if any(stated) and (size.width is None or size.height is None):
        what = "images: {count, width, height}, such as {count: 1, width: 1024, height: 768}"
        raise _fault(workload, "the size of the images is not stated, and their tokens follow from it", f"state {what}")
    missing = [key for key in _OF_TOKENS if getattr(declared, key) is None]
    if declared.input_tokens is None or declared.output_tokens is None:
        raise _fault(workload, f"missing: {', '.join(missing)}", f"add {missing[0]} under {_source(workload)}")
    return declared.input_tokens + picture_tokens(declared, model), declared.output_tokens


def _texts(declared: DeclaredDemand, model: Model, workload: Workload) -> Size:
    """Tokens of a text; of a query with a document, once for each document."""
    size = declared.size
    if not is_reranker(model):
        if declared.input_tokens is None:
            raise _fault(workload, "missing: input_tokens", "add the tokens of one text, such as input_tokens: 512")
        return declared.input_tokens, 1.0
    if size.documents is None:
        raise _fault(
            workload,
            f"{model.name} ranks documents, and how many of them a request brings is not stated",
            "add documents and tokens_per_document, such as documents: 23 and tokens_per_document: 512",
        )
    if declared.input_tokens is not None and size.tokens_per_document is not None:
        raise _fault(workload, "input_tokens and tokens_per_document are two sizes of one thing", "keep the latter")
    tokens = size.tokens_per_document or declared.input_tokens
    if tokens is None:
        raise _fault(workload, "missing: tokens_per_document", "add the tokens of one document")
    return tokens + (size.query_tokens or 0.0), float(size.documents)


def _audio(declared: DeclaredDemand, _model: Model, workload: Workload) -> Size:
    """Milliseconds of a recording."""
    if declared.size.audio_seconds is None:
        hint = "add the mean length of a recording, such as audio_seconds: 30"
        raise _fault(workload, "how long the recordings are is not stated", hint)
    return max(declared.size.audio_seconds * MS_PER_SECOND, 1.0), 1.0


def _images(declared: DeclaredDemand, _model: Model, _workload: Workload) -> Size:
    """Images of a request, which are scaled to the model's own input."""
    return 1.0, float(declared.size.images or 1)


def _pictures(declared: DeclaredDemand, _model: Model, workload: Workload) -> Size:
    """Pixels × denoising steps of a picture."""
    size = declared.size
    if size.steps is None or size.width is None or size.height is None:
        what = "steps" if size.steps is None else "images: {width, height}"
        hint = "such as steps: 20 and images: {width: 1024, height: 1024}"
        raise _fault(workload, f"the work of a picture is not stated: {what} is missing", f"state both, {hint}")
    return float(size.width * size.height * size.steps), float(size.images or 1)


def _rows(declared: DeclaredDemand, model: Model, _workload: Workload) -> Size:
    """Rows of a request, each of as many columns as the model reads."""
    return model.sample_size or 1.0, float(declared.size.rows or 1)


class _Sized(NamedTuple):
    """Size of a request in a unit."""

    keys: tuple[str, ...]
    """Of demand.declared, which state it."""
    measure: str
    read: Callable[[DeclaredDemand, Model, Workload], Size]
    traced: SizeColumns
    """Columns of a request trace that tell it."""


_SIZED: Mapping[Unit, _Sized] = {
    Unit.TOKENS: _Sized(_OF_TOKENS, "tokens", _tokens, OF_TOKENS),
    Unit.TEXTS: _Sized(("input_tokens",), "tokens", _texts, OF_TEXTS),
    Unit.AUDIO: _Sized(("audio_seconds",), "ms", _audio, OF_RECORDINGS),
    Unit.IMAGES: _Sized(("images",), "images", _images, OF_IMAGES),
    Unit.PICTURES: _Sized(("steps", "images"), "pixels × steps", _pictures, OF_PICTURES),
    Unit.ROWS: _Sized(("rows",), "columns", _rows, SizeColumns((ONE,), ROWS)),
}
_RECORDED: Mapping[type[RecordedDemand], str] = {
    SampleDemand: "demand.samples",
    PrometheusDemand: "demand.prometheus",
    CloudWatchDemand: "demand.cloudwatch",
}


def _fault(workload: Workload, message: str, hint: str) -> InputError:
    return InputError(message, where=workload.where(_source(workload)), hint=hint)


def _source(workload: Workload) -> str:
    """Key that sizes are stated under."""
    demand = workload.demand
    if isinstance(demand, RecordedDemand):
        return _RECORDED[type(demand)]
    is_batch = isinstance(demand, DeclaredDemand) and demand.batch is not None
    return "demand.batch" if is_batch else "demand.declared"
