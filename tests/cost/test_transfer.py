"""What answers cost on their way to the users."""

import json

import pytest

from advisor.cost.transfer import BYTES_PER_STREAMED_TOKEN, egress_gb, request_gb
from advisor.demand.declared import declared_demand


def test_a_streamed_token_has_about_as_many_bytes_as_counted_here():
    """One event of a streamed chat completion, with its HTTP chunk around it, is within a tenth of the constant."""
    choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    event = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "choices": [choice],
    }
    text = f"data: {json.dumps(event, separators=(',', ':'))}\n\n"
    chunk = f"{len(text):x}\r\n{text}\r\n"

    assert len(chunk.encode()) == pytest.approx(BYTES_PER_STREAMED_TOKEN, rel=0.1)


def test_transfer_by_hand():
    """200 streamed tokens and 700 bytes around them are 50.7 kB: 4.563e-6 USD at 0.09 USD/GB."""
    assert egress_gb(200) == pytest.approx(50_700e-9)
    assert egress_gb(200) * 0.09 == pytest.approx(4.563e-6)


def test_whole_answers_are_smaller_than_streamed_ones():
    """Without streaming the same tokens are plain text in one document."""
    assert egress_gb(200, streamed=False) == pytest.approx((700 + 800) * 1e-9)


def test_a_prompt_by_hand():
    """1,000 tokens of four bytes and 700 bytes of headers and JSON."""
    assert request_gb(declared_demand(1, 1, 1000, 200)) == pytest.approx(4700e-9)
