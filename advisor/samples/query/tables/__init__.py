"""The same Parquet files past one machine: DuckDB, Spark, ClickHouse or BigQuery, by changing an address."""

from advisor.samples.query.tables.backend import TablesBackend

__all__ = ["TablesBackend"]
