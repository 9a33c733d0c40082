"""Prometheus-compatible servers: address and credentials, and requests to the HTTP API within its limits.

Errors are reported in the words of the server. Times of its samples: their edges, their distance, and whether they
only repeat.
"""

import base64
import http.client
import json
import os
import re
import ssl
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit, urlunsplit

from advisor.errors import InputError
from advisor.http_pools import cut_after
from advisor.records import dataclass, field
from advisor.samples.query import Window
from advisor.samples.query.cloudwatch import RENEW, aws_session

PERMISSIONS = "aps:QueryMetrics, aps:GetLabels, aps:GetSeries and aps:GetMetricMetadata"
_SERVICE = "aps"
_WORKSPACES = re.compile(
    r"(?:[\w.-]+\.)?aps-workspaces(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)
"""Hosts of managed workspaces, with their region."""
TOKEN_VARIABLE = "ADVISOR_PROMETHEUS_TOKEN"  # noqa: S105 - the name of a variable
USER_VARIABLE = "ADVISOR_PROMETHEUS_USER"
PASSWORD_VARIABLE = "ADVISOR_PROMETHEUS_PASSWORD"  # noqa: S105 - the name of a variable
SIGV4_VARIABLE = "ADVISOR_PROMETHEUS_SIGV4"
TENANT_VARIABLE = "ADVISOR_PROMETHEUS_TENANT"
_HOW = f"write it to a file and name that, or set {TOKEN_VARIABLE}"
_LONGEST_TOKEN = 65_536


def workspace_region(url: str) -> str | None:
    """Region of a managed workspace; None for any other server."""
    match = _WORKSPACES.fullmatch(urlsplit(url).hostname or "")
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with credentials that are renewed as AWS's own tools renew them."""

    region: str
    credentials: Any = field(repr=False)

    @classmethod
    def of(cls, url: str, region: str | None, profile: str | None) -> "Signer":
        """A signer for a server in a region (None: that of its address), with a profile of AWS's (None: the default).

        Raises InputError if boto3 is not installed, there are no credentials, or the region is not known.
        """
        scope = region or workspace_region(url)
        if scope is None:
            raise InputError("the region to sign for is not known", where=url, hint="write sigv4: {region: us-east-1}")
        session = aws_session(scope, profile, url)
        credentials = _retrieved(session.get_credentials, url)
        if credentials is None:
            raise InputError("there are no AWS credentials", where=url, hint=RENEW)
        return cls(scope, credentials)

    def headers(self, method: str, url: str, body: str | None, content: Mapping[str, str]) -> dict[str, str]:
        """Headers that a request (its whole URL) needs to be signed, beside *content*, those of its body.

        Raises InputError if the credentials have expired and cannot be renewed.
        """
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - optional
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - optional

        frozen = _retrieved(self.credentials.get_frozen_credentials, url.partition("?")[0])
        request = AWSRequest(method=method, url=url, data=body or "", headers=dict(content))
        SigV4Auth(frozen, _SERVICE, self.region).add_auth(request)
        return {name: value for name, value in request.headers.items() if name not in content}


def refusal_of(said: str, region: str) -> str:
    """Remedy for a signed request that was refused with these words."""
    words = said.lower()
    if "scoped to" in words or "region" in words:
        return f"it was signed for {region}: write the region of the workspace as sigv4: {{region: …}}"
    if any(word in words for word in ("expired", "invalid", "signature", "not yet current")):
        return RENEW
    return f"allow {PERMISSIONS} on the workspace to these credentials"


def _retrieved(retrieve: Any, where: str) -> Any:  # noqa: ANN401 - botocore's
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - optional

    try:
        return retrieve()
    except (BotoCoreError, ClientError) as error:
        raise InputError(str(error), where=where, hint=RENEW) from error


@dataclass(frozen=True, slots=True)
class PrometheusEndpoint:
    """A server, and what it is told of who asks."""

    url: str
    """Without query and final slash."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None: plain HTTP."""
    timeout_seconds: float = 120.0
    signer: Signer | None = field(default=None, repr=False)
    """Signs every request; None: nothing does."""
    max_answer_bytes: int = 256 * 2**20
    """A longer answer is refused rather than held in memory."""

    @classmethod
    def of(
        cls,
        url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        sigv4: tuple[str | None, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 120.0,
    ) -> "PrometheusEndpoint":
        """Access to a server.

        *url* has no user and password: they would stand in files, histories and lists of processes. *ca_file*: PEM file
        of the authority that signed its certificate, besides those that the system trusts. *sigv4*: region (None: that
        of the address) and profile (None: the default) to sign requests with; None: only requests to managed workspaces
        are signed, and those of whom the environment names a region. *environment*: variables that may hold a token, a
        user, a password and a tenant; None: those of this process. *timeout_seconds*: longest wait for one answer.
        Raises InputError if the address or a file is none, or there is nothing to sign with.
        """
        parts = _split(url)
        variables = os.environ if environment is None else environment
        headers = _authorization(token_file, variables)
        if tenant := variables.get(TENANT_VARIABLE):
            headers["X-Scope-OrgID"] = _one_line(tenant, TENANT_VARIABLE)
        shown = _shown(parts)
        tls = _tls_context(ca_file, shown) if parts.scheme == "https" else None
        signer = _signer(shown, sigv4, variables, is_known="Authorization" in headers)
        return cls(shown, headers, tls, timeout_seconds, signer)


def shown_url(url: str) -> str:
    """An address without query and fragment, fit for plans. Raises InputError if it is none, or has credentials."""
    return _shown(_split(url))


def _shown(parts: SplitResult) -> str:
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    place = name if parts.port is None else f"{name}:{parts.port}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def _split(url: str) -> SplitResult:
    hint = "give an address such as https://prometheus.example.com:9090"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or any(character.isspace() or not character.isprintable() for character in url):
        raise InputError("this is not the address of a Prometheus-compatible server", where="prometheus", hint=hint)
    if parts.username is not None:
        raise InputError(
            "the address holds a user or a password",
            where=_shown(parts),
            hint=f"leave it out and set {USER_VARIABLE} and {PASSWORD_VARIABLE}, or use a token file",
        )
    return parts


def _authorization(token_file: Path | None, variables: Mapping[str, str]) -> dict[str, str]:
    """The first of: a token file, a token in the environment, user and password in the environment."""
    if token_file is not None:
        try:
            with token_file.open(encoding="utf-8") as stream:
                token = stream.read(_LONGEST_TOKEN)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InputError(f"cannot read the token: {reason}", where=str(token_file), hint=_HOW) from error
        return {"Authorization": f"Bearer {_one_line(token, str(token_file))}"}
    if named := variables.get(TOKEN_VARIABLE):
        return {"Authorization": f"Bearer {_one_line(named, TOKEN_VARIABLE)}"}
    user, password = variables.get(USER_VARIABLE, ""), variables.get(PASSWORD_VARIABLE, "")
    if not user:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _signer(
    url: str, stated: tuple[str | None, str | None] | None, variables: Mapping[str, str], *, is_known: bool
) -> Signer | None:  # fmt: skip
    """Signer of requests, where it is asked for, or the server is known to need it and no credentials are stated."""
    if stated is not None and is_known:
        hint = "leave the token, the user or sigv4 out"
        raise InputError("requests cannot be signed and carry a token too", where=url, hint=hint)
    if stated is None and not is_known:
        region = variables.get(SIGV4_VARIABLE) or workspace_region(url)
        stated = (region, None) if region else None
    return None if stated is None else Signer.of(url, *stated)


def _one_line(secret: str, where: str) -> str:
    """The secret without the line end that editors add; a header may hold no other."""
    stripped = secret.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable():
        raise InputError("this is not a token: it has to be one line of printable characters", where=where, hint=_HOW)
    return stripped


def _tls_context(ca_file: Path | None, url: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            message = f"cannot use it as a certificate authority for {url}: {error.strerror or error}"
            hint = "give a PEM file that holds the certificate of the authority"
            raise InputError(message, where=str(ca_file), hint=hint) from error
    return context


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
