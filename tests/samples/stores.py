"""Stores for tests: records as files, and what readers make of them."""

import pyarrow as pa

from advisor.demand.recorded import DEMAND_COLUMNS, kept, views_of_engines
from advisor.samples.metrics import Scope
from advisor.samples.need.fleet import Fleet
from advisor.samples.places import day_folder, day_of
from advisor.samples.query.embedded import engine_rows
from advisor.samples.store.reading import Store
from advisor.samples.store.row_tables import columns_of_scope, encode_table, merged, tables_of


def views_of_store(store, window=None):
    """Each model on each rank of each endpoint that each host's agent read, over a window or all time."""
    asked = window or store.days()
    return kept(store.answers(asked, _views_of_hosts)) if asked is not None else []


def _views_of_hosts(hosts):
    return views_of_engines(engine_rows(hosts.rows_by_day(Scope.ENGINE, DEMAND_COLUMNS), DEMAND_COLUMNS), hosts)


def store(directory, records, name="0"):
    """Files of some records by host and date, as compaction writes an hour's."""
    by_place = {}
    for record in records:
        by_place.setdefault((record.target.host, day_of(record.end_us)), []).append(record)
    for (host, day), some in by_place.items():
        folder = day_folder(directory, day, host)
        folder.mkdir(parents=True, exist_ok=True)
        for scope, table in tables_of(some).items():
            kind = "rows" if scope == "accelerator" else "engines"
            number = len(list(folder.glob(f"{kind}-*")))
            (folder / f"{kind}-{name}-{number}.parquet").write_bytes(encode_table(merged([table], scope)))


def read_back(directory, columns=(), scope=Scope.ACCELERATOR):
    """All rows and gaps of a store as a reader gets them, by host and date, and what was left out."""
    reader = Store([str(directory)])
    window = reader.days()
    tables = [columns_of_scope(scope).empty_table()]
    if window is not None:
        tables += [
            table
            for group in reader.answers(window, lambda hosts: list(hosts.rows_by_day(scope, columns)))
            for table in group
        ]
    return pa.concat_tables(tables, promote_options="default"), reader.notes()


def fleet_of(directory):
    """Accelerators of a directory, counted, and what each needs."""
    reader = Store([str(directory)])
    return Fleet.of(reader, reader.days())
