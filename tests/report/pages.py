"""A page as tests read it: elements in order with their attributes and text, as an HTML parser sees them."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img"}


@dataclass
class Element:
    """A tag, its attributes, and the text within it."""

    tag: str
    attributes: dict[str, str]
    parts: list["Element | str"] = field(default_factory=list)

    @property
    def children(self):
        """The elements right within this one."""
        return [one for one in self.parts if isinstance(one, Element)]

    @property
    def text(self):
        """All text within this one."""
        return "".join(one.text if isinstance(one, Element) else one for one in self.parts)

    def all(self, tag):
        """Every element of that tag within this one, in order."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.all(tag)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack = [Element("page", {})]

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} stands twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.stack[-1].parts.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag, attrs):
        self.stack[-1].parts.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack[-1].tag == tag, f"{tag} closes {self.stack[-1].tag}"
        self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].parts.append(data)


def read_page(text):
    """The page; a tag that is not closed where it was opened is an error."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.stack) == 1, f"{reader.stack[-1].tag} is not closed"
    return reader.stack[0]


def table_rows(page, name):
    """Cells of the body of the table that is labelled so."""
    (region,) = [one for one in page.all("div") if one.attributes.get("aria-label") == f"Table: {name}"]
    (body,) = region.all("tbody")
    return [[cell.text for cell in row.children] for row in body.all("tr")]


def bars(page, name):
    """Name and what is told of each bar of a list."""
    (found,) = [one for one in page.all("ul") if one.attributes.get("aria-label") == name]
    return [tuple(span.text for span in row.children if span.tag == "span") for row in found.children]


def check_readable(page):
    """One title, headings in order, names for charts and scrolled tables, unique ids, links that lead somewhere."""
    tags = ("a", "svg", "div", "h1", "h2", "h3", "section", "table", "label", "select", "input", "main")
    ids = [element.attributes["id"] for tag in tags for element in page.all(tag) if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert all(link.attributes["href"][1:] in ids for link in page.all("a"))
    assert len(list(page.all("h1"))) == 1
    assert next(page.all("html")).attributes["lang"] == "en"
    assert all(chart.attributes.get("aria-label") for chart in page.all("svg"))
    regions = [part.attributes for part in page.all("div") if part.attributes.get("role") == "region"]
    names = [region["aria-label"] for region in regions]
    assert len(names) == len(set(names)) == len(list(page.all("table"))) + len(list(page.all("pre")))
    assert all(region.get("tabindex") == "0" for region in regions)
    assert all(head.attributes.get("scope") for head in page.all("th"))


def check_alone(text):
    """No address but anchors and an empty icon; the policy names the script by its hash and forbids the rest."""
    page = read_page(text)
    assert not re.search(r"url\(|@import|\bsrc=|<(iframe|object|embed|img|base|form)\b", text)
    assert [link.attributes["href"] for link in page.all("link")] == ["data:,"]
    assert all(link.attributes["href"].startswith("#") for link in page.all("a"))
    (script,) = page.all("script")
    (policy,) = [
        meta.attributes["content"]
        for meta in page.all("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none';")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert not re.search(r"\son\w+=", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
