"""Request logs: cost per request and token, owners, errors, caches; prompts stay where they are."""

import csv
import json
from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.errors import InputError
from audit.bills import START, Charge, hours, write_csv, write_focus

SECRET = "the launch code is 0000"


def request(number=0, **other):
    """One request of a log, one a minute."""
    return {
        "timestamp": f"{START + timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ}", "endpoint": "chat", "input_tokens": 100,
        "output_tokens": 50, "team": "search", "environment": "prod", "status": 200, **other,
    }  # fmt: skip


def day(count=24 * 60, **other):
    """A day of requests."""
    return [request(number, **other) for number in range(count)]


def bill(folder, **other):
    """A day of an endpoint that costs 24 in all."""
    return write_focus(folder / "bill.csv", hours(Charge(cost=Decimal(1), tags={"endpoint": "chat"}, **other), 24))


def by_name(found):
    """Endpoints of an audit by name."""
    return {one.name: one for one in found.endpoints}


def test_cost_per_request_and_token(tmp_path, audit):
    """24 for a day of 1,440 requests; an output token counts as many input tokens as the market says."""
    log = write_csv(tmp_path / "log.csv", day())

    found = audit(bill(tmp_path), requests=(str(log),))
    chat = by_name(found)["chat"]

    assert chat.cost == 24
    assert float(chat.cost_per_request) == pytest.approx(24 / 1440, rel=0.002)
    weight = found.traffic.output_weight
    assert float(chat.cost_per_million_input_tokens) == pytest.approx(24e6 / (1440 * (100 + 50 * weight)), rel=0.002)
    assert float(chat.cost_per_million_output_tokens / chat.cost_per_million_input_tokens) == pytest.approx(weight)
    whole = chat.cost_per_million_input_tokens * 144_000 + chat.cost_per_million_output_tokens * 72_000
    assert float(whole / 10**6) == pytest.approx(24, rel=0.002)


def test_tokens_that_a_log_states_twice_are_refused(tmp_path, audit):
    """Two columns of one name with different values: nothing says which counts."""
    log = tmp_path / "log.csv"
    log.write_text("timestamp,endpoint,input_tokens,output_tokens,input_tokens\n2026-01-01T00:00:00Z,chat,10,5,11\n")

    with pytest.raises(InputError, match="the column input_tokens is there twice, with different values in 1 line"):
        audit(bill(tmp_path), requests=(str(log),))


def test_hours_without_requests_cost_too(tmp_path, audit):
    """A log with lines of eight hours in a bill of a day: every figure is of the whole day, and they agree."""
    rows = [request(540 + 2 * number, status=500 if number < 24 else 200) for number in range(240)]
    log = write_csv(tmp_path / "log.csv", rows)

    found = audit(bill(tmp_path), requests=(str(log),))
    chat = by_name(found)["chat"]

    assert chat.cost_per_request * 240 == 24
    millions = (chat.usage.input_tokens + chat.usage.output_tokens) / 10**6
    assert float(chat.cost_per_million_tokens) * millions == pytest.approx(24)
    assert float(chat.error_cost) == pytest.approx(24 / 10)
    assert chat.usage.peak_ratio == pytest.approx(3.0)
    assert not any("costs per request take" in note for note in found.notes)


def test_a_log_of_some_hours_stands_for_its_day(tmp_path, audit):
    """Two hours of requests in a bill of three days: a day of the cost, which is said; errors are of the same day."""
    rows = [request(36 * 60 + number, status=500 if number < 60 else 200) for number in range(120)]
    charges = hours(Charge(tags={"endpoint": "chat"}), 72)

    found = audit(write_focus(tmp_path / "bill.csv", charges), requests=(str(write_csv(tmp_path / "log.csv", rows)),))
    chat = by_name(found)["chat"]

    assert (chat.cost, float(chat.cost_per_request)) == (72, pytest.approx(24 / 120))
    assert float(chat.error_cost) == pytest.approx(12)
    assert any("take the cost of 2026-10-02 00:00 to 2026-10-03 00:00 UTC" in note for note in found.notes)


