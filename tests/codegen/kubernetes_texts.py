"""Texts of manifests as Kubernetes reads them."""

import re

VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*\$\(")


def as_read(text):
    """A text as Kubernetes reads it: ``$$`` is a dollar; None where a variable would take the place of a part."""
    return None if VARIABLE.search(text) else text.replace("$$", "$")
