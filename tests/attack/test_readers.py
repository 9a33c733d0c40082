"""Damaged documents: only the product's own errors escape from a reader, quickly, whatever was changed."""

import os
from random import Random

import pytest

from attack.readers import READERS, escaped_error

TRIES = int(os.environ.get("ADVISOR_ATTACK_TRIES", "200"))
"""Documents for each reader, fewer where one takes long; ``make fuzz`` tries 1,000 of each."""
SEED = os.environ.get("ADVISOR_ATTACK_SEED", "0")


@pytest.mark.parametrize("name", READERS)
def test_a_sound_document_is_read(name, tmp_path):
    """What is damaged below is read as it is."""
    reader = READERS[name]
    reader.read(reader.sound(), tmp_path)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", READERS)
def test_damaged_documents_are_read_or_refused_in_words(name, tmp_path):
    """No other error escapes, and nothing takes long."""
    reader = READERS[name]
    escaped = {}
    for attempt in range(-(-TRIES // reader.cost)):
        document = reader.damage(reader.sound(), Random(f"{name}/{SEED}/{attempt}"))
        problem = escaped_error(reader, document, tmp_path / str(attempt))
        if problem:
            escaped.setdefault(problem, attempt)
    assert escaped == {}
