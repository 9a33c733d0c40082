"""From metrics pages to values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.exporters import shipped
from advisor.samples.metrics import Buckets
from advisor.samples.sources.engines import MOST_TARGETS, PageReader
from samples.sources.engines.exhibits import MODEL, SGLANG_PAGE, TGI_PAGE, VLLM_LATENCY_BOUNDS, triton_page, vllm_page

VLLM, SGLANG, TGI, TRITON = "vllm", "sglang", "tgi", "triton"


def reader_of(engine):
    """A reader that has not seen a page yet."""
    exporter = shipped().exporters[engine]
    return PageReader(exporter, shipped().of(exporter))


def read(engine, text):
    """The page, by a reader that has not seen one yet."""
    return reader_of(engine).read(text)


def only(engine, text):
    """The one model and rank of a page."""
    (values,) = read(engine, text).engines
    return values


def vllm_line(rest, name="num_requests_running"):
    """A page of one line."""
    return f"vllm:{name}{rest}\n"


def test_vllm():
    """Every wanted value of a vLLM page is found; requests that were aborted or failed ended too."""
    engine = only(VLLM, vllm_page())
    assert (engine.model, engine.rank) == (MODEL, 0)
    assert engine.values == {
        "requests_running": 3, "requests_waiting": 2, "kv_cache_used_ratio": 0.25, "prompt_tokens": 123456,
        "generated_tokens": 65432, "requests_finished": 48, "preemptions": 5, "prefix_cache_queries": 100000,
        "prefix_cache_hits": 60000,
    }  # fmt: skip
    lengths = {"prompt_length_tokens", "answer_length_tokens"}
    assert set(engine.buckets) == {"ttft_seconds", "tpot_seconds", "e2e_seconds"} | lengths
    ttft = engine.buckets["ttft_seconds"]
    assert ttft.bounds == (*VLLM_LATENCY_BOUNDS, math.inf)
    assert (ttft.counts[0], ttft.counts[-1], ttft.total) == (2, 40, 12.5)


def test_old_names_of_vllm():
    """The names before vLLM 0.9 give the same values."""
    new, old = only(VLLM, vllm_page()), only(VLLM, vllm_page(old_names=True))
    assert (old.values, old.buckets) == (new.values, new.buckets)


def test_ranks_are_kept_apart():
    """Each rank of a model has values of its own."""
    page = read(VLLM, vllm_page(ranks=3))
    assert [(e.rank, e.values["requests_running"]) for e in page.engines] == [(0, 3), (1, 4), (2, 5)]


def test_models_are_kept_apart():
    """Each model of a page has values of its own."""
    page = read(VLLM, vllm_page("a") + vllm_page("b"))
    assert [(e.model, len(e.values)) for e in page.engines] == [("a", 9), ("b", 9)]


def test_sglang():
    """Series of the scheduler and of the front end, which names no rank, meet in one engine."""
    engine = only(SGLANG, SGLANG_PAGE)
    assert (engine.model, engine.rank) == (MODEL, 0)
    assert engine.values == {
        "requests_running": 6, "requests_waiting": 4, "kv_cache_used_ratio": 0.28, "prompt_tokens": 8128902,
        "generated_tokens": 7557572, "requests_finished": 1024, "preemptions": 2, "prefix_cache_queries": 8128902,
        "prefix_cache_hits": 51500,
    }  # fmt: skip
    assert engine.buckets["tpot_seconds"] == Buckets((0.002, 0.01, 0.1, math.inf), (2, 4, 6, 6), 0.3)


def test_ranks_that_work_on_the_same_requests_count_once():
    """Tensor-parallel ranks of SGLang repeat the same requests; data-parallel ranks have their own."""
    lines = [
        f'sglang:num_running_reqs{{model_name="m",dp_rank="{dp}",tp_rank="{tp}"}} {4 + dp}.0\n'
        for dp in (0, 1)
        for tp in (0, 1)
    ]
    page = read(SGLANG, "".join([*lines, 'sglang:generation_tokens_total{model_name="m"} 90.0\n']))
    assert [(e.rank, dict(e.values)) for e in page.engines] == [
        (0, {"requests_running": 4, "generated_tokens": 90}), (1, {"requests_running": 5}),
    ]  # fmt: skip


def test_tgi():
    """TGI names no model; its tokens stand in sums of histograms, and a token's time in that of a decoding step."""
    engine = only(TGI, TGI_PAGE)
    assert (engine.model, engine.rank) == (None, 0)
    assert engine.values == {
        "requests_running": 12, "requests_waiting": 3, "prompt_tokens": 51200, "generated_tokens": 25600,
        "requests_finished": 480,
    }  # fmt: skip
    assert engine.buckets == {
        "tpot_seconds": Buckets((0.01, 0.02, math.inf), (2, 4, 4), 0.05),
        "e2e_seconds": Buckets((0.5, 1.0, 2.0, math.inf), (2, 4, 6, 6), 7.5),
        "prompt_length_tokens": Buckets((100.0, math.inf), (2, 500), 51200),
        "answer_length_tokens": Buckets((100.0, math.inf), (2, 500), 25600),
    }


