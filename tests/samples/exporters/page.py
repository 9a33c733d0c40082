"""The list of names in docs/metrics.md: ``python tests/samples/exporters/page.py`` writes it anew from the table."""

import re
from collections import defaultdict
from pathlib import Path

from advisor.tables import read_rows

ROOT = Path(__file__).parents[3]
_FOLDER = ROOT / "advisor" / "samples" / "exporters"
PAGE = ROOT / "docs" / "metrics.md"
_BEGIN, _END = "<!-- names: begin -->\n", "<!-- names: end -->\n"
GENERATED = re.compile(f"{_BEGIN}.*{_END}", re.DOTALL)


def rendered():
    """The part of the page that is made from the table."""
    names = defaultdict(list)
    for row in read_rows(_FOLDER / "names.csv"):
        names[row["exporter"]].append(row)
    sections = [_section(exporter, names) for exporter in read_rows(_FOLDER / "exporters.csv")]
    return _BEGIN + "\n".join(sections) + _END


def _section(exporter, names):
    lines = [f"### {exporter['title']} (`{exporter['exporter']}`)", ""]
    lines += [f"{exporter['note']}.", ""] if exporter["note"] else []
    if exporter["names_of"]:
        lines += [f"The names of `{exporter['names_of']}`, beginning with `{exporter['prefixes']}`.", ""]
    elif len(exporter["prefixes"].split()) > 1:
        lines += [f"Names begin with {' or '.join(f'`{one}`' for one in exporter['prefixes'].split())}.", ""]
    if exporter["sign"]:
        lines += [f"Only where `{exporter['sign']}` is there too.", ""]
    if rows := names[exporter["exporter"]]:
        metrics = dict.fromkeys(row["metric"] for row in rows)
        lines += ["| metric | names, the best first |", "|---|---|"]
        lines += [f"| `{metric}` | {_names(rows, metric)} |" for metric in metrics]
        lines += ["", f"Sources: {', '.join(dict.fromkeys(row['source'] for row in rows))}", ""]
    return "\n".join(lines)


def _names(rows, metric):
    mine = sorted((row for row in rows if row["metric"] == metric), key=lambda row: int(row["order"]))
    return ", ".join(f"`{row['name']}`{_only(row)} ({row['unit']})" for row in mine)


def _only(row):
    label, _, values = row["only"].partition("=")
    return f" with {label} {' or '.join(value or 'absent' for value in values.split('|'))}" if label else ""


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(GENERATED.sub(lambda _: rendered(), text), encoding="utf-8")