def test_tokens_that_are_no_number_are_unknown(tmp_path, audit):
    """A word and a negative number are in no sum, and are said."""
    log = write_csv(tmp_path / "log.csv", [*day(2), request(2, input_tokens="abc"), request(3, output_tokens=-500)])

    found = audit(bill(tmp_path), requests=(str(log),))
    usage = by_name(found)["chat"].usage

    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (4, 300, 150)
    assert any("2 lines with tokens that are not a number or are negative" in note for note in found.notes)


@pytest.mark.parametrize("days", [1, 3])
def test_a_line_a_day_stands_for_the_whole_day(tmp_path, audit, days):
    """Daily totals: a day of the bill costs 24, and how the hours differ is unknown."""
    rows = [
        {"date": f"{START + timedelta(days=day):%Y-%m-%d}", "endpoint": "chat", "requests": 48} for day in range(days)
    ]
    log = write_csv(tmp_path / "log.csv", rows)

    chat = by_name(audit(bill(tmp_path), requests=(str(log),)))["chat"]

    assert float(chat.cost_per_request) == pytest.approx(0.5)
    assert chat.usage.peak_ratio is None


def test_spellings_of_an_endpoint_are_one(tmp_path, audit):
    """Neither requests nor charges of one of the spellings are lost."""
    charges = [Charge(tags={"endpoint": name}) for name in ("chat-api", "Chat_API")]
    log = write_csv(tmp_path / "log.csv", [request(0, endpoint="chat-api"), *day(3, endpoint="ChatAPI")])

    (chat,) = audit(write_focus(tmp_path / "bill.csv", charges), requests=(str(log),)).endpoints

    assert (chat.name, chat.cost, chat.usage.requests) == ("ChatAPI", 2, 4)


def test_peak_errors_and_cache_hits(tmp_path, audit):
    """One hour has three times the requests; a tenth fails after its prompt; a quarter comes from the cache."""
    rows = day() + day(60) * 2
    rows = [
        {**row, "status": 500 if number % 10 == 0 else 200, "cache_hit": "True" if number % 4 == 0 else "False",
         "output_tokens": 0 if number % 10 == 0 else 50}
        for number, row in enumerate(rows)
    ]  # fmt: skip
    log = write_csv(tmp_path / "log.csv", rows)

    found = audit(bill(tmp_path), requests=(str(log),))
    usage = by_name(found)["chat"].usage

    assert usage.requests == 1560
    assert usage.peak_ratio == pytest.approx(180 / (1560 / 24))
    assert usage.errors == 156
    assert usage.cache_hits == 390
    failed, all_weight = 156 * 100, 1560 * 100 + 1404 * 50 * found.traffic.output_weight
    assert float(by_name(found)["chat"].error_cost) == pytest.approx(24 * failed / all_weight)
    assert "ADV119" in {one.id for one in found.findings}


def test_chargeback_divides_the_endpoint_to_the_last_digit(tmp_path, audit):
    """Three teams by tokens, and requests without a team."""
    rows = [
        {**row, "team": ("a", "b", "c", "")[number % 4], "input_tokens": 7 + number % 11}
        for number, row in enumerate(day(601))
    ]
    log = write_csv(tmp_path / "log.csv", rows)

    found = audit(bill(tmp_path), requests=(str(log),))

    assert set(found.chargeback["team"]) == {"a", "b", "c", "(untagged)"}
    assert sum(found.chargeback["team"].values()) == 24


