"""Serving engines, through their metrics pages; advisor/samples/exporters says which names are read."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence

from advisor.errors import InputError
from advisor.records import replace
from advisor.samples.bounded_http import Address, Answer, Connection, ExchangeError, Limits, parse_address
from advisor.samples.exporters import NameTable, names_on_page, near_miss_words, table_with
from advisor.samples.rows import Missed, Reading, Target
from advisor.samples.sources.engines.pages import MOST_TARGETS, EngineValues, Page, PageReader

UNKNOWN_ENGINE = "engines"
"""Source of an endpoint that has not answered yet."""
NO_ENGINE = "its page has no metrics of a serving engine that is known here"
GONE = "its page does not name this model and rank any more"
_READ, _END = "read", "end"
_REMEMBERED_READS = 900
"""A model that the page has not named for so many readings is forgotten: it was unloaded."""
_MOST_ABSENT = 4 * MOST_TARGETS
"""Models and ranks remembered at most: a gateway may show whatever its users ask for, other names each time."""
_MOST_STRANGE = 1000
_ALIKE_SECONDS = 60.0
"""Time from one comparison of unknown names with known ones to the next."""
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4",
    "Accept-Encoding": "identity",
    "User-Agent": "advisor-agent",
}
_HINTS = {
    401: "it asks for credentials: give them in the address",
    403: "it refuses these credentials",
    404: "there is no page at this path",
}


class Endpoint:
    """State of one address, and the thread that asks it."""

    def __init__(self, host: str, address: Address, limits: Limits, table: NameTable) -> None:
        """Start the thread; it ends with the process, or when it is closed."""
        self.address = address
        self._limits = limits
        self._connection = Connection(address, limits)
        self._table = table
        self._readers = [PageReader(exporter, table.of(exporter)) for exporter in table.engines()]
        self._unknown = Target(host, UNKNOWN_ENGINE, None, endpoint=address.shown)
        self._absent: dict[Target, int] = {}
        """Targets seen so far, and for how many pages in a row they were not named."""
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Page | str] = queue.SimpleQueue()
        self._engine = UNKNOWN_ENGINE
        self._strange: list[str] = []
        """Names of the last page that no reader knew."""
        self._compared_at = -_ALIKE_SECONDS
        self._reason = NO_ENGINE
        self._pending = False
        threading.Thread(target=self._serve, name=f"engine {address.shown}", daemon=True).start()

    @property
    def engine(self) -> str:
        """Name of the engine, as far as it has answered."""
        return self._engine

    def ask(self) -> None:
        """Begin a reading; one that is still under way is not begun again."""
        self._take(0.0)
        if not self._pending:
            self._pending = True
            self._asked.put(_READ)

    def collect(self, deadline: float) -> Sequence[Reading | Missed]:
        """Readings since :meth:`ask`, waiting until *deadline* of the monotonic clock and no longer."""
        outcome = self._take(max(deadline - time.monotonic(), 0.0))
        if outcome is None:
            return self._all_missed(f"no whole answer within {self._limits.total_seconds:g} s")
        if isinstance(outcome, str):
            return self._all_missed(outcome)
        return self._readings(outcome)

    def close(self) -> None:
        """End the thread after the reading under way."""
        self._asked.put(_END)

    def _take(self, seconds: float) -> Page | str | None:
        if not self._pending:
            return None
        try:
            outcome = self._answers.get(timeout=seconds) if seconds else self._answers.get_nowait()
        except queue.Empty:
            return None
        self._pending = False
        return outcome

    def _serve(self) -> None:
        while self._asked.get() is not _END:
            self._answers.put(self._fetch())
        self._connection.close()

    def _fetch(self) -> Page | str:
        """The page, or why there is none. Nothing a server sends may end the thread."""
        try:
            answer = self._connection.exchange("GET", _HEADERS)
            return self._understand(answer)
        except ExchangeError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - one bad page is a miss, and the next may be good
            return f"its answer cannot be read ({type(error).__name__})"

    def _understand(self, answer: Answer) -> Page | str:
        if 300 <= answer.status < 400:
            return f"HTTP {answer.status}: it redirects elsewhere; give the address of the page itself"
        if answer.status != 200:
            hint = _HINTS.get(answer.status)
            return f"HTTP {answer.status}: {hint}" if hint else f"HTTP {answer.status}"
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            return "its answer is compressed, although that was not asked for"
        text = answer.body.decode("utf-8", "replace")
        for reader in self._readers:
            if reader.speaks(text):
                self._engine = reader.engine
                return reader.read(text)
        return self._why_unknown(text)

    def _why_unknown(self, text: str) -> str:
        """Reason for a page that no reader knows, with names that look alike; compared once a minute at most."""
        now = time.monotonic()
        if now - self._compared_at < _ALIKE_SECONDS:
            return self._reason
        self._compared_at = now
        if (names := sorted(names_on_page(text))[:_MOST_STRANGE]) != self._strange:
            alike = near_miss_words(self._table, names)
            self._strange, self._reason = names, f"{NO_ENGINE}; {alike}" if alike else NO_ENGINE
        return self._reason

    def _readings(self, page: Page) -> list[Reading | Missed]:
        note = _note(page)
        readings: list[Reading | Missed] = [self._reading(values, note) for values in page.engines]
        named = dict.fromkeys(reading.target for reading in readings)
        for target in [*self._absent, *named]:
            self._absent[target] = 0 if target in named else self._absent[target] + 1
        remembered = [(target, reads) for target, reads in self._absent.items() if reads <= _REMEMBERED_READS]
        if len(remembered) > _MOST_ABSENT:
            remembered = sorted(remembered, key=lambda entry: entry[1])[:_MOST_ABSENT]
        self._absent = dict(remembered)
        readings += [Missed(target, GONE) for target in self._absent if target not in named]
        return readings or [Missed(self._unknown, NO_ENGINE)]

    def _reading(self, values: EngineValues, note: str | None) -> Reading:
        target = replace(self._unknown, source=self._engine, index=values.rank, name=values.model)
        return Reading(target, values.values, values.buckets, note)

    def _all_missed(self, reason: str) -> list[Reading | Missed]:
        return [Missed(target, reason) for target in self._absent or (self._unknown,)]


def _note(page: Page) -> str | None:
    parts = list(page.remarks)
    if page.malformed_lines:
        parts.append(f"{page.malformed_lines} lines of its page are malformed")
    return "; ".join(parts) or None


DEFAULT_LIMITS = Limits()


class EngineSource:
    """Reads the metrics page of every engine at once; each is given its time, and none waits for another."""

    def __init__(self, host: str, endpoints: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> None:
        """Prepare to read.

        Args:
            host: name to record.
            endpoints: such as ``http://127.0.0.1:8000``; ``/metrics`` is added where there is no path. A user and a
                password in an address are sent to it, and never printed or recorded.
            limits: what one reading may take.

        Raises:
            InputError: there is no endpoint, one is no URL or given twice, or the file of further names makes no sense.
        """
        addresses = [parse_address(endpoint, "/metrics") for endpoint in endpoints]
        if not addresses:
            raise InputError("no serving engine was named", hint="give the address of its metrics page")
        shown = Counter(address.shown for address in addresses)
        twice = [address for address, count in shown.items() if count > 1]
        if twice:
            raise InputError("this address is given twice", where=twice[0])
        self._limits = limits
        table = table_with()
        self._endpoints = [Endpoint(host, address, limits, table) for address in addresses]

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each model on each rank; ends within the limits, whatever the engines do."""
        deadline = time.monotonic() + self._limits.total_seconds
        for endpoint in self._endpoints:
            endpoint.ask()
        return [reading for endpoint in self._endpoints for reading in endpoint.collect(deadline)]

    def describe(self) -> str:
        """Engines such as ``vllm at http://127.0.0.1:8000/metrics``; asks once where nothing has answered yet."""
        if all(endpoint.engine == UNKNOWN_ENGINE for endpoint in self._endpoints):
            self.read()
        return ", ".join(
            endpoint.address.shown
            if endpoint.engine == UNKNOWN_ENGINE
            else f"{endpoint.engine} at {endpoint.address.shown}"
            for endpoint in self._endpoints
        )

    def close(self) -> None:
        """Close the connections."""
        for endpoint in self._endpoints:
            endpoint.close()


__all__ = ["EngineSource"]