def test_triton():
    """Triton counts per model and version; milliseconds become seconds, and blocks in use a ratio."""
    before, llm = read(TRITON, triton_page()).engines
    assert (before.model, before.values) == ("preprocessing", {"requests_waiting": 1, "requests_finished": 42})
    assert llm.values == {
        "requests_running": 5, "requests_waiting": 9, "requests_finished": 42, "kv_cache_used_ratio": 1560 / 6239,
    }  # fmt: skip
    assert llm.buckets["ttft_seconds"] == Buckets((0.1, 0.5, 2.0, math.inf), (2, 4, 5, 5), 1.5)


def test_the_fraction_that_triton_states_comes_first():
    """A stated fraction of KV blocks is preferred to the quotient of two readings."""
    _, llm = read(TRITON, triton_page((("fraction", 0.5), ("used", 1), ("max", 10)))).engines
    assert llm.values["kv_cache_used_ratio"] == 0.5


@pytest.mark.parametrize("kinds", [(("used", 5),), (("used", 5), ("max", 0)), (("used", math.nan), ("max", 9))])
def test_no_quotient_without_both_readings(kinds):
    """A share of KV blocks that cannot be computed is unknown, not zero."""
    _, llm = read(TRITON, triton_page(kinds)).engines
    assert "kv_cache_used_ratio" not in llm.values


@pytest.mark.parametrize(
    ("text", "speakers"),
    [
        (vllm_page(), ["vllm"]),
        (SGLANG_PAGE, ["sglang"]),
        (SGLANG_PAGE.replace("sglang:", "sglang_"), ["sglang"]),
        (TGI_PAGE, ["tgi"]),
        (triton_page(), ["triton"]),
        (triton_page() + vllm_page(), ["vllm", "triton"]),
        ("", []),
        ("# HELP vllm:x says nothing\nxvllm:num_requests_running 1\n", []),
    ],
    ids=["vllm", "sglang", "sglang with underscores", "tgi", "triton", "vllm in triton", "empty", "a mention"],
)
def test_whose_page_it_is(text, speakers):
    """A page is known by what its names begin with."""
    assert [one.key for one in shipped().engines() if reader_of(one.key).speaks(text)] == speakers


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (vllm_line(" 7"), 7),
        (vllm_line('{engine="0"} 7.0'), 7),
        (vllm_line('{engine="0"}  7e0  1700000000000'), 7),
        (vllm_line('{engine="0"} 7 1700000000.123'), 7),
        (vllm_line('{engine="0"} 7 # {trace_id="a b"} 0.5 1700000000.1'), 7),
        (vllm_line('{ engine = "0" , model_name = "m" , } 7'), 7),
        (vllm_line('{model_name="a} 9 \\" , { b"} 7'), 7),
        (vllm_line("{}\t7\r"), 7),
    ],
)
def test_forms_of_a_line(line, value):
    """Blanks, timestamps, exemplars, escapes and braces within quotes are all of the format."""
    page = read(VLLM, line)
    assert (page.malformed_lines, page.engines[0].values) == (0, {"requests_running": value})