def test_an_endpoint_that_no_log_knows_is_a_finding(tmp_path, audit):
    """Paid for, and nobody asked it."""
    charges = hours(Charge(tags={"endpoint": "chat"}), 24) + hours(
        Charge(tags={"endpoint": "old"}, resource="i-0old"), 24
    )
    log = write_csv(tmp_path / "log.csv", day())

    found = audit(write_focus(tmp_path / "bill.csv", charges), requests=(str(log),))
    finding = next(one for one in found.findings if one.id == "ADV116")

    assert finding.resources == [("old", Decimal(24))]
    assert finding.command.endswith("--finding ADV116")
    assert by_name(found)["old"].usage is None


def test_what_does_not_end_with_an_endpoint_is_no_saving_of_deleting_it(tmp_path, audit):
    """Models sold by the token cost nothing without requests, and a commitment costs the same without its endpoint."""
    committed = Charge(cost=Decimal(0), effective=Decimal(5), kind="covered", tags={"endpoint": "bought"})
    partly = [Charge(tags={"endpoint": "old"}), Charge(kind="covered", resource="i-1", tags={"endpoint": "old"})]
    charges = [Charge(tags={"endpoint": "chat"}), Charge("tokens", resource="claude"), committed, *partly]
    charges = [each for charge in charges for each in hours(charge, 24)]
    log = write_csv(tmp_path / "log.csv", day())

    found = audit(write_focus(tmp_path / "bill.csv", charges), requests=(str(log),))
    (finding,) = (finding for finding in found.findings if finding.id == "ADV116")

    assert {"bought", "old", "chat"} < set(by_name(found))
    assert finding.resources == [("old", Decimal(24))]
    assert float(finding.high) == pytest.approx(730)
    assert "which does not end with an endpoint" in finding.evidence


def test_an_endpoint_that_no_charge_names_has_no_cost(tmp_path, audit):
    """Its cost is unknown, not zero, and that is said."""
    log = write_csv(tmp_path / "log.csv", day(endpoint="embed"))

    found = audit(bill(tmp_path), requests=(str(log),))

    assert by_name(found)["embed"].cost is None
    assert by_name(found)["embed"].cost_per_request is None
    assert any("carries the name of embed" in note for note in found.notes)
    assert "ADV116" not in {one.id for one in found.findings}


@pytest.mark.parametrize(("minutes", "is_found"), [(24 * 60, True), (60, False)])
def test_a_log_of_part_of_the_cost_does_not_prove_an_endpoint_silent(tmp_path, audit, minutes, is_found):
    """An endpoint of two days is without requests only where the log has lines of both days."""
    charges = [*hours(Charge(tags={"endpoint": "chat"}), 48), *hours(Charge(tags={"endpoint": "old"}), 48)]
    log = write_csv(tmp_path / "log.csv", [request(0), request(minutes)])

    found = audit(write_focus(tmp_path / "bill.csv", charges), requests=(str(log),))

    assert ("ADV116" in {finding.id for finding in found.findings}) is is_found


def test_a_log_of_other_days_is_left_out(tmp_path, audit):
    """A log of the month after the bill says nothing of its endpoints, and that is said."""
    rows = [{**row, "timestamp": row["timestamp"].replace("2026-10", "2026-11")} for row in day(120)]
    log = write_csv(tmp_path / "log.csv", rows)

    found = audit(bill(tmp_path), requests=(str(log),))

    assert any("120 requests of the log of other days than the bill" in note for note in found.notes)
    assert by_name(found)["chat"].usage is None
    assert "ADV116" not in {finding.id for finding in found.findings}


def litellm(number, **other):
    """One row of LiteLLM_SpendLogs."""
    return {
        "request_id": f"r{number}", "call_type": "acompletion", "api_key": "hashed", "spend": "0.0125",
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "startTime": f"{START + timedelta(minutes=number):%Y-%m-%d %H:%M:%S.%f}",
        "endTime": f"{START + timedelta(minutes=number, seconds=2):%Y-%m-%d %H:%M:%S.%f}", "model": "gpt-5",
        "model_group": "assistant", "team_id": "search", "cache_hit": "False", "status": "success",
        "messages": json.dumps([{"role": "user", "content": f"{SECRET} {number % 5}"}]), "response": "{}", **other,
    }  # fmt: skip


