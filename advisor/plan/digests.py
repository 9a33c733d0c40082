"""Digest that tells whether a document was edited after it was made."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST = "digest"
"""Field that holds the digest of all others, in canonical form."""


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document in canonical form (sorted keys, no spaces)."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def digest_mismatch(document: object, what: str, apart: str = "") -> str:
    """Why a document may not say what `advisor recommend` said: another digest, or none; "" when it says that.

    Args:
        document: as read from JSON.
        what: kind of the document, such as ``plan``.
        apart: field beside the digest that it is not made of.
    """
    if not isinstance(document, dict) or DIGEST not in document:
        return f"the {what} carries no digest: it was edited, or made before {what}s had one"
    rest = {name: value for name, value in document.items() if name not in (DIGEST, apart)}
    return "" if document[DIGEST] == digest(rest) else f"the {what} was edited after it was made: its digest is another"
