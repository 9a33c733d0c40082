"""Bytes of requests and answers on their way: what data transfer is paid for, and what a machine's network carries."""

import math
import re
from collections.abc import Sequence

from advisor.catalog.one_pass_engines import FORMATS
from advisor.demand.values import Demand, Unit
from advisor.models.model import Model, ModelInput, TextAnswer
from advisor.units import BITS_PER_BYTE, BYTES_PER_GB, BYTES_PER_KB, MS_PER_SECOND
from advisor.workload.kinds import is_reranker

BYTES_PER_TEXT_TOKEN = 4
"""UTF-8 bytes of an average English token (OpenAI's rule of thumb: a token is four characters)."""
BYTES_PER_STREAMED_TOKEN = 250
"""One server-sent event with one token of an OpenAI-style chat completion: its JSON names id, model, time and choice
anew each time. As vLLM writes it, with a line of HTTP chunking around it; a test counts the bytes."""
BYTES_PER_ANSWER = 700
"""Headers and the rest of the JSON around an answer, once a request."""

BYTES_PER_NUMBER = 12
"""A component of an embedding in JSON: eight digits, sign, point and comma."""
BYTES_PER_TOKEN_NUMBER = 21
"""A number of a token's vector as vLLM writes it: one in 32 bit, printed with all digits of 64."""
TERMS_PER_TEXT = 200
"""Terms of a sparse vector: naver/splade-v3 gave 192 for a document and 27 for a query where SparseEncoder's evaluator
counted them (a collection of descriptions of games); an estimate of all others."""
BYTES_PER_TERM = 36
"""Index and weight of a term in JSON: ``{"index":12345,"value":1.2345678},``."""
BYTES_PER_SCORE = 60
"""Index and score of a ranked document in JSON."""
BYTES_PER_LABELS = 300
"""A handful of labels with their scores."""
BYTES_PER_SPOKEN_SECOND = 15
"""Two and a half words a second."""
BYTES_PER_AUDIO_SECOND = 32_000
"""16 kHz, 16 bit, one channel: what speech models take."""
BYTES_PER_COLUMN = 4
"""A number in fp32, as Triton takes it in binary."""
BYTES_PER_IMAGE = 3 * 224 * 224 * 4
"""An image of 224 × 224 as a tensor, where the inputs of its graph are not known; an estimate. Every server that images
are planned on takes tensors."""
_BASE64 = 4 / 3
"""Characters of base64 a byte: how JSON carries pictures, in requests and answers."""
BYTES_PER_MADE_PIXEL = 15_394_305 / (24 * 768 * 512) * _BASE64
"""Bytes a pixel of a picture that is answered as PNG: Kodak's 24 photographs in it (images of QOI's benchmark)."""
BYTES_PER_SHOWN_PIXEL = 0.3 * _BASE64
"""Bytes a pixel of an image that is sent to a language model, as JPEG of 2.4 bits a pixel; an estimate."""
_PIXELS = 1024 * 1024
"""Pixels of a picture whose size is not stated."""

_WIDTH = re.compile(r"[0-9]+$")


def egress_gb(output_tokens: float) -> float:
    """GB that leave a region per streamed answer (prompts are free): ``(answer + tokens × bytes per token) ÷ 10⁹``."""
    return (BYTES_PER_ANSWER + output_tokens * BYTES_PER_STREAMED_TOKEN) / BYTES_PER_GB


def answer_gb(demand: Demand, model: Model, http_requests: float = 1.0) -> float:
    """GB that leave the region for the answer to one call of a demand.

    :func:`egress_gb` of its tokens; of answers that come whole ``(HTTP requests × answer + items × bytes of an item) ÷
    10⁹``.
    """
    items = demand.output_tokens.mean
    if not demand.unit.is_one_pass:
        return egress_gb(items)
    return (http_requests * BYTES_PER_ANSWER + items * _bytes_of_item(demand, model)) / BYTES_PER_GB


def sent_gb(demand: Demand, model: Model, http_requests: float = 1.0) -> float:
    """GB that leave the region for one request that reaches the fleet: ``answer ÷ (1 - share answered by a cache)``.

    A response cache stands beside the fleet, so its answers leave the region too.
    """
    return answer_gb(demand, model, http_requests) / (1 - demand.answered_ratio)


def request_gb(demand: Demand, model: Model, http_requests: float = 1.0) -> float:
    """GB of one call on the wire: ``(HTTP requests × headers and JSON + items × bytes of an item) ÷ 10⁹``."""
    items = demand.output_tokens.mean if demand.unit.is_one_pass else 1.0
    shown = 0.0
    if demand.unit is Unit.TOKENS and demand.pictures is not None:
        shown = demand.pictures.count * demand.pictures.pixels * BYTES_PER_SHOWN_PIXEL
    return (http_requests * BYTES_PER_ANSWER + items * _bytes_sent_of_item(demand, model) + shown) / BYTES_PER_GB


