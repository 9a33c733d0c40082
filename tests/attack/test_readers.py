"""Damaged documents: only the product's own errors escape from a reader, quickly, whatever was changed."""

import os
import shutil
import time
import traceback
from random import Random

import pytest

from advisor.errors import AdvisorError
from attack.readers import READERS

TRIES = int(os.environ.get("ADVISOR_ATTACK_TRIES", "200"))
"""Documents for each reader, fewer where one takes long; ``make fuzz`` tries 1,000 of each."""
SEED = os.environ.get("ADVISOR_ATTACK_SEED", "0")
LONGEST_SECONDS = 5
"""Of the processor: the machine may be shared."""


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
        problem = _escaped(reader, document, tmp_path / str(attempt))
        if problem:
            escaped.setdefault(problem, attempt)
    assert escaped == {}


def _escaped(reader, document, directory) -> str:
    """What a reader let through that is no error of the product: the error and where it came from; "" for nothing."""
    directory.mkdir()
    start = time.process_time()
    try:
        reader.read(document, directory)
    except AdvisorError as error:
        return "" if str(error).strip() else "an error without words"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:80]} ({place.filename}:{place.lineno})"
    finally:
        shutil.rmtree(directory)
    return "" if time.process_time() - start < LONGEST_SECONDS else "more than five seconds of the processor"
