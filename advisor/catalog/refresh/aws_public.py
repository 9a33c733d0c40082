"""AWS without an account: the public price files, hundreds of megabytes for a region, read as they arrive.

Facts: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api.html, read in
November 2026. They hold on-demand and reserved prices; spot, hardware and capacity blocks need an account.
"""

import codecs
import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from advisor.catalog.refresh.aws import ACCELERATED_FAMILIES, PAYMENTS, RESERVED, hours_of
from advisor.catalog.refresh.http import short_words
from advisor.catalog.refresh.values import CommittedRow, Denied, PriceRow, Row, Sold, Task, Unreachable
from advisor.units import BYTES_PER_GIB

if TYPE_CHECKING:
    import urllib3

    from advisor.http_pools import Pace

URL = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonEC2/current"
_HEADER = "SKU"
_MOST_LINES_BEFORE_HEADER = 20
_LINUX_SHARED: Mapping[str, str] = {
    "Operating System": "Linux",
    "Tenancy": "Shared",
    "Pre Installed S/W": "NA",
    "CapacityStatus": "Used",
    "Currency": "USD",
}
_NEEDED = (
    "SKU", "OfferTermCode", "TermType", "EffectiveDate", "Unit", "PricePerUnit", "LeaseContractLength",
    "PurchaseOption", "OfferingClass", "Instance Type", "Instance Family", "Region Code", *_LINUX_SHARED,
)  # fmt: skip
_TIMEOUT_SECONDS = 60.0
_TRIES = 3
_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 16 * BYTES_PER_GIB
_LONGEST_SECONDS = 3600
_LONGEST_LINE = 1 << 20


def tasks(regions: Sequence[str], machines: Collection[str], url: str = URL) -> Iterator[Task]:
    """One task for each region."""
    for region in regions:
        yield Task(f"{region}/public-prices", region, "prices", partial(_read, region, frozenset(machines), url))


class _Cut(Unreachable):
    """The file broke off."""


def _read(region: str, machines: Collection[str], url: str) -> Iterator[Row]:
    """Rows of a file, read anew from its beginning where the connection broke."""
    address = f"{url}/{region}/index.csv"
    for _ in range(_TRIES - 1):
        with suppress(_Cut):
            return iter(_rows_at(address, region, machines))
    return iter(_rows_at(address, region, machines))


def _rows_at(address: str, region: str, machines: Collection[str]) -> Sequence[Row]:
    """Rows of the file at an address, which is never held as a whole."""
    import urllib3  # noqa: PLC0415 - commands that ask nobody stay quick

    from advisor.http_pools import BoundedRetry, Pace, bounded  # noqa: PLC0415 - as above

    host = urlsplit(address).netloc
    retries = BoundedRetry(5, connect=2, read=2, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))
    pool = bounded(urllib3.PoolManager(retries=retries))
    try:
        answer = pool.request("GET", address, preload_content=False, timeout=_TIMEOUT_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"{host}: {short_words(error)}", "check the network and run the command again") from error
    if answer.status in (403, 404):
        raise Denied(f"{host} answered {answer.status}", "there is no public price file for this region")
    if answer.status != 200:
        raise Unreachable(f"{host} answered {answer.status}", "run the command again")
    pace = Pace(host, _LONGEST_SECONDS)
    try:
        return tuple(rows_of(_split(codecs.iterdecode(_pieces(answer, pace), "utf-8")), region, machines))
    except urllib3.exceptions.ReadTimeoutError as error:
        raise Unreachable(f"{host}: {short_words(error)}", "check the network and run the command again") from error
    except (urllib3.exceptions.HTTPError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise _Cut(f"{host}: the file breaks off, or is none: {short_words(error)}", "run the command again") from error
    finally:
        answer.release_conn()
        pool.clear()


def _pieces(answer: "urllib3.BaseHTTPResponse", pace: "Pace") -> Iterator[bytes]:
    """Pieces of a file as they arrive."""
    size = 0
    while piece := answer.read1(_CHUNK_BYTES, decode_content=True):
        size += len(piece)
        if size > _MOST_BYTES:
            raise ValueError(f"no end within {_MOST_BYTES / BYTES_PER_GIB:g} GiB")
        pace.check(answer.tell())
        yield piece


def _split(chunks: Iterable[str]) -> Iterator[str]:
    """Lines with their ends, whatever the chunks are."""
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a line has no end")
        yield from (f"{line}\n" for line in whole)
    if rest:
        yield rest


def rows_of(text: Iterable[str], region: str, machines: Collection[str]) -> Iterator[Row]:
    """Prices of accelerated Linux machines in a price file. Raises Unreachable if it lacks the columns needed."""
    lines = csv.reader(text)
    columns = _columns(lines)
    name_at, family_at = columns["Instance Type"], columns["Instance Family"]
    wanted = [(columns[name], value) for name, value in _LINUX_SHARED.items()]
    width = max(columns.values())
    reserved: dict[tuple[str, str], list[list[str]]] = {}
    for cells in lines:
        if len(cells) <= width or not (cells[name_at] in machines or cells[family_at] in ACCELERATED_FAMILIES):
            continue
        if any(cells[at] != value for at, value in wanted) or cells[columns["Region Code"]] != region:
            continue
        if cells[columns["TermType"]] == "Reserved":
            reserved.setdefault((cells[columns["SKU"]], cells[columns["OfferTermCode"]]), []).append(cells)
        elif cells[columns["Unit"]] == "Hrs":
            price, date = float(cells[columns["PricePerUnit"]]), cells[columns["EffectiveDate"]]
            yield Sold(region, cells[name_at], offered=False)
            yield PriceRow(region, cells[name_at], "on_demand", price, date)
    for parts in reserved.values():
        yield from _reserved(parts, columns, region)


def _reserved(parts: Sequence[Sequence[str]], columns: Mapping[str, int], region: str) -> Iterator[Row]:
    """One term, whose upfront and hourly parts are lines of their own."""
    lines = [{name: cells[at] for name, at in columns.items()} for cells in parts]
    term = lines[0]
    kind, payment = term["OfferingClass"], term["PurchaseOption"]
    if kind not in RESERVED or payment not in PAYMENTS:
        return
    years = int(term["LeaseContractLength"].removesuffix("yr"))
    hourly = sum(float(line["PricePerUnit"]) / hours_of(line["Unit"], years) for line in lines)
    bought = (RESERVED[kind], years, PAYMENTS[payment], hourly, term["EffectiveDate"])
    yield CommittedRow(region, term["Instance Type"], *bought)


def _columns(lines: Iterator[list[str]]) -> Mapping[str, int]:
    for number, cells in enumerate(lines):
        if cells[:1] == [_HEADER]:
            places = {name: at for at, name in enumerate(cells)}
            missing = [name for name in _NEEDED if name not in places]
            if missing:
                raise Unreachable(f"the price file has no column {missing[0]}", "a newer version may read it")
            return {name: places[name] for name in _NEEDED}
        if number > _MOST_LINES_BEFORE_HEADER:
            break
    raise Unreachable("this is not a price file: it has no line of column names", "run the command again")
