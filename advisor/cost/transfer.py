"""Cost of the answers on their way to the users: data that leaves a region is paid for by the GB."""

from advisor.units import BYTES_PER_GB

BYTES_PER_TEXT_TOKEN = 4
"""UTF-8 bytes of an average English token (OpenAI's rule of thumb: a token is four characters)."""
BYTES_PER_STREAMED_TOKEN = 250
"""One server-sent event with one token of an OpenAI-style chat completion: its JSON names id, model, time and choice
anew each time. As vLLM writes it, with a line of HTTP chunking around it; a test counts the bytes."""
BYTES_PER_ANSWER = 700
"""Headers and the rest of the JSON around an answer, once a request."""


def egress_gb(output_tokens: float, *, streamed: bool = True) -> float:
    """GB that leave the region for one answer: ``(answer + tokens × bytes per token) ÷ 10⁹``.

    Prompts come in free of charge.
    """
    per_token = BYTES_PER_STREAMED_TOKEN if streamed else BYTES_PER_TEXT_TOKEN
    return (BYTES_PER_ANSWER + output_tokens * per_token) / BYTES_PER_GB


def request_gb(input_tokens: float) -> float:
    """GB of one prompt on the wire: ``(headers and JSON + tokens × bytes per token) ÷ 10⁹``."""
    return (BYTES_PER_ANSWER + input_tokens * BYTES_PER_TEXT_TOKEN) / BYTES_PER_GB
