"""Pages from templates: every text is escaped, and a name that a template misses is an error."""

from functools import cache

import jinja2

from advisor.data_files import data_dir


@cache
def page_environment() -> jinja2.Environment:
    """The templates of reports, each compiled once."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates") / "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
