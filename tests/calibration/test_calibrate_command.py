"""``advisor calibrate`` as it is used: files in, tables and a directory out, errors that say what to do."""

import json

import pytest

from advisor.calibration.readers import write_own_csv
from fleets import fleet


@pytest.fixture(scope="module")
def own_csv(tmp_path_factory):
    """A fleet that is 30 % slower than published, as a table."""
    path = tmp_path_factory.mktemp("own") / "own.csv"
    path.write_text(write_own_csv(fleet(slower=1.3)))
    return path


@pytest.fixture(scope="module")
def calibrated(own_csv, run_advisor, tmp_path_factory):
    """The directory that was written, and what was printed."""
    directory = tmp_path_factory.mktemp("calibration") / "mine"
    done = run_advisor("calibrate", str(own_csv), "--output", str(directory))
    assert done.returncode == 0, done.stderr
    return directory, done


def test_it_prints_accuracy_before_and_after(calibrated):
    """Own rows and published rows each have their table."""
    _, done = calibrated
    assert "unseen cell" in done.stdout
    assert "published measurements of other cells, which the fit has seen, before and after" in done.stdout
    assert "use it with --calibration" in done.stderr


def test_predictions_with_it_follow_the_fleet(calibrated, run_advisor):
    """A measured set-up is predicted slower than by the shipped calibration, and says that it was measured."""
    directory, _ = calibrated
    one = fleet(slower=1.0)[0]
    question = [
        "--model", one.setup.model, "--accelerator", one.setup.accelerator, "--precision", one.setup.precision,
        "--accelerator-count", str(one.setup.accelerator_count), "--engine", one.setup.engine,
        "--input-tokens", str(one.input_tokens), "--output-tokens", str(one.output_tokens),
        "--concurrency", str(one.concurrency), "--format", "json",
    ]  # fmt: skip
    before = json.loads(run_advisor("predict", *question).stdout)
    after = json.loads(run_advisor("predict", *question, "--calibration", str(directory)).stdout)
    assert after["tpot_ms"] > 1.1 * before["tpot_ms"]
    assert after["evidence"] == "measured"


def test_what_is_left_out_is_listed(own_csv, run_advisor, tmp_path):
    """Impossible and unreadable numbers are named with their place; the rest is learned from."""
    lines = own_csv.read_text().splitlines()
    place = lines[0].split(",").index("tpot_ms")
    cells = lines[1].split(",")
    spoilt = [",".join([*cells[:place], value, *cells[place + 1 :]]) for value in ("0.01", "nan")]
    path = tmp_path / "spoilt.csv"
    path.write_text("\n".join([*lines, *spoilt]) + "\n")
    done = run_advisor("calibrate", str(path), "--output", str(tmp_path / "out"))
    assert done.returncode == 0
    assert f"{path}:{len(lines) + 1}" in done.stderr
    assert "bound of memory bandwidth" in done.stderr
    assert f"{path}:{len(lines) + 2}" in done.stderr


def test_nothing_left_is_an_error_with_the_reasons(run_advisor, tmp_path):
    """A file of which no row can be used ends with exit code 1 and writes nothing."""
    path = tmp_path / "none.csv"
    header = "model,accelerator,input_tokens,output_tokens,concurrency,tpot_ms"
    path.write_text(f"{header}\nmeta-llama/Llama-3.1-8B-Instruct,H100-SXM,1024,256,16,0.001\n")
    done = run_advisor("calibrate", str(path), "--output", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "no measurement is left" in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_file_is_wrong_usage(run_advisor):
    """Without a file there is nothing to do."""
    assert run_advisor("calibrate").returncode == 2


def test_a_directory_that_is_no_calibration_is_refused(run_advisor, tmp_path):
    """--calibration of a directory without one names the file that is missing."""
    done = run_advisor(
        "predict", "--model", "Qwen/Qwen3-32B", "--accelerator", "L40S", "--calibration", str(tmp_path)
    )  # fmt: skip
    assert done.returncode == 1
    assert "constants.csv" in done.stderr


def test_models_that_answer_in_one_pass_are_listed(run_advisor, tmp_path):
    """What is read and not learned from is named, never dropped in silence."""
    header = "model,accelerator,scenario,input_tokens,output_tokens,concurrency,tpot_ms,samples_per_second"
    path = tmp_path / "mixed.csv"
    path.write_text(
        f"{header}\nBAAI/bge-base-en-v1.5,L4,saturated,128,,,,900\n"
        "meta-llama/Llama-3.1-8B-Instruct,H100-SXM,fixed_concurrency,1024,256,16,12,\n"
    )
    done = run_advisor("calibrate", str(path), "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "answers in one pass" in done.stderr
    assert f"{path}:2" in done.stderr


def test_a_directory_that_cannot_be_made_is_said(own_csv, run_advisor, tmp_path):
    """An output below a file is an error with its path, not a bug."""
    (tmp_path / "file").write_text("")
    done = run_advisor("calibrate", str(own_csv), "--output", str(tmp_path / "file" / "mine"))
    assert done.returncode == 1
    assert str(tmp_path / "file" / "mine") in done.stderr