def test_spend_logs_of_litellm(tmp_path, audit):
    """What the log states as spend is an endpoint's cost where the bill has none; failures are by status."""
    rows = [litellm(number, status="failure" if number % 20 == 0 else "success") for number in range(200)]
    log = write_csv(tmp_path / "spend.csv", rows)

    found = audit(bill(tmp_path), requests=(str(log),))
    one = by_name(found)["assistant"]

    assert (one.cost, one.cost_source) == (Decimal("2.5"), "log")
    assert one.cost_per_request == Decimal("0.0125")
    assert (one.usage.requests, one.usage.errors) == (200, 10)
    assert found.traffic.teams[0].name == "search"


def test_the_daily_table_of_litellm_counts_requests(tmp_path, audit):
    """One row for a day, a team and a model."""
    row = {"date": "2026-10-01", "team_id": "t", "model_group": "assistant", "prompt_tokens": 1000, "completion_tokens": 50,
           "spend": "1.5", "api_requests": 40, "successful_requests": 38, "failed_requests": 2}  # fmt: skip
    log = write_csv(tmp_path / "daily.csv", [row])

    usage = by_name(audit(bill(tmp_path), requests=(str(log),)))["assistant"].usage

    assert (usage.requests, usage.errors, usage.input_tokens) == (40, 2, 1000)


def test_repeated_prompts_are_counted_exactly(tmp_path, audit):
    """Of 12,000 prompts 7,000 are different: the share of repeated ones has no error and no chance in it."""
    rows = [
        {"timestamp": "2026-10-01T00:00:00Z", "endpoint": "chat", "prompt": f"prompt {n % 7000}"} for n in range(12000)
    ]

    found = audit(bill(tmp_path), requests=(str(write_csv(tmp_path / "log.csv", rows)),))

    (usage,) = (endpoint.usage for endpoint in found.endpoints if endpoint.name == "chat")
    assert usage.repeated_ratio == pytest.approx(1 - 7000 / 12000, abs=1e-12)


@pytest.mark.sampled(3)
def test_prompts_are_neither_kept_nor_shown(tmp_path, run_advisor):
    """Prompts are counted by hash: not in the output, not in what is said, and the log is as it was."""
    rows = [litellm(number) for number in range(100)]
    log = write_csv(tmp_path / "spend.csv", rows)
    before = log.read_bytes()

    for form in ("table", "json", "markdown", "sarif"):
        done = run_advisor("audit", bill(tmp_path), "--requests", log, "--format", form)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert log.read_bytes() == before
    done = run_advisor("audit", bill(tmp_path), "--requests", log, "--format", "json")
    (one,) = [each for each in json.loads(done.stdout)["endpoints"] if each["name"] == "assistant"]
    assert one["repeated_ratio"] == pytest.approx(0.95)
    assert any("not kept" in note for note in json.loads(done.stdout)["notes"])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("damage", ["cut", "quote", "json", "number"])
def test_a_damaged_log_is_named_without_a_word_of_it(tmp_path, run_advisor, damage):
    """What the database would show of the line is not shown: it may be a prompt."""
    rows = [litellm(number) for number in range(20)]
    log = write_csv(tmp_path / "spend.csv", rows)
    text = log.read_text()
    match damage:
        case "cut":
            log.write_text(text + f"r99,{SECRET}\nExpected Number of {SECRET}\nfile = {SECRET}\n")
        case "quote":
            log.write_text(text + f'r99,"{SECRET}\n')
        case "number":
            log.write_text(text.replace(",120,", f",{SECRET},"))
        case "json":
            log = tmp_path / "spend.jsonl"
            log.write_text("".join(json.dumps(row) + "\n" for row in rows) + f'{{"messages": "{SECRET}\n')

    done = run_advisor("audit", bill(tmp_path), "--requests", log)

    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if damage == "number" else 1), done.stderr
    assert damage == "number" or "spend" in done.stderr


