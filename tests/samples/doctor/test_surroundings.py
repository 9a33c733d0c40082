"""What the doctor says about engines, the directory and the clock."""

import os
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples.doctor import State, clock, directory, engine_findings
from samples.sources.engines.exhibits import TGI_PAGE, vllm_page
from services.scripted import always, answer, scripted
from services.server import free_port


def test_an_engine_that_shows_everything():
    """An engine is named with its model and rank."""
    with scripted(always(answer(vllm_page("llama")))) as server:
        (finding,) = engine_findings([server.url])
    assert (finding.subject, finding.state) == (f"{server.url}/metrics", State.OK)
    assert finding.sees == "vllm: llama (rank 0)"


def test_an_engine_that_shows_less():
    """What the page of an engine lacks is said."""
    with scripted(always(answer(TGI_PAGE))) as server:
        (finding,) = engine_findings([server.url])
    assert finding.state is State.LIMITED
    assert "share of the KV cache that requests occupy" in finding.troubles[0].what
    assert "time to first token" in finding.troubles[0].what
    assert finding.sees == "tgi: a model it does not name (rank 0)"


@pytest.mark.parametrize(
    ("page", "fix"),
    [
        (answer("", "404 Not Found"), "path of its metrics page"),
        (answer("", "401 Unauthorized"), "credentials"),
        (answer("hello\n"), "--enable-metrics"),
        (answer("", "500 Internal Server Error"), "see that it serves"),
    ],
)
def test_an_engine_that_does_not_serve(page, fix):
    """Each way in which an engine does not answer has its remedy."""
    with scripted(always(page)) as server:
        (finding,) = engine_findings([server.url])
    assert finding.state is State.BROKEN
    assert fix in finding.troubles[0].fix


def test_an_engine_that_is_not_there():
    """A refused connection is said, and where to look."""
    (finding,) = engine_findings([f"http://ann:secret@127.0.0.1:{free_port()}"])
    assert finding.troubles[0].what == "connection refused"
    assert "secret" not in str(finding)


def test_an_address_that_is_none():
    """An address that cannot be asked is an error."""
    with pytest.raises(InputError, match="not an http or https URL"):
        engine_findings(["ftp://engine"])


def test_a_directory_that_will_be_made(tmp_path):
    """A directory that is not there yet is judged by where it will be, and is not made."""
    finding = directory(tmp_path / "new" / "samples", low_bytes=0)
    assert finding.state is State.OK
    assert "GiB free" in finding.sees
    assert not (tmp_path / "new").exists()


def test_little_room(tmp_path):
    """A disk that is nearly full is said before rows are lost."""
    finding = directory(tmp_path, low_bytes=1 << 62)
    assert (finding.state, finding.troubles[0].what) == (State.LIMITED, "there is little room for samples")


def test_a_file_in_place_of_a_directory(tmp_path):
    """A file cannot hold samples."""
    (tmp_path / "file").write_text("")
    assert "is not a directory" in directory(tmp_path / "file" / "samples").troubles[0].what


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="everything can be written here")
def test_a_directory_that_cannot_be_written():
    """A read-only place is broken, with what to do."""
    finding = directory(Path("/proc/self"))
    assert finding.state is State.BROKEN
    assert finding.troubles[0].what.startswith("cannot write to /proc/self: ")


def test_the_clock_is_judged():
    """The clock is synchronised, not synchronised, or cannot be seen; nothing else."""
    finding = clock()
    assert (finding.state in (State.OK, State.UNKNOWN)) == (not finding.troubles)
