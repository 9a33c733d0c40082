"""One question, one answer, on DuckDB, on a Spark cluster of separate processes and on ClickHouse."""

import importlib.util
import shutil
import warnings

import pytest

from advisor.errors import InputError
from advisor.samples.query.tables import TablesBackend
from advisor.samples.query.tables.questions import Tables, summary
from advisor.samples.query.values import Window
from samples.query.fleets import END_US
from samples.query.parquet_fleets import METRICS, write_engines, write_rows, write_ticks
from samples.query.reference import assert_same, reference

WINDOW = Window(END_US - 3_600_000_000, END_US)
CLUSTER = "local-cluster[2,1,1024]"


def missing(*modules: str) -> str:
    """Why an engine cannot be tried; "" where it can."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if "pyspark" in modules and shutil.which("java") is None:
        absent.append("java")
    return f"not installed: {', '.join(absent)} (pip install -e '.[test,engines]')" if absent else ""


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Files of every kind, and the rows in them."""
    directory = tmp_path_factory.mktemp("samples")
    made = [write_rows(directory, WINDOW, 3, 2), write_ticks(directory, WINDOW), write_engines(directory, WINDOW)]
    return directory, made


def parameter(name: str, *modules: str, marks=()):
    """An engine that is left out where it is not installed."""
    why = missing(*modules)
    return pytest.param(name, marks=[pytest.mark.skipif(bool(why), reason=why), *marks])


IN_PROCESS = [parameter("duckdb", "ibis", "duckdb"), parameter("clickhouse", "ibis", "chdb")]
CLUSTERS = [parameter("pyspark", "ibis", "pyspark", marks=[pytest.mark.slow])]


@pytest.fixture(scope="module")
def opened(samples):
    """Opens an engine that looks at the files, each once."""
    known = {}

    def backend(name: str) -> TablesBackend:
        if name not in known:
            where, options = (CLUSTER, "&spark.sql.shuffle.partitions=2") if name == "pyspark" else ("", "")
            known[name] = TablesBackend(f"{name}://{where}?samples={samples[0]}{options}")
        return known[name]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield backend
        if "pyspark" in known:
            session = importlib.import_module("pyspark.sql").SparkSession.getActiveSession()
            processes = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size()
            session.stop()
            assert processes == 3, "a driver and two workers"


def answers(made, metrics, window, row_seconds):
    """What has to come out, in order."""
    rows = {(one.accelerator, one.metric): one for one in made.rows}
    accelerators = sorted({who for who, _ in rows})
    return [
        answer for who in accelerators for metric in metrics
        if (who, metric) in rows and (answer := reference(rows[who, metric], window, row_seconds)) is not None
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*IN_PROCESS, *CLUSTERS])
def test_every_engine_gives_the_answers_of_the_rows(opened, samples, name):
    """Old and new files, gaps, unknown values, rows that are there twice, renamed hosts: as NumPy says."""
    rows, ticks, _ = samples[1]
    expected = answers(rows, METRICS, WINDOW, 15) + answers(ticks, METRICS, WINDOW, 1)
    assert_same(list(opened(name).summaries(METRICS, WINDOW)), expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", IN_PROCESS)
def test_what_the_files_hold(opened, samples, name):
    """Serving engines have summaries too; accelerators, metrics and the window are those of the rows."""
    rows, _, engines = samples[1]
    engine = opened(name)
    assert_same(
        list(engine.summaries(["requests_waiting"], WINDOW)), answers(engines, ["requests_waiting"], WINDOW, 15)
    )
    assert set(engine.accelerators(WINDOW)) == {one.accelerator for made in samples[1] for one in made.rows}
    assert engine.metrics(WINDOW) == ["memory_used_bytes", "busy_ratio", "requests_waiting"]
    ends = rows.rows[0].end_us
    assert engine.window() == Window(int(ends[0]) - 15_000_000, int(ends[-1]))
    expected = answers(rows, ["busy_ratio"], WINDOW, 15)[0]
    assert_same([engine.summary(expected.accelerator, "busy_ratio", WINDOW)], [expected])
    assert engine.summary(expected.accelerator, "ttft_seconds", WINDOW) is None


@pytest.mark.skipif(bool(missing("ibis")), reason=missing("ibis"))
@pytest.mark.parametrize("name", ["BigQuery", "Snowflake", "Trino"])
def test_the_question_compiles_for_what_cannot_be_reached_here(name):
    """The SQL for further engines uses counts and windows only: nothing that they estimate."""
    module = importlib.import_module(f"ibis.backends.sql.compilers.{name.lower()}")
    compiler = getattr(module, f"{name}Compiler")()
    tables = Tables({"rows": frozenset({"busy_ratio", "busy_ratio_max"})}, 1.0)
    text = compiler.to_sqlglot(summary(tables, "busy_ratio", WINDOW)).sql(compiler.dialect)
    assert "OVER (PARTITION BY" in text
    assert "QUANTILE" not in text.upper()


@pytest.mark.parametrize(
    ("url", "words", "hint"),
    [
        ("oracle://x", "no engine is called oracle", "duckdb"),
        ("duckdb://", "does not say where the samples are", "duckdb://…?samples=DIR"),
        ("duckdb://?samples=/nowhere/at/all", "cannot look through the directory", "object-storage"),
    ],
)
def test_what_the_user_can_mend(url, words, hint):
    """An engine or place that is not there is one plain error."""
    with pytest.raises(InputError, match=words) as caught:
        TablesBackend(url)
    assert hint in caught.value.hint


def test_a_directory_without_samples(tmp_path):
    """It says how to get some."""
    with pytest.raises(InputError, match="no samples here"):
        TablesBackend(f"duckdb://?samples={tmp_path}")
