"""A price list of 1,000,000 rows: seconds and memory of reading it, as a public file and in pages of the real boto3.

Must reach: under 60 s and under 400 MB. Beside it the same file read with nothing but ``csv.reader``, as the unit.
"""

import csv
import json
import os
import resource
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = 1_000_000
MIB = 1024
_HEADER = (
    "SKU", "OfferTermCode", "RateCode", "TermType", "PriceDescription", "EffectiveDate", "StartingRange", "EndingRange",
    "Unit", "PricePerUnit", "Currency", "LeaseContractLength", "PurchaseOption", "OfferingClass", "Product Family",
    "serviceCode", "Location", "Instance Type", "Instance Family", "vCPU", "Memory", "Tenancy", "Operating System",
    "License Model", "operation", "CapacityStatus", "Pre Installed S/W", "Region Code",
)  # fmt: skip


def row(number: int) -> list[str]:
    """One line of the file: one in twenty is of an accelerated machine."""
    accelerated = number % 20 == 0
    reserved = number % 3 == 0
    name = "g6.xlarge" if accelerated else f"m7i.{number % 50}xlarge"
    family = "GPU instance" if accelerated else "General purpose"
    terms = ("1yr", "No Upfront", "standard") if reserved else ("", "", "")
    return [
        f"SKU{number % 4000}", f"T{number % 7}", f"R{number}", "Reserved" if reserved else "OnDemand",
        f"$0.8048 per On Demand Linux {name} Instance Hour", "2026-11-01", "0", "Inf", "Hrs", "0.8048000000", "USD", *terms,
        "Compute Instance", "AmazonEC2", "US East (N. Virginia)", name, family, "4", "16 GiB", "Shared", "Linux",
        "No License required", "RunInstances", "Used", "NA", "us-east-1",
    ]  # fmt: skip


def public_chunks():
    """The file, 1,000 lines at a time."""
    quoted = lambda cells: ",".join(f'"{cell}"' for cell in cells)  # noqa: E731 - one line of CSV
    yield '"FormatVersion","v1.0"\n"Disclaimer","none"\n"Publication Date","2026-11-20"\n"Version","1"\n"OfferCode","AmazonEC2"\n'
    yield quoted(_HEADER) + "\n"
    for start in range(0, ROWS, 1000):
        yield "".join(quoted(row(number)) + "\n" for number in range(start, start + 1000))


def page(start: int) -> bytes:
    """A page of 100 products with ten prices each."""
    listed = []
    for number in range(start, start + 100):
        cells = (
            dict(zip(_HEADER, row(number * 10), strict=True))
            if number % 20 == 0
            else dict(zip(_HEADER, row(1), strict=True))
        )
        attributes = {
            "instanceType": cells["Instance Type"],
            "instanceFamily": cells["Instance Family"],
            "regionCode": "us-east-1",
        }
        rate = {"unit": "Hrs", "pricePerUnit": {"USD": "0.8048000000"}}
        bought = {"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": "No Upfront"}
        reserved = {
            f"R{n}": {"effectiveDate": "2026-11-01T00:00:00Z", "priceDimensions": {"d": rate}, "termAttributes": bought}
            for n in range(9)
        }
        demand = {"O": {"effectiveDate": "2026-11-01T00:00:00Z", "priceDimensions": {"d": rate}, "termAttributes": {}}}
        listed.append(
            json.dumps({"product": {"attributes": attributes}, "terms": {"OnDemand": demand, "Reserved": reserved}})
        )
    answer = {"FormatVersion": "aws_v1", "PriceList": listed}
    if (start + 100) * 10 < ROWS:
        answer["NextToken"] = str(start + 100)
    return json.dumps(answer).encode()


class Prices(BaseHTTPRequestHandler):
    """Both services."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The public file, in chunks."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text in public_chunks():
            body = text.encode()
            self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self) -> None:
        """GetProducts."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = page(int(asked.get("NextToken") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Say nothing."""


def reader(kind: str, url: str) -> None:
    """In a process of its own: read everything, and print seconds, rows and peak memory."""
    sys.path.insert(0, str(ROOT))
    import datetime as dt  # noqa: PLC0415 - the parent needs none of this

    from advisor.catalog.refresh import aws, aws_public  # noqa: PLC0415

    started = time.perf_counter()
    if kind == "public":
        tasks = aws_public.tasks(["us-east-1"], ["g6.xlarge"], url)
    else:
        import boto3  # noqa: PLC0415

        os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        now = dt.datetime.now(dt.UTC)
        tasks = aws.tasks(["us-east-1"], boto3.Session(), ["g6.xlarge"], lambda: now, url, ("prices",))
    rows = len(set(next(tasks).read()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": rows, "mib": peak}))


def main() -> None:
    """Serve, read in a child, compare with plain ``csv.reader``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prices)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    started = time.perf_counter()
    count = sum(1 for text in public_chunks() for _ in csv.reader(text.splitlines()))
    unit = time.perf_counter() - started
    print(f"{count:,} lines made and split with csv.reader alone: {unit:.1f} s (the unit)")
    for kind in ("public", "pages"):
        command = [sys.executable, __file__, kind, url]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
        found = json.loads(ran.stdout)
        ratio = found["seconds"] / unit
        print(
            f"{kind}: {ROWS:,} prices in {found['seconds']:.1f} s ({ratio:.1f} units), {found['mib']:.0f} MiB, {found['rows']} rows kept"
        )
    server.shutdown()


if __name__ == "__main__":
    reader(*sys.argv[1:]) if len(sys.argv) > 1 else main()