def test_json_lines_and_parquet_are_read_alike(tmp_path, audit):
    """The same requests in three kinds of files."""
    rows = day(100)
    lines = tmp_path / "log.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    paths = (write_csv(tmp_path / "log.csv", rows), lines, tmp_path / "log.parquet")

    usages = [by_name(audit(bill(tmp_path), requests=(str(path),)))["chat"].usage for path in paths]

    assert usages[0] == usages[1] == usages[2]


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000])
def test_times_may_count_since_1970(tmp_path, audit, factor):
    """Seconds, milliseconds, microseconds."""
    begin = int(START.timestamp())
    rows = [{**row, "timestamp": (begin + 60 * number) * factor} for number, row in enumerate(day(120))]
    log = write_csv(tmp_path / "log.csv", rows)

    seconds = audit(bill(tmp_path), requests=(str(log),)).traffic.seconds

    assert seconds == (begin, begin + 24 * 3600)


def test_a_log_without_a_known_column_names_the_nearest(tmp_path, audit):
    """Columns that nobody knows."""
    log = write_csv(tmp_path / "log.csv", [{"time_stamp_utc": "x", "tokens": "y"}])

    with pytest.raises(InputError, match="no column of a request log") as caught:
        audit(bill(tmp_path), requests=(str(log),))

    assert "time_stamp_utc" in caught.value.message


def otel_line(number, count, kind="cumulative"):
    """A batch of metrics: requests, failed ones, tokens in and out; *count* is the running total, or the step."""
    temporality = 2 if kind == "cumulative" else 1
    begin = int(START.timestamp()) * 10**9
    stamp = {"startTimeUnixNano": str(begin), "timeUnixNano": str(begin + number * 60 * 10**9)}

    def attributes(**values):
        return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in values.items()]

    def histogram(name, points):
        return {"name": name, "histogram": {"aggregationTemporality": temporality, "dataPoints": points}}

    duration = [
        {**stamp, "count": str(count), "sum": count * 2.0, "attributes": attributes(gen_ai__request__model="llama")},
        {**stamp, "count": str(count // 10), "sum": 1.0,
         "attributes": attributes(gen_ai__request__model="llama", error__type="timeout")},
    ]  # fmt: skip
    tokens = [
        {**stamp, "count": str(count), "sum": count * size,
         "attributes": attributes(gen_ai__request__model="llama", gen_ai__token__type=way)}
        for way, size in (("input", 100), ("output", 50))
    ]  # fmt: skip
    metrics = [histogram("gen_ai.server.request.duration", duration), histogram("gen_ai.client.token.usage", tokens)]
    resource = {"attributes": attributes(service__name="chat", team="search")}
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}) + "\n"


@pytest.mark.parametrize("kind", ["cumulative", "delta"])
def test_metrics_of_opentelemetry(tmp_path, audit, kind):
    """Running totals and steps come to the same; requests, errors and tokens by endpoint."""
    steps = [otel_line(number, 100 * number if kind == "cumulative" else 100, kind) for number in range(1, 13)]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(steps))

    usage = by_name(audit(bill(tmp_path), requests=(str(log),)))["chat"].usage

    assert (usage.requests, usage.errors) == (1200 + 120, 120)
    assert (usage.input_tokens, usage.output_tokens) == (120_000, 60_000)


@pytest.mark.parametrize("kind", ["cumulative", "delta"])
def test_a_point_counts_in_the_hour_that_it_ends(tmp_path, audit, kind):
    """The same number in each hour until midnight, the last told then: all of one day, and none of the next."""
    midnight = START.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    hours = int((midnight - START) / timedelta(hours=1))
    totals = [100 * number if kind == "cumulative" else 100 for number in range(1, hours + 1)]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(otel_line(60 * number, total, kind) for number, total in enumerate(totals, 1)))

    chat = by_name(audit(bill(tmp_path), requests=(str(log),)))["chat"].usage

    assert chat.peak_ratio == pytest.approx(24 / hours)


