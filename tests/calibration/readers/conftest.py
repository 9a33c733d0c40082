"""Reading the sample files, and texts that a test writes."""

from pathlib import Path

import pytest

from advisor.calibration.readers import read_measurements

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def sample():
    """Read a sample file, measured on an H100 unless told otherwise."""

    def read(name, **told):
        return read_measurements(SAMPLES / name, {"accelerator": "H100-SXM"} | told)

    return read


@pytest.fixture
def read_text(tmp_path):
    """Read a text as a file of that name."""

    def read(text, name="measured.csv", **told):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_measurements(tmp_path / name, told)

    return read
