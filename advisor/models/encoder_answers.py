"""Servers of text encoders that answer more than one vector: one for each token, or weights of terms."""

from collections.abc import Sequence
from functools import lru_cache

from advisor.data_files import data_dir
from advisor.models.model import Model, TextAnswer
from advisor.records import dataclass, replace
from advisor.tables import read_records


@dataclass(frozen=True, slots=True)
class AnswerServer:
    """A server that gives one kind of answer of encoders of a type."""

    answer: TextAnswer
    model_type: str
    """``model_type`` of the encoder's configuration."""
    engine: str
    """Server as in engines.csv."""
    vendors: tuple[str, ...]
    """Vendors of accelerators on which it gives this answer."""
    option: str
    """Option of its command line that sets it up."""
    call: str
    """Path that clients ask for the answer, and what they send there."""

    def runs(self, engine: str, vendor: str) -> bool:
        """Whether it is an engine on accelerators of a vendor."""
        return engine == self.engine and vendor in self.vendors


@lru_cache(maxsize=1)
def _answer_servers() -> Sequence[AnswerServer]:
    """Rows of the table, in its order."""
    rows = read_records(data_dir("instance_catalog") / "encoder_answers.csv")
    return tuple(row.value(AnswerServer, answer=row.choice("answer", TextAnswer)) for row in rows)


def answering(model: Model, answer: TextAnswer, model_type: str, token_numbers: int | None = None) -> Model:
    """A text encoder with its answer, and the parameters that this takes behind its layers.

    Late interaction takes ``width × numbers of a token's vector``. A sparse encoder has the head of a masked language
    model in place of a pooler: ``width² + width`` of its transform, ``2 · width`` of its norm and a bias for each word,
    whose decoder is the embeddings again.

    Args:
        model: the encoder.
        answer: to one text.
        model_type: of its configuration, by which servers load it.
        token_numbers: numbers of the vector of each token; None: not known, or it answers none.
    """
    if not needs_own_server(answer):
        return replace(model, answer=answer)
    width, parts = model.hidden, model.surroundings
    parts = replace(parts, head=width * (token_numbers or 0))
    if answer is TextAnswer.TERMS:
        pooler = width * width + width
        other = parts.other - pooler if parts.other >= pooler else parts.other
        parts = replace(parts, head=width * width + 3 * width + model.vocab, other=other)
    return replace(model, answer=answer, answer_type=model_type, token_numbers=token_numbers, surroundings=parts)


def needs_own_server(answer: TextAnswer) -> bool:
    """Whether servers of embeddings do not give an answer by themselves."""
    return answer in (TextAnswer.VECTORS, TextAnswer.TERMS)


def answer_servers(answer: TextAnswer, model_type: str) -> Sequence[AnswerServer]:
    """Servers that give an answer of encoders of a type; empty: none is known."""
    return [server for server in _answer_servers() if (server.answer, server.model_type) == (answer, model_type)]


def planned_types(answer: TextAnswer) -> Sequence[str]:
    """Types of the encoders of which some server gives an answer."""
    return [server.model_type for server in _answer_servers() if server.answer is answer]


def gives_answer(engine: str, vendor: str, model: Model) -> bool:
    """Whether a server of models of texts gives the answer of one, on accelerators of a vendor."""
    servers = answer_servers(model.answer, model.answer_type)
    return not needs_own_server(model.answer) or any(server.runs(engine, vendor) for server in servers)


def answered_where(model: Model) -> str:
    """Vendors of accelerators on which servers give the answer of a model; "" where those of embeddings do."""
    servers = answer_servers(model.answer, model.answer_type)
    parts = [
        f"{server.engine} answers {model.answer} of each text on {', '.join(server.vendors)}" for server in servers
    ]
    return " and ".join(parts) and f"{' and '.join(parts)} alone"


def answer_options(engine: str, answer: TextAnswer, model_type: str) -> tuple[str, ...]:
    """Options by which a server gives an answer; none where it gives that by itself."""
    return tuple(server.option for server in answer_servers(answer, model_type) if server.engine == engine)


def answer_call(answer: TextAnswer, model_type: str) -> str:
    """How clients ask for an answer; "" for one that every server of embeddings gives where embeddings are asked."""
    return next((server.call for server in answer_servers(answer, model_type)), "")