def test_a_restart_of_a_running_total_is_counted_on(tmp_path, audit):
    """A process that starts anew begins at nothing."""
    again = json.loads(otel_line(3, 50))
    text = json.dumps(again).replace(str(int(START.timestamp()) * 10**9), str(int(START.timestamp() + 150) * 10**9), 4)
    log = tmp_path / "metrics.jsonl"
    log.write_text(otel_line(1, 100) + otel_line(2, 200) + text + "\n")

    usage = by_name(audit(bill(tmp_path), requests=(str(log),)))["chat"].usage

    assert usage.input_tokens == 25_000


def test_the_log_of_the_test_is_sound(tmp_path):
    """The writer above quotes JSON in cells: a reader gets it back."""
    log = write_csv(tmp_path / "spend.csv", [litellm(1)])

    with log.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert SECRET in json.loads(row["messages"])[0]["content"]


BUCKET = {"num_model_requests": 1200, "model": "gpt-5-mini", "input_tokens": 10**6, "output_tokens": 2 * 10**5}


def log_audit(folder, audit, rows, **other):
    """The audit of a day's bill beside a log of some rows."""
    return audit(bill(folder), requests=(str(write_csv(folder / "log.csv", rows)),), **other)


def test_lines_that_stand_for_many_requests_count_as_many(tmp_path, audit):
    """OpenAI's usage export: a line a day with its number of requests, and days without any."""
    rows = [
        {"start_time": int(START.timestamp()), **BUCKET},
        {"start_time": int(START.timestamp()), **BUCKET, "num_model_requests": 800},
        {"start_time": int((START + timedelta(days=1)).timestamp()), **dict.fromkeys(BUCKET, "")},
    ]

    found = log_audit(tmp_path, audit, rows)

    assert [(usage.name, usage.requests, usage.input_tokens) for usage in found.traffic.endpoints] == [
        ("gpt-5-mini", 2000, 2 * 10**6)
    ]


def test_a_number_of_requests_by_another_name_is_told(tmp_path, audit):
    """It is not read, so each line counts once, which is said with the column."""
    found = log_audit(tmp_path, audit, [request(n_llm_requests=500)])

    assert by_name(found)["chat"].usage.requests == 1
    assert any("n_llm_requests is not read, and each line counts as one request" in note for note in found.notes)


@pytest.mark.parametrize(
    ("failure", "success"),
    [
        ({"status": "500.0"}, {"status": "200.0"}),
        ({"status": "canceled"}, {"status": "ok"}),
        ({"status": "aborted"}, {"status": "SUCCESS"}),
        ({"status": "", "error": "rate limit reached"}, {"status": "", "error": "None"}),
        ({"status": 200, "error": "context length exceeded"}, {"status": 200, "error": ""}),
        ({"status": "", "is_error": "True"}, {"status": "", "is_error": "False"}),
    ],
)
def test_failures_in_the_words_of_logs(tmp_path, audit, failure, success):
    """Codes that a spreadsheet made decimals of, other spellings, and messages in a column of errors."""
    found = log_audit(tmp_path, audit, [request(0, **failure), request(1, **success), request(2, **success)])

    assert by_name(found)["chat"].usage.errors == 1


