"""Questions to the HTTP API within its limits; what goes wrong is said in the server's own words.

Times of a server's samples: their edges, their distance, and whether they only repeat.
"""

import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import groupby, pairwise
from statistics import median
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from advisor.errors import InputError
from advisor.http_pools import cut_after
from advisor.records import dataclass, field
from advisor.samples.query.prometheus.endpoint import PrometheusEndpoint, refusal_of
from advisor.samples.query.values import Window

MOST_POINTS = 11_000
"""Points of one series that a range query may give."""
_ATTEMPTS = 3
_LONGEST_PAUSE_SECONDS = 10.0
_BUSY = (429, 502, 503, 504)
_TOO_MUCH = (413, 502, 504)
"""What proxies say of answers that are too long, or take too long."""
_SUCCESS = re.compile(rb'\s*\{\s*"status"\s*:\s*"success"')
_TOO_MUCH_WORDS = (
    "too many samples", "max samples", "maxsamples", "max-samples", "maxuniquetimeseries", "maxmemoryperquery", "limit",
    "timed out", "timeout", "exceeds", "exceeded", "too many series", "too many chunks", "max-series", "max-chunks",
)  # fmt: skip
_READ_BYTES = 1 << 20


class TooMuchError(InputError):
    """The question was too large for one of the server's limits: ask for less at a time."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    """Seconds since 1970 and value; of an instant query one point."""

    @property
    def value(self) -> float:
        """Value of the newest point."""
        return self.points[-1][1]


@dataclass(slots=True)
class PrometheusApi:
    """A client of one server. Each question has a connection of its own: no answer can belong to another."""

    access: PrometheusEndpoint
    warnings: dict[str, None] = field(default_factory=dict)
    """What the server said besides its answers (partial responses), each once."""
    requests: int = 0

    def instant(self, query: str, end_us: int) -> list[Series]:
        """Evaluate at a moment, µs since 1970. Raises TooMuchError for a limit, InputError if unreachable."""
        # nocache: VictoriaMetrics otherwise moves moments of the last 30 s into the past.
        data = self._ask("/api/v1/query", {"query": query, "time": _seconds(end_us), "nocache": "1"})
        return self._series(data)

    def over_range(self, query: str, start_us: int, end_us: int, step_us: int) -> list[Series]:
        """Evaluate from one moment to another, at most :data:`MOST_POINTS` of them.

        Raises TooMuchError for a limit of the server's, and InputError if it cannot be reached, or refuses.
        """
        asked = {"query": query, "start": _seconds(start_us), "end": _seconds(end_us), "step": _seconds(step_us)}
        return self._series(self._ask("/api/v1/query_range", {**asked, "nocache": "1"}))

    def label_values(self, label: str, start_us: int, end_us: int, match: str = "") -> list[str]:
        """Values of a label in a time, of all series or of those that a selector matches.

        Where none matches in that time, those that match at any: Prometheus 2.53 leaves samples out here that came out
        of order, once newer ones were written to its disk, and answers queries for them. Raises InputError if it cannot
        be reached, or refuses.
        """
        times = {"start": _seconds(start_us), "end": _seconds(end_us)}
        if not match:
            return self._label_values(label, times)
        return self._label_values(label, {**times, "match[]": match}) or self._label_values(label, {"match[]": match})

    def _label_values(self, label: str, asked: Mapping[str, str]) -> list[str]:
        data = self._ask(f"/api/v1/label/{label}/values?{urlencode(asked, quote_via=quote)}", None)
        if not isinstance(data, list):
            raise self._strange("the values of a label are not a list")
        return [str(value) for value in data]

    def _ask(self, path: str, form: Mapping[str, str] | None) -> Any:  # noqa: ANN401 - JSON
        for attempt in range(1, _ATTEMPTS + 1):
            status, retry_after, body = self._send(path, form)
            if status not in _BUSY or _is_too_much(body) or attempt == _ATTEMPTS:
                break
            time.sleep(min(retry_after or 0.25 * 2**attempt, _LONGEST_PAUSE_SECONDS))
        return self._data(status, body)

    def _send(self, path: str, form: Mapping[str, str] | None) -> tuple[int, float | None, bytes]:
        """Status, how long the server asks to wait, and answer."""
        url, method = self.access.url, "GET" if form is None else "POST"
        body = None if form is None else urlencode(form)
        content = {} if form is None else {"Content-Type": "application/x-www-form-urlencoded"}
        self.requests += 1
        try:
            with closing(self._connection()) as connection:
                headers = {"Accept": "application/json", "Connection": "close", **content, **self.access.headers}
                if self.access.signer is not None:
                    headers |= self.access.signer.headers(method, url + path, body, content)
                connection.request(method, urlsplit(url).path + path, body, headers)
                with cut_after(connection.sock, self.access.timeout_seconds):
                    response = connection.getresponse()  # status and headers, all of them in time
                with response:
                    wait = response.getheader("Retry-After", "")
                    return response.status, float(wait) if wait.isdecimal() else None, self._read(response)
        except TimeoutError as error:
            raise TooMuchError(
                f"no answer within {self.access.timeout_seconds:g} s", where=url, hint="ask for a shorter window"
            ) from error
        except http.client.IncompleteRead as error:
            raise self._cut("no end") from error
        except (OSError, http.client.HTTPException) as error:
            hint = "check address and port, and that it can be reached from here; for https, name its --ca-file"
            raise InputError(f"cannot be reached: {error}", where=url, hint=hint) from error

    def _connection(self) -> http.client.HTTPConnection:
        parts, timeout = urlsplit(self.access.url), self.access.timeout_seconds
        host = parts.hostname or ""
        if self.access.tls is None:
            return http.client.HTTPConnection(host, parts.port, timeout=timeout)
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=self.access.tls)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The answer, as long as it is no longer than allowed and does not trickle in for ever."""
        end = time.monotonic() + self.access.timeout_seconds
        chunks, size = [], 0
        while chunk := response.read1(_READ_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > self.access.max_answer_bytes:
                message = f"the answer is longer than {self.access.max_answer_bytes:,} bytes"
                hint = "narrow it with a selector, or ask for a shorter window"
                raise TooMuchError(message, where=self.access.url, hint=hint)
            if time.monotonic() > end:
                raise TimeoutError
        return b"".join(chunks)

    def _cut(self, length: str) -> TooMuchError:
        message = f"the answer was cut off ({length}): a proxy before the server may limit how long answers are"
        hint = "narrow it with a selector, ask for a shorter window, or ask the server without the proxy"
        return TooMuchError(message, where=self.access.url, hint=hint)

    def _series(self, data: Any) -> list[Series]:  # noqa: ANN401 - JSON
        """Series of an answer, without values that are not a number (NaN)."""
        several = []
        try:
            for series in data["result"]:
                pairs = series["values"] if "values" in series else [series["value"]]
                points = [(float(at), float(text)) for at, text in pairs if text != "NaN"]
                if points:
                    several.append(Series({str(key): str(text) for key, text in series["metric"].items()}, points))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._strange(f"{type(error).__name__} {error}") from error
        return several

    def _strange(self, what: str) -> InputError:
        message = f"it does not answer as Prometheus does: {what}"
        return InputError(message, where=self.access.url, hint="give the address of its HTTP API")

    def _data(self, status: int, body: bytes) -> Any:  # noqa: ANN401 - JSON
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if document is None and _SUCCESS.match(body):
            raise self._cut(f"{len(body):,} bytes came")
        if status in {401, 403}:
            raise self._not_let_in(status, document)
        if status != 200 or not isinstance(document, dict) or document.get("status") != "success":
            raise self._refusal(status, document, body)
        for words in (*document.get("warnings", ()), *document.get("infos", ())):
            self.warnings[f"the server warns: {_shortened(str(words))}"] = None
        if document.get("isPartial"):
            self.warnings["the server answered from a part of its storage only"] = None
        return document.get("data")

    def _not_let_in(self, status: int, document: Any) -> InputError:  # noqa: ANN401 - JSON
        """Authentication failed, or was not tried."""
        message, signer = f"authentication failed (HTTP {status})", self.access.signer
        if signer is None:
            hint = "give a token: --token-file, or ADVISOR_PROMETHEUS_TOKEN"
            return InputError(message, where=self.access.url, hint=hint)
        said = _shortened(str(document.get("message", ""))) if isinstance(document, dict) else ""
        words = f"{message}: {said}" if said else message
        return InputError(words, where=self.access.url, hint=refusal_of(said, signer.region))

    def _refusal(self, status: int, document: Any, body: bytes) -> InputError:  # noqa: ANN401 - JSON
        is_document = isinstance(document, dict)
        said = document.get("error") if is_document else None
        message = (
            f"it answered HTTP {status}: {_shortened(str(said or body.decode(errors='replace').strip() or 'nothing'))}"
        )
        if status in _TOO_MUCH or (_is_too_much(body) and status not in {400, 404}):
            hint = "ask for a shorter window or fewer series (a selector), or raise the server's limit"
            return TooMuchError(message, where=self.access.url, hint=hint)
        if is_document:
            hint = "correct the selector, or ask whoever runs the server"
        elif status >= 500:
            hint = "the server, or a proxy before it, fails: try again later, or ask whoever runs it"
        else:
            hint = "is this the address of the API? Mimir's ends in /prometheus, a cluster's in /select/0/prometheus"
        return InputError(message, where=self.access.url, hint=hint)


def _is_too_much(body: bytes) -> bool:
    words = body[:4096].decode(errors="replace").lower()
    return any(part in words for part in _TOO_MUCH_WORDS)


def _shortened(words: str) -> str:
    one_line = " ".join(words.split())
    return one_line if len(one_line) <= 300 else f"{one_line[:300]}…"


def _seconds(us: int) -> str:
    """Seconds to the millisecond, which is what servers keep."""
    return f"{us // 1_000_000}.{us % 1_000_000 // 1000:03d}"


def quoted(text: str) -> str:
    """A string of the query language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


_SPLIT = 60
_FINE_US = 300_000_000
_RAW_US = (600_000_000, 7_200_000_000)
"""Raw samples are read over no more than this, µs."""
LOOK_BACK_US = 93 * 86_400_000_000
"""No first sample is looked for further back."""
_FEWEST_RUNS = 4
_ALMOST_ALL = 0.9
_JITTER = 0.1
"""Of a scrape interval."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often series are sampled."""

    interval_us: int
    """Usual distance of two samples."""
    varies: tuple[float, float] | None = None
    """Least and greatest of the series' distances in seconds, where they differ by more than a tenth."""
    repeats: int = 1
    """Samples in a row that hold one reading, because the exporter reads more rarely than it is scraped."""


def includes_start(api: PrometheusApi, end_us: int) -> bool:
    """Whether a range selector includes a sample at its very start (Prometheus 2), or not (3, VictoriaMetrics)."""
    minute_us = end_us // 60_000_000 * 60_000_000
    answer = api.instant("count_over_time(vector(1)[1m:1m])", minute_us)
    return bool(answer) and answer[0].value > 1


def rhythm(api: PrometheusApi, selector: str, window: Window) -> Rhythm | None:
    """How often the series of a selector are sampled, from a few minutes at the end of what there is in a window."""
    at_us = latest(api, selector, window)
    if at_us is None:
        return None
    for raw_us in _RAW_US:
        series = api.instant(f"{selector}[{raw_us // 1000}ms]", at_us)
        apart = [[after[0] - before[0] for before, after in pairwise(each.points)] for each in series]
        later = [[seconds for seconds in each if seconds > 0] for each in apart]  # a sample may be stored twice
        distances = [_usual(each) for each in later if len(each) > 1]
        if distances:
            usual, low, high = median(distances), min(distances), max(distances)
            varies = (low, high) if high - low > _JITTER * usual else None
            return Rhythm(_without_jitter(usual), varies, min(map(_repeats, series), default=1))
    return None


def latest(api: PrometheusApi, selector: str, window: Window) -> int | None:
    """A moment, µs since 1970, less than five minutes after the last sample in a window; None: there is no sample."""
    start_us, end_us = window.start_us, window.end_us
    while True:
        step_us = max((end_us - start_us) // _SPLIT, min(_FINE_US, end_us - start_us), 1_000_000)
        step_us -= step_us % 1000
        query = f"count(last_over_time({selector}[{step_us // 1000}ms]))"
        answer = api.over_range(query, start_us + (end_us - start_us) % step_us, end_us, step_us)
        if not answer:
            return None
        end_us = round(answer[0].points[-1][0] * 1_000_000)
        start_us = end_us - step_us
        if step_us <= _FINE_US:
            return end_us


def edges(api: PrometheusApi, selector: str, now_us: int) -> tuple[int, int] | None:
    """Times of the first and last sample within three months, µs since 1970; None where there is none."""
    now_us -= now_us % 1_000_000
    first_us, last_us = now_us - LOOK_BACK_US, now_us
    step_us = LOOK_BACK_US // 372
    coarse = api.over_range(f"count({selector})", first_us, last_us, step_us)
    if not coarse:  # shorter than the steps: every sample has to be looked at
        coarse = api.over_range(f"count(last_over_time({selector}[{step_us // 1000}ms]))", first_us, last_us, step_us)
    if not coarse:
        return None
    first_us, last_us = (round(at * 1_000_000) for at in (coarse[0].points[0][0], coarse[0].points[-1][0]))
    last_us = min(last_us + step_us, now_us)
    begin_us = first_us - step_us
    while step_us > _FINE_US:
        step_us = max(step_us // _SPLIT // 1_000_000 * 1_000_000, _FINE_US)
        query = f"count(last_over_time({selector}[{step_us // 1000}ms]))"
        first = api.over_range(query, begin_us + step_us, begin_us + step_us * 400, step_us)
        last = api.over_range(query, last_us - step_us * 400, last_us, step_us)
        begin_us = round(first[0].points[0][0] * 1_000_000) - step_us if first else begin_us
        last_us = round(last[0].points[-1][0] * 1_000_000) if last else last_us
    fine = f"{selector}[{step_us // 1000}ms]"  # read raw, only within one fine step at each end
    first, last = api.instant(fine, begin_us + step_us), api.instant(fine, last_us)
    if not first or not last:
        return None
    start, end = min(series.points[0][0] for series in first), max(series.points[-1][0] for series in last)
    return round(start * 1000) * 1000, round(end * 1000) * 1000


def _usual(distances: Sequence[float]) -> float:
    """The distance of which nearly all are multiples, as missed scrapes make them; else the most frequent one.

    To a tenth of a second, and of several most frequent ones the least.
    """
    counts = Counter(round(distance, 1) for distance in distances)
    steps = []
    for step in filter(None, counts):
        nearest = {distance: max(round(distance / step), 1) * step for distance in counts}
        multiples = sum(count for each, count in counts.items() if abs(each - nearest[each]) <= _JITTER * step)
        if multiples >= _ALMOST_ALL * len(distances):
            steps.append(step)
    most = max(counts.values())
    usual = max(steps) if steps else min(distance for distance, count in counts.items() if count == most)
    return median(distance for distance in distances if round(distance, 1) == usual)


def _without_jitter(seconds: float) -> int:
    """µs; whole seconds where it is within a hundredth of them, since scrapes are a few milliseconds off."""
    whole = round(seconds)
    return whole * 1_000_000 if whole and abs(seconds - whole) < 0.01 * whole else round(seconds * 1000) * 1000


def _repeats(series: Series) -> int:
    """The least number of equal values in a row, where there are enough different ones to say; else 1."""
    runs = [len(list(run)) for _, run in groupby(value for _, value in series.points)][1:-1]
    return min(runs) if len(runs) >= _FEWEST_RUNS else 1
