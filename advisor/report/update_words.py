"""Result of an update with a published catalog, as text and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from advisor.catalog.layers.publication import Publication
from advisor.catalog.layers.updating import Updated
from advisor.report.refresh_words import change_words

_MOST_LISTED = 40
_MOST_NAMED = 6


def update_words(publication: Publication, results: Sequence[Updated], where: str) -> str:
    """Summary of an update: rows published, held up or not known here, and changes."""
    head = f"{where}: made {publication.made_at}, {_signature_words(publication)}"
    return "\n".join([head, *(line for result in results for line in _lines(result))]) + "\n"


def _signature_words(publication: Publication) -> str:
    if publication.signer is not None:
        return f"signed by {publication.signer}"
    return "signed, which was not checked (--allowed-signers FILE)" if publication.is_signed else "not signed"


def _lines(result: Updated) -> Iterator[str]:
    yield from (f"  held up: {violation}" for violation in result.held[:_MOST_LISTED])
    if len(result.held) > _MOST_LISTED:
        yield f"  and {len(result.held) - _MOST_LISTED:,} more"
    if result.left_out:
        yield f"  left out, since this version of the program does not know them: {_named(result.left_out)}"
    if not result.held:
        yield change_words(result.changes).rstrip("\n")
    if not result.is_taken:
        yield f"{result.provider}: nothing was taken, so the old prices hold"
    elif result.hidden_by:
        yield (
            f"{result.provider}: what was refreshed on this machine ({result.hidden_by}) goes before the published "
            f"prices of {result.read_on}; `advisor catalog refresh {result.provider} --forget` drops it"
        )
    else:
        yield f"{result.provider}: published prices of {result.read_on} count from now on"


def _named(left_out: Mapping[str, int]) -> str:
    names = list(left_out)
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    rows = sum(left_out.values())
    return f"{rows:,} row{'' if rows == 1 else 's'} of {', '.join(names[:_MOST_NAMED])}{more}"


def update_json(publication: Publication, results: Sequence[Updated]) -> str:
    """The same with every row."""
    document = {
        "name": publication.name,
        "made_at": publication.made_at,
        "signer": publication.signer,
        "providers": [
            {
                "provider": result.provider,
                "read_on": result.read_on,
                "taken": result.is_taken,
                "hidden_by_refresh_of": result.hidden_by or None,
                "held": [{"confirm": held.key} | asdict(held) for held in result.held],
                "left_out": dict(result.left_out),
                "changes": [asdict(change) | {"moved_ratio": change.moved_ratio} for change in result.changes],
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=2) + "\n"
