"""Hostile text in every place of a plan, an estate and a bill: Markdown shows it, and makes nothing of it."""

import copy
import json
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from advisor.audit.run import Inputs, audited
from advisor.errors import AdvisorError
from advisor.plan.document import plan_from_json
from advisor.plan.estate.document import estate_from_json
from advisor.report.bill_table import audit_markdown
from advisor.report.estate_table import estate_markdown
from advisor.report.plan_diff import diff_markdown, estate_diff, estate_diff_markdown, plan_diff
from advisor.report.verdict import plan_markdown
from attack.readers import READERS
from audit.bills import Charge, hours, write_bill

HOSTILE = (
    "@ops",
    "a@b.example",
    "x | y\n\n# z",
    "![i](http://x/i.png)",
    "[l](javascript:1)",
    "<img src=x onerror=1>",
    "https://x.example",
    "www.x.example",
    "#12 !34",
    "- [ ] a",
    "```\n",
    "~~a~~ **b** `c`",
    "&#64;ops &lt;b&gt;",
    "1. a",
    "$`x`$ \\(x\\)",
    "[//]: # (x)",
    "a\x1b[1mb\u202e",
)
READ_BACK = MarkdownIt("commonmark").enable(["table", "strikethrough"])
BLOCKS = {
    "heading", "paragraph", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td", "inline", "fence",
}  # fmt: skip
INLINE = {"text", "strong"}
OF_HOSTS = re.compile(r"@\w|[#!]\d|\w://|www\.|[\x00-\x08\x0b-\x1f\u202a-\u202e]")


def structure(markdown):
    """Blocks of a text, after a look at what is in them."""
    tokens = READ_BACK.parse(markdown)
    kinds = [re.sub("_(open|close)$", "", token.type) for token in tokens]
    assert set(kinds) <= BLOCKS
    for token in tokens:
        parts = token.children or ()
        assert {re.sub("_(open|close)$", "", part.type) for part in parts} <= INLINE, token.content
        assert OF_HOSTS.search("".join(part.content for part in parts)) is None, token.content
    return kinds


def with_text(document, text):
    """Copies of a JSON value, in each of which another of its texts is *text*."""
    for path in _texts(document):
        changed = copy.deepcopy(document)
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = text
        yield json.dumps(changed)


def _texts(value):
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        if isinstance(value[key], str):
            yield (key,)
        yield from ((key, *rest) for rest in _texts(value[key]))


def plan_texts(plan):
    """Markdown of a plan, and of what it changes."""
    return plan_markdown(plan, verbose=True), diff_markdown(
        plan_diff(plan_from_json(READERS["plan"].sound()), plan), ()
    )


def estate_texts(estate):
    """Markdown of an estate, and of what it changes."""
    sound = estate_from_json(READERS["estate"].sound())
    return estate_markdown(estate), estate_diff_markdown(estate_diff(sound, estate))


@pytest.mark.parametrize(
    ("name", "read", "texts_of"), [("plan", plan_from_json, plan_texts), ("estate", estate_from_json, estate_texts)]
)
def test_no_text_of_a_document_becomes_markup(name, read, texts_of):
    """Every third text of a document replaced by a hostile one: blocks are as with a harmless text in that place."""
    document = json.loads(READERS[name].sound())
    shown = 0
    for number, (harmless, *attempts) in enumerate(
        zip(*(with_text(document, text) for text in ("x y", *HOSTILE)), strict=True)
    ):
        if number % 3:  # a third of the places takes seconds
            continue
        hostile = attempts[number // 3 % len(attempts)]
        try:
            expected = [structure(text) for text in texts_of(read(harmless))]
            texts = texts_of(read(hostile))
        except AdvisorError:
            continue
        assert [structure(text) for text in texts] == expected
        shown += 1
    assert shown > 5


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_of_a_plan_becomes_markup(text):
    """The workload's name is in headings, sentences and cells, and is shown as it is."""
    plan = plan_from_json(READERS["plan"].sound())

    for markdown in plan_texts(replace(plan, workload={**plan.workload, "name": text, "model": text})):
        structure(markdown)
        rendered = "".join(part.content for token in READ_BACK.parse(markdown) for part in token.children or ())
        assert " ".join(re.sub("[\x1b\u202e]", "?", text).split()) in rendered.replace("\u2060", "")


def test_no_name_of_a_bill_becomes_markup(tmp_path):
    """Resources, tags, endpoints and teams of a bill and its log."""
    charges = [replace(each, resource=text, tags={"team": text}) for text in HOSTILE for each in hours(Charge(), 2)]
    bill = write_bill(tmp_path, "focus", charges)
    log = tmp_path / "log.jsonl"
    log.write_text("".join(
        json.dumps({"timestamp": "2026-10-01T00:30:00Z", "endpoint": text, "team": text, "input_tokens": 9, "status": 500}) + "\n"
        for text in HOSTILE
    ))  # fmt: skip
    with audited(Inputs((str(bill),), requests=(str(log),), tags=("team",))) as opened:
        markdown = audit_markdown(opened.audit)

    structure(markdown)
    assert "onerror" in markdown