def guesses_outputs(demand: Demand, model: Model) -> bool:
    """Whether the tensors that a graph answers with are not known: :data:`BYTES_PER_LABELS` are counted."""
    is_graph = demand.unit is Unit.IMAGES or (demand.unit is Unit.TEXTS and model.family in FORMATS)
    return is_graph and not model.outputs


def _bytes_sent_of_item(demand: Demand, model: Model) -> float:
    """Bytes of one item of a request: text, sound, tensors of a graph, values of a row; 0 for a picture's prompt.

    An image, and a text for a graph, is sent as the tensors that the graph takes: ``Σ numbers × bytes of a number``.
    """
    size = demand.input_tokens.mean
    match demand.unit:
        case Unit.IMAGES:
            return _tensor_bytes(model.inputs, size) or BYTES_PER_IMAGE
        case Unit.TEXTS if model.inputs and model.family in FORMATS:
            return _tensor_bytes(model.inputs, size)
        case Unit.AUDIO:
            return size / MS_PER_SECOND * BYTES_PER_AUDIO_SECOND
        case Unit.PICTURES:
            return 0.0
        case Unit.ROWS:
            return size * BYTES_PER_COLUMN
        case _:
            return size * BYTES_PER_TEXT_TOKEN


def _tensor_bytes(tensors: Sequence[ModelInput], tokens: float) -> float:
    """Bytes of the tensors of one item in binary; 0 where none is known."""
    return sum(
        math.prod(tokens if size is None else size for size in tensor.shape) * _number_bytes(tensor.type)
        for tensor in tensors
    )


def _number_bytes(numeric_type: str) -> float:
    """Bytes of a number of a type such as fp32 or int64; one of those that state no width, such as bool."""
    width = _WIDTH.search(numeric_type)
    return int(width[0]) / BITS_PER_BYTE if width else 1


def text_bytes(model: Model, tokens: float) -> float:
    """Bytes of the answer to a text of so many tokens in JSON.

    Labels with their scores, a vector for each token, weights of terms, else a vector as wide as the model. Vectors of
    tokens are taken to be as wide where their width is not known, which is the most.
    """
    match model.answer:
        case TextAnswer.LABELS:
            return BYTES_PER_LABELS
        case TextAnswer.VECTORS:
            return tokens * (model.token_numbers or model.hidden) * BYTES_PER_TOKEN_NUMBER
        case TextAnswer.TERMS:
            return TERMS_PER_TEXT * BYTES_PER_TERM
        case _:
            return model.hidden * BYTES_PER_NUMBER


def large_answer_note(demand: Demand, model: Model) -> str:
    """Bytes that are counted for answers of more than one vector, and how to have fewer; "" of all other models."""
    tokens = demand.input_tokens.mean
    kb = text_bytes(model, tokens) / BYTES_PER_KB
    if model.answer is TextAnswer.VECTORS:
        unstated = f"{model.hidden:,} (the most, as none is stated)"
        numbers = f"{model.token_numbers:,}" if model.token_numbers else unstated
        return (
            f"{model.name} answers {numbers} numbers for each token (POST /pooling with task token_embed): "
            f"{kb:,.3g} kB of JSON for {tokens:,.4g} tokens are counted as data transfer; encoding_format base64 takes "
            "a quarter, and POST /rerank answers scores alone"
        )
    if model.answer is TextAnswer.TERMS:
        return (
            f"{model.name} answers weights of terms (POST /embed_sparse): {TERMS_PER_TEXT} terms, {kb:,.3g} kB of "
            "JSON, are counted as data transfer for each text"
        )
    return ""


def _bytes_of_item(demand: Demand, model: Model) -> float:
    """Bytes of what an answer holds of one item: a vector, a score, a transcript, labels, a picture.

    Of a graph the tensors that it puts out: ``Σ numbers × bytes of a number``.
    """
    match demand.unit:
        case _ if model.outputs:
            return _tensor_bytes(model.outputs, demand.input_tokens.mean)
        case Unit.TEXTS if not guesses_outputs(demand, model):
            return BYTES_PER_SCORE if is_reranker(model) else text_bytes(model, demand.input_tokens.mean)
        case Unit.AUDIO:
            return demand.input_tokens.mean / MS_PER_SECOND * BYTES_PER_SPOKEN_SECOND
        case Unit.PICTURES:
            return BYTES_PER_MADE_PIXEL * (demand.pictures.pixels if demand.pictures else _PIXELS)
        case Unit.ROWS:
            return BYTES_PER_COLUMN
        case _:
            return BYTES_PER_LABELS