@pytest.mark.parametrize(
    "line",
    [
        {"usage": {"prompt_tokens": 100, "completion_tokens": 10}},
        {"usage": {"input_tokens": 100, "output_tokens": 10}},
        {"input": {"inputTokenCount": 100}, "output": {"outputTokenCount": 10}},
    ],
)
def test_tokens_inside_of_objects(tmp_path, audit, line):
    """Answers of OpenAI's and Anthropic's interfaces as they came, and Bedrock's log; as lines and as one list."""
    rows = [{"timestamp": f"{START:%Y-%m-%dT%H:%M:%SZ}", "model": "m", **line}] * 2
    lines, listed = tmp_path / "lines.jsonl", tmp_path / "list.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed.write_text(json.dumps(rows, indent=1))

    for log in (lines, listed):
        usage = by_name(audit(bill(tmp_path), requests=(str(log),)))["m"].usage
        assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, 200, 20)


def test_unknown_tokens_are_told(tmp_path, audit):
    """A log without a column of tokens that is known here: a note names those that it has."""
    found = log_audit(
        tmp_path, audit, [{"timestamp": START.isoformat(), "model": "m", "tok_in": 5, "output_tokens": 1}]
    )

    assert by_name(found)["m"].usage.input_tokens is None
    assert any("no column of input tokens that is known here" in note and "tok_in" in note for note in found.notes)


def test_texts_without_counts_of_tokens_are_told(tmp_path, audit):
    """Prompts and answers as texts, in the columns in which others have objects with counts."""
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"timestamp": START.isoformat(), "model": "m", "input": "hello", "output": "[1]"}) + "\n")

    found = audit(bill(tmp_path), requests=(str(log),))

    assert by_name(found)["m"].usage.input_tokens is None
    assert any("no column of input tokens and of output tokens that is known here" in note for note in found.notes)


def test_times_that_cannot_be_read_are_told(tmp_path, audit):
    """Times of spreadsheets and of Python's logs are read; a word is not, and is said with its column."""
    times = ["10/01/2026 13:30", "10/1/2026 1:30:00 PM", "2026-10-01 13:30:00,123", "yesterday"]

    found = log_audit(tmp_path, audit, [{**request(), "timestamp": time} for time in times])

    assert by_name(found)["chat"].usage.requests == 4
    assert found.traffic.endpoints[0].peak_ratio == pytest.approx(24)
    assert any("1 request whose timestamp is not a time that can be read" in note for note in found.notes)


def test_dates_that_begin_with_the_day_are_refused(tmp_path, audit):
    """2 October would be read as 10 February beside them."""
    rows = [{**request(), "timestamp": time} for time in ("02/10/2026 10:00", "13/10/2026 10:00")]

    with pytest.raises(InputError, match="timestamp names the day before the month, such as '13/10/2026'"):
        log_audit(tmp_path, audit, rows)


def test_spend_of_some_requests_is_no_cost_of_all(tmp_path, audit):
    """A log with spend beside one without: their endpoint's cost is unknown, and so is its share of errors."""
    row = {"timestamp": START.isoformat(), "model": "m", "input_tokens": 1, "output_tokens": 1}
    with_spend = write_csv(
        tmp_path / "a.csv", [{**row, "status": 500, "spend": "0.5"}, {**row, "spend": "", "status": 200}]
    )
    without = write_csv(tmp_path / "b.csv", [row] * 98)

    found = audit(bill(tmp_path), requests=(str(with_spend), str(without)))

    assert by_name(found)["m"].cost is None
    assert by_name(found)["m"].usage.errors is None
    assert any("a.csv: 1 request without spend" in note for note in found.notes)


def test_days_of_another_time_zone_are_days(tmp_path, audit):
    """A line a day at midnight of Los Angeles: the peak hour is unknown, not 24 times the mean."""
    rows = [{**request(), "timestamp": f"2026-10-0{day}T00:00:00-07:00", "requests": 24} for day in (1, 2, 3)]
    charges = hours(Charge(tags={"endpoint": "chat"}), 96)

    found = audit(write_focus(tmp_path / "bill.csv", charges), requests=(str(write_csv(tmp_path / "log.csv", rows)),))

    assert by_name(found)["chat"].usage.peak_ratio is None