def test_escapes_in_labels():
    """A label is given back as it was before it was written down."""
    assert only(VLLM, vllm_line('{model_name="a\\\\b\\"c\\nd"} 1')).model == 'a\\b"c\nd'


@pytest.mark.parametrize(
    "line",
    [
        vllm_line(" seven"),
        vllm_line(" 1_000"),
        vllm_line('{engine="0" 7'),
        vllm_line("{engine=0} 7"),
        vllm_line('{engine="0",engine="1"} 7'),
        vllm_line('{engine="0"}'),
        vllm_line('{engine="0"} 7 8 9'),
        vllm_line('{engine="0"} # 7'),
        vllm_line('{le="many"} 7', "time_to_first_token_seconds_bucket"),
        vllm_line('{le="NaN"} 7', "time_to_first_token_seconds_bucket"),
        vllm_line(" 7", "time_to_first_token_seconds_bucket"),
    ],
)
def test_malformed_lines_are_counted_and_skipped(line):
    """A malformed line gives no value and does not take the next one with it."""
    page = read(VLLM, line + vllm_line(" 2", "num_requests_waiting"))
    assert (page.malformed_lines, [e.values for e in page.engines]) == (1, [{"requests_waiting": 2}])


def test_a_last_line_that_may_have_been_cut_is_not_believed():
    """A number at the very end of a page without a line feed may lack digits."""
    page = read(VLLM, "vllm:num_requests_waiting 2\nvllm:num_requests_running 12")
    assert page.engines[0].values == {"requests_waiting": 2}


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf", "1e400", "1e308", "-1"])
def test_what_is_no_measurement_is_unknown(text):
    """NaN and infinity are values of the format, and no reading; nor is what no engine can count."""
    page = read(VLLM, vllm_line(f" {text}"))
    assert (page.malformed_lines, page.engines[0].values) == (0, {})


def ttft(*lines):
    """A histogram made of lines."""
    return "".join(f"vllm:time_to_first_token_seconds{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "buckets"),
    [
        (ttft('_bucket{le="2"} 3', '_bucket{le="0.5"} 1', '_bucket{le="+Inf"} 4', "_sum 5"), ((0.5, 2, math.inf), (1, 3, 4))),
        (ttft('_bucket{le="0.5"} 1', "_count 4", "_sum 5"), ((0.5, math.inf), (1, 4))),
        (ttft('_bucket{le="0.5",x="a"} 1', '_bucket{le="0.5",x="b"} 2', '_bucket{le="+Inf",x="a"} 3',
              '_bucket{le="+Inf",x="b"} 3', '_sum{x="a"} 2', '_sum{x="b"} 3'), ((0.5, math.inf), (3, 6))),
    ],
    ids=["any order", "no infinite bucket", "summed over a label"],
)  # fmt: skip
def test_histograms_have_the_bounds_of_the_page(text, buckets):
    """Bounds are read from the page, in ascending order, up to infinity."""
    assert only(VLLM, text).buckets == {"ttft_seconds": Buckets(*buckets, 5)}


