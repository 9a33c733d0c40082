"""Auditing bills and request logs of any size: time, rows a second and peak memory; prints, asserts nothing.

``python tests/benchmarks/bench_audit.py [FOCUS_ROWS [CSV_ROWS [REQUESTS]]]``; the sizes that the product is held to
are 100,000,000 rows of FOCUS in Parquet, a CSV of 5 GB (14,500,000 rows) and 10,000,000 requests, on two cores.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

ROOT = Path(__file__).parents[2]
SIZES = (2_000_000, 200_000, 1_000_000)
HOURS = 720
_MEASURE = """
import hashlib, resource, sys
from advisor.audit.run import Inputs, audited
from advisor.processes import Spread
spread = Spread(2, sys.argv[3]) if sys.argv[3] else None
if __name__ == "__main__":
    with audited(Inputs((sys.argv[1],), requests=tuple(filter(None, (sys.argv[2],))), spread=spread)) as opened:
        audit = opened.audit
    parts = (audit.kinds, audit.by, audit.split.parts, audit.tags, audit.endpoints)
    print(audit.bill.rows, audit.bill.cost == sum(audit.kinds.values()))
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(max(each.ru_maxrss for each in used) / 1024, sum(each.ru_utime + each.ru_stime for each in used))
    print(hashlib.sha256(repr(parts).encode()).hexdigest()[:8])
"""
_BILL = """
COPY (SELECT
  (hour_cost * (1 + resource % 7))::DECIMAL(20,10) AS BilledCost, (hour_cost * (1 + resource % 7) * 0.8)::DECIMAL(20,10)
  AS EffectiveCost, 'USD' AS BillingCurrency, 'Usage' AS ChargeCategory, service || ' ' || meter AS ChargeDescription,
  TIMESTAMPTZ '2026-10-01 00:00:00+00' + INTERVAL 1 HOUR * (row_number % {hours}) AS ChargePeriodStart,
  TIMESTAMPTZ '2026-10-01 01:00:00+00' + INTERVAL 1 HOUR * (row_number % {hours}) AS ChargePeriodEnd,
  CASE WHEN resource % 9 = 0 THEN 'sp-' || resource % 4 END AS CommitmentDiscountId,
  CASE WHEN resource % 9 = 0 THEN 'Used' END AS CommitmentDiscountStatus, 1.0::DECIMAL(20,10) AS ConsumedQuantity,
  'Hours' AS ConsumedUnit, CASE WHEN resource % 9 = 0 THEN 'Committed' ELSE 'Standard' END AS PricingCategory,
  'AWS' AS ProviderName, ['us-east-1', 'us-west-2', 'eu-west-1'][1 + resource % 3] AS RegionId,
  'arn:aws:ec2:us-east-1:123456789012:instance/i-' || lpad(resource::VARCHAR, 17, '0') AS ResourceId,
  category AS ServiceCategory, service AS ServiceName, meter AS SkuMeter,
  '{{"team": "team-' || resource % 40 || '", "environment": "' || ['prod', 'dev'][1 + resource % 2] || '"}}' AS Tags
FROM (SELECT *, k.s AS service, k.c AS category, k.m AS meter FROM
  (SELECT range AS row_number, range // {hours} AS resource, 0.0123456789 AS hour_cost,
  [{{'s': 'Amazon Elastic Compute Cloud', 'c': 'Compute', 'm': 'BoxUsage:g5.xlarge'}},
   {{'s': 'Amazon Elastic Compute Cloud', 'c': 'Compute', 'm': 'NatGateway-Bytes'}},
   {{'s': 'Amazon Simple Storage Service', 'c': 'Storage', 'm': 'TimedStorage-ByteHrs'}},
   {{'s': 'AmazonCloudWatch', 'c': 'Management and Governance', 'm': 'DataProcessing-Bytes'}}][1 + (range // {hours}) % 4]
  AS k FROM range({rows}))))
TO '{path}' ({options})
"""
_LOG = """
COPY (SELECT strftime(TIMESTAMP '2026-10-01' + INTERVAL 1 SECOND * (range * 2592000.0 / {rows})::BIGINT, '%Y-%m-%dT%H:%M:%SZ')
  AS timestamp, 'endpoint-' || hash(range) % 30 AS endpoint, 'team-' || hash(range + 1) % 12 AS team,
  CASE WHEN hash(range) % 5 = 0 THEN 'dev' ELSE 'prod' END AS environment, (50 + hash(range + 2) % 4000) AS input_tokens,
  (hash(range + 3) % 800) AS output_tokens, CASE WHEN hash(range) % 50 = 0 THEN 500 ELSE 200 END AS status,
  hash(range + 4) % 4 = 0 AS cache_hit, 'tell me about ' || hash(range) % 1000000 AS prompt FROM range({rows}))
TO '{path}' (HEADER)
"""


def write(query: str, path: Path, **values: object) -> Path:
    """Write a made-up table."""
    with duckdb.connect(config={"memory_limit": "1GB", "preserve_insertion_order": False}) as connection:
        connection.execute(query.format(path=path, hours=HOURS, **values))
    return path


def measure(what: str, rows: int, bill: Path, log: Path | None = None, backend: str = "") -> None:
    """Print how long an audit took, the most memory that a process held, and a digest of all its amounts."""
    began = time.perf_counter()
    command = [sys.executable, "-c", _MEASURE, str(bill), str(log or ""), backend]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    seconds = time.perf_counter() - began
    place = log or bill
    size_mb = sum(each.stat().st_size for each in (place.iterdir() if place.is_dir() else (place,))) / 1e6
    print(
        f"{what:<26} {rows:>12,} rows {size_mb:>8,.0f} MB {seconds:>8.1f} s {rows / seconds / 1e6:>6.2f} M rows/s "
        f"{float(said[3]):>6.1f} s of processor {float(said[2]):>6.0f} MiB; parts sum up: {said[1]}; amounts {said[4]}"
    )


def main() -> None:
    """Print the three cases."""
    focus, csv_rows, requests = (int(given) for given in (*sys.argv[1:], *map(str, SIZES[len(sys.argv) - 1 :])))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        parquet = write(_BILL, place / "focus.parquet", rows=focus, options="FORMAT parquet, ROW_GROUP_SIZE 122880")
        measure("FOCUS, Parquet", focus, parquet)
        several = write(_BILL, place / "parts", rows=focus, options="FORMAT parquet, FILE_SIZE_BYTES '64MB'")
        measure("the same in parts", focus, several)
        measure("on two processes", focus, several, backend="loky")
        measure("on a cluster (Dask)", focus, several, backend="dask")
        small = write(_BILL, place / "focus.csv", rows=csv_rows, options="HEADER")
        measure("FOCUS, CSV", csv_rows, small)
        measure("request log, CSV", requests, small, write(_LOG, place / "log.csv", rows=requests))


if __name__ == "__main__":
    main()