def otel_audit(folder, audit, **files):
    """The audit of a day's bill beside logs of these lines, by name; with the usage of the endpoint."""
    (folder / "logs").mkdir(exist_ok=True)
    for name, lines in files.items():
        (folder / "logs" / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    found = audit(bill(folder), requests=(str(folder / "logs"),))
    return by_name(found)["chat"].usage, found.notes


def begun(line, minutes):
    """A line whose totals began other minutes after the begin of the bill."""
    moved = int((START + timedelta(minutes=minutes)).timestamp()) * 10**9
    return line.replace(f'"startTimeUnixNano": "{int(START.timestamp()) * 10**9}"', f'"startTimeUnixNano": "{moved}"')


def test_a_total_that_began_long_before_the_log_counts_from_its_first_point(tmp_path, audit):
    """A rotated file begins with all that was counted since the process started days ago."""
    lines = [begun(otel_line(number, 100_000 + 100 * number), -60 * 48) for number in range(13)]

    usage, notes = otel_audit(tmp_path, audit, metrics=lines)

    assert (usage.input_tokens, usage.output_tokens) == (120_000, 60_000)
    assert any("running totals that began more than an hour before their first point" in note for note in notes)


def test_parts_of_a_log_count_on(tmp_path, audit):
    """Two files of one process, the later one first by name, and a byte order mark: as one file."""
    lines = [otel_line(number, 100 * number) for number in range(1, 13)]

    usage, _ = otel_audit(tmp_path, audit, b=["\ufeff", *lines[:6]], a=lines[6:])

    assert usage.input_tokens == 120_000


def test_processes_without_names_take_turns(tmp_path, audit):
    """Two replicas whose points carry the same attributes: their totals are told apart by when they began."""
    lines = [
        line
        for number in range(3, 13)
        for line in (otel_line(number, 100 * number), begun(otel_line(number, 10 * number), 1))
    ]

    usage, _ = otel_audit(tmp_path, audit, metrics=lines)

    assert usage.input_tokens == (1200 + 120) * 100


def test_points_behind_later_ones_are_left_out(tmp_path, audit):
    """A total that comes late has been counted with the one after it."""
    lines = [otel_line(number, 100 * number) for number in (1, 3, 2, 4)]

    usage, notes = otel_audit(tmp_path, audit, metrics=lines)

    assert usage.input_tokens == 40_000
    assert any("points of running totals that stand behind a later one are left out" in note for note in notes)


def test_no_request_has_no_peak(tmp_path, audit):
    """A single point of a total that began days ago: nothing is known to have been served, and no ratio is made."""
    usage, _ = otel_audit(tmp_path, audit, metrics=[begun(otel_line(0, 1000), -60 * 48)])

    assert (usage.requests, usage.peak_ratio) == (0, None)


def test_a_log_given_twice_counts_once(tmp_path, audit):
    """A copy under another name, as bills have it."""
    for name in ("log.csv", "copy.csv"):
        write_csv(tmp_path / name, day(10))

    found = audit(bill(tmp_path), requests=(str(tmp_path / "log.csv"), str(tmp_path / "copy.csv")))

    assert by_name(found)["chat"].usage.requests == 10
    assert any("copy.csv is the same as" in note and "counted once" in note for note in found.notes)


def test_spend_in_dollars_is_no_cost_in_another_currency(tmp_path, audit):
    """Spend counts in USD: beside a bill in euros it is unknown, until a rate brings both into one currency."""
    log = write_csv(tmp_path / "log.csv", [request(0, endpoint="other", spend="0.5")])
    path = bill(tmp_path, currency="EUR")

    found = audit(path, requests=(str(log),))
    assert by_name(found)["other"].cost is None
    assert any("--rate EUR=RATE brings both into one currency" in note for note in found.notes)

    converted = audit(path, requests=(str(log),), question={"rates": {"EUR": Decimal("1.1")}})
    assert by_name(converted)["other"].cost == Decimal("0.5")
