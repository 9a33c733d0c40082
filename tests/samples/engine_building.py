"""Files of serving engines' rows, as compaction writes them."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq

from samples.records import DAY as MIDNIGHT

METADATA = {"advisor.samples.schema": "advisor.samples/v2", "advisor.samples.interval_seconds": "15.0"}


def engine_rows(
    directory,
    rows,
    *,
    host="host-a",
    endpoint="http://localhost:8000/metrics",
    rank=0,
    name="engines-a",
    model="a-model",
):
    """A file of engines with those rows: (second, values or a reason)."""
    table = []
    for second, values in rows:
        row = {
            "timestamp": MIDNIGHT + dt.timedelta(seconds=second), "host": host, "engine": "vllm", "endpoint": endpoint,
            "model": model, "rank": rank, "missed_ticks": 0, "gap_reason": None, "read_errors": None,
        }  # fmt: skip
        table.append({**row, **(values if isinstance(values, dict) else {"gap_reason": values, "missed_ticks": 15})})
    folder = directory / f"date={MIDNIGHT:%Y-%m-%d}" / f"host={host}"
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in table for name in row))
    columns = pa.table({column: [row.get(column) for row in table] for column in names})
    pq.write_table(columns.replace_schema_metadata(METADATA), folder / f"{name}.parquet", write_page_checksum=True)
