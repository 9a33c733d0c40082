"""Engines that run Ibis expressions over the files; each knows the files as tables ``rows``, ``engines`` and ``ticks``.

Tables of an expression are unbound: a name and the columns that are asked for. An engine compiles and runs it.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlencode

from advisor.errors import InputError
from advisor.samples.query.tables.files import Files

Options = Mapping[str, str]
"""What an address says after ``?``, besides where the samples are; Spark takes its settings from it."""
_INSTALL = "pip install 'advisor[scale]'"


class Engine(Protocol):
    """Something that runs expressions."""

    def columns(self, table: str) -> frozenset[str]:
        """Columns of a table."""
        ...

    def run(self, expression: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - Ibis is optional
        """Rows of an expression's answer."""
        ...


def open_engine(url: str, files: Callable[[str], Files]) -> tuple[Engine, Files]:
    """The engine of an address, with the files at ``?samples=PLACE`` as its tables.

    Args:
        url: ``duckdb://?samples=PLACE``, ``pyspark://MASTER?samples=PLACE``, ``clickhouse://?samples=PLACE`` (in this
            process) or ``clickhouse://HOST:PORT/DATABASE``, ``bigquery://PROJECT/DATASET`` (tables that exist there).
        files: looks through a place.

    Raises:
        InputError: there is no such engine, it is not installed, or it cannot be reached.
    """
    scheme, _, rest = url.partition("://")
    where, _, query = rest.partition("?")
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    place = options.pop("samples", "")
    if scheme not in _OPENERS:
        raise InputError(f"no engine is called {scheme}", where=url, hint=f"one of: {', '.join(_OPENERS)}")
    needs_files = scheme in {"duckdb", "pyspark"} or (scheme == "clickhouse" and not where)
    if needs_files and not place:
        raise InputError("the address does not say where the samples are", where=url, hint=f"{scheme}://…?samples=DIR")
    found = files(place) if needs_files else Files({"rows": "rows", "engines": "engines"})
    try:
        return _OPENERS[scheme](unquote(where), found, options), found
    except ImportError as error:
        raise InputError(f"{error.name or error} is not installed", where=url, hint=_HINTS[scheme]) from error


class _Connected:
    """An Ibis backend that has the tables."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - Ibis is optional
        """Take a connection whose tables exist."""
        self._connection = connection

    def columns(self, table: str) -> frozenset[str]:
        """Columns of a table."""
        return frozenset(self._connection.table(table).columns)

    def run(self, expression: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - Ibis is optional
        """Rows of an expression's answer."""
        rows: list[dict[str, Any]] = self._connection.to_pyarrow(expression).to_pylist()
        return rows


class _InProcessClickHouse:
    """ClickHouse in this process; Ibis has no connection to it, so the SQL that it compiles is run."""

    def __init__(self, files: Files) -> None:
        """Name the files.

        Raises:
            ImportError: chdb is not installed.
        """
        from ibis.backends.sql.compilers.clickhouse import ClickHouseCompiler  # noqa: PLC0415 - optional

        self._session: Any = import_module("chdb.session").Session()
        self._compiler = ClickHouseCompiler()
        self._session.query("SET use_hive_partitioning = 0, input_format_parquet_case_insensitive_column_matching = 0")
        for table, pattern in files.patterns.items():
            source = _clickhouse_source(pattern)
            view = f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM {source}"  # noqa: S608 - quoted, and a view's text
            self._session.query(view)

    def columns(self, table: str) -> frozenset[str]:
        """Columns of a table."""
        return frozenset(row["name"] for row in self._rows(f"DESCRIBE TABLE {table}"))

    def run(self, expression: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - Ibis is optional
        """Rows of an expression's answer."""
        return self._rows(self._compiler.to_sqlglot(expression).sql("clickhouse"))

    def _rows(self, query: str) -> list[dict[str, Any]]:
        import pyarrow as pa  # noqa: PLC0415 - loads with the engine

        answer = self._session.query(query, "ArrowStream")
        with pa.ipc.open_stream(pa.py_buffer(answer.bytes())) as reader:
            rows: list[dict[str, Any]] = reader.read_all().to_pylist()
        return rows


def _clickhouse_source(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("'", "\\'")
    if "://" not in pattern:
        return f"file('{escaped}', 'Parquet')"
    function = "gcs" if pattern.startswith("gs://") else "s3"
    return f"{function}('{escaped}', 'Parquet')"


def _duckdb(where: str, files: Files, options: Options) -> Engine:  # noqa: ARG001 - it takes none
    import ibis  # noqa: PLC0415 - optional

    connection = ibis.duckdb.connect(where or ":memory:")
    connection.raw_sql("SET TimeZone = 'UTC'")
    for table, pattern in files.patterns.items():
        connection.read_parquet(pattern, table_name=table, hive_partitioning=False, union_by_name=True)
    return _Connected(connection)


def _pyspark(where: str, files: Files, options: Options) -> Engine:
    import ibis  # noqa: PLC0415 - optional
    from pyspark.sql import SparkSession  # noqa: PLC0415 - optional, and large

    builder = SparkSession.builder.appName("advisor").config("spark.sql.session.timeZone", "UTC")
    if where:
        builder = builder.remote(where) if where.startswith("sc://") else builder.master(where)
    for name, value in {"spark.ui.enabled": "false", **options}.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    for table, pattern in files.patterns.items():
        reader = session.read.option("mergeSchema", "true").option("recursiveFileLookup", "true")
        reader.parquet(pattern).createOrReplaceTempView(table)
    return _Connected(ibis.pyspark.connect(session))


def _clickhouse(where: str, files: Files, options: Options) -> Engine:
    if not where:
        return _InProcessClickHouse(files)
    import ibis  # noqa: PLC0415 - optional

    return _Connected(ibis.connect(_address("clickhouse", where, options)))


def _bigquery(where: str, files: Files, options: Options) -> Engine:  # noqa: ARG001 - its tables exist
    import ibis  # noqa: PLC0415 - optional

    return _Connected(ibis.connect(_address("bigquery", where, options)))


def _address(scheme: str, where: str, options: Options) -> str:
    return f"{scheme}://{where}?{urlencode(options)}" if options else f"{scheme}://{where}"


_OPENERS: dict[str, Callable[[str, Files, Options], Engine]] = {
    "duckdb": _duckdb,
    "pyspark": _pyspark,
    "clickhouse": _clickhouse,
    "bigquery": _bigquery,
}
_HINTS = {
    "duckdb": _INSTALL,
    "pyspark": "pip install 'advisor[spark]', and Java 17 or newer",
    "clickhouse": "pip install 'advisor[clickhouse]'",
    "bigquery": "pip install 'ibis-framework[bigquery]'",
}
ENGINES: Sequence[str] = tuple(_OPENERS)