@pytest.mark.parametrize(
    "text",
    [
        ttft('_bucket{le="0.5"} 3', '_bucket{le="+Inf"} 1', "_sum 5"),
        ttft('_bucket{le="0.5"} 3', "_sum 5"),
        ttft('_bucket{le="+Inf"} 3'),
        ttft('_bucket{le="0.5"} NaN', '_bucket{le="+Inf"} 3', "_sum 5"),
        ttft("_count 3", "_sum 5"),
    ],
    ids=["falling", "no end", "no sum", "not a number", "no buckets"],
)
def test_a_histogram_that_is_not_whole_is_left_out(text):
    """Half a histogram is none, and the page says so."""
    page = read(VLLM, text)
    assert [e.buckets for e in page.engines] == [{}]
    assert page.remarks == ("histogram vllm:time_to_first_token_seconds is not whole",)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("1e400", "over 9.2e+18"), ("9.3e18", "over 9.2e+18"), ("NaN", "not a number"), ("-5", "negative")],
)
def test_a_value_that_is_no_reading_is_unknown_and_told(value, reason):
    """It is left out with a remark, alone or as a part of a sum; the other values of the page stay."""
    page = read(VLLM, vllm_line(f" {value}") + vllm_line(" 2", "num_requests_waiting"))
    assert [dict(engine.values) for engine in page.engines] == [{"requests_waiting": 2}]
    assert page.remarks == (f"vllm:num_requests_running is {reason}",)
    summed = read(VLLM, vllm_line('{x="a"} 7') + vllm_line(f'{{x="b"}} {value}') + vllm_line('{x="c"} 9'))
    assert [dict(engine.values) for engine in summed.engines] == [{}]
    assert summed.remarks == page.remarks


def test_a_sum_that_is_no_reading_is_unknown_and_told():
    """Series that are readings each may add up to what no row can hold."""
    page = read(VLLM, vllm_line('{x="a"} 9e18') + vllm_line('{x="b"} 9e18'))
    assert [dict(engine.values) for engine in page.engines] == [{}]
    assert page.remarks == ("vllm:num_requests_running is over 9.2e+18",)


def test_a_page_of_many_models_is_bounded():
    """However many models a page names, only so many are kept, and the page says how many are not."""
    text = "".join(vllm_line(f'{{model_name="m{n:04}"}} 1') for n in range(MOST_TARGETS + 7))
    page = read(VLLM, text)
    assert (len(page.engines), page.remarks) == (
        MOST_TARGETS,
        (f"7 of {MOST_TARGETS + 7} models and ranks are left out",),
    )


def test_what_is_remembered_is_bounded():
    """A page whose labels change each time does not fill the memory."""
    reader = reader_of(VLLM)
    for page in range(40):
        reader.read("".join(vllm_line(f'{{x="{page}-{n}"}} 1') for n in range(500)))
    assert len(reader._known) < 10_000
    assert reader.read(vllm_page()).engines == read(VLLM, vllm_page()).engines


def test_one_huge_page_or_label_is_bounded():
    """Series beyond a bound, and labels that nobody would give, count as malformed and are not remembered."""
    reader = reader_of(VLLM)
    many = reader.read("".join(vllm_line(f'{{x="{number}"}} 1') for number in range(20_000)))
    assert (many.malformed_lines, len(reader._known)) == (20_000 - 16_384, 16_384)
    long = reader.read(vllm_line(f'{{model_name="{"m" * 5000}"}} 1') + vllm_line(" 2"))
    assert (long.malformed_lines, [e.values for e in long.engines]) == (1, [{"requests_running": 2}])


@given(st.text(alphabet='vllm:_numreqstwaig{}"=\\,.#0123456789eE+-NaIf \t\r\n', max_size=200))
def test_no_text_makes_it_fail(text):
    """Whatever follows the names, reading a page does not fail and gives only finite values."""
    page = read(VLLM, f"vllm:num_requests_running{text}\n{vllm_line(text)}vllm:num_requests_waiting 3\n")
    assert all(math.isfinite(value) for engine in page.engines for value in engine.values.values())


@given(st.floats(0, 1e18), st.text(max_size=30).filter(lambda text: "\r" not in text))
def test_any_value_and_model_come_back(value, model):
    """A number and a model name come back as they were."""
    escaped = model.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    engine = only(VLLM, vllm_line(f'{{model_name="{escaped}"}} {value!r}'))
    assert (engine.model or "", engine.values) == (model, {"requests_running": value})
