"""Names that engines give a model: repository, path, cache folder, another precision of it, or an alias."""

import re
from collections.abc import Sequence

from advisor.names import architecture_key

_CACHE_FOLDER = re.compile(r"models--.*?--([^/]+)")
_REVISION = re.compile(r"(?:[0-9a-f]{7,64}|main|latest|snapshots|\d+)")
_STORED = re.compile(
    r"-(?:fp8|fp4|nvfp4|mxfp4|bf16|fp16|int[48]|[48]-?bit|awq|gptq|bnb|gguf|marlin|dynamic|block|quantized|turbo|w\d+a\d+|q\d\w*)$"
)
_SIZE = re.compile(r"\d[bm](?![a-z])")


def served_key(name: str) -> str:
    """Key of the model in a name: owner, path, case, marks and storage precision aside.

    ``meta-llama/Llama-3.1-8B-Instruct``, ``/models/llama_3.1_8b_instruct/`` and
    ``RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic`` have one key.
    """
    key = re.sub(r"[_.:\s]+", "-", _last_part(name).casefold()).removeprefix("meta-")
    while (shorter := _STORED.sub("", key)) != key:
        key = shorter
    return key.replace("-", "")


def loose_key(name: str) -> str:
    """Key as by :func:`served_key`, with the tuning left out too: how an engine runs it is the same."""
    return served_key(architecture_key(re.sub(r"[_.:\s]+", "-", _last_part(name).casefold())))


def _last_part(name: str) -> str:
    """The part of a path or repository that names the model."""
    parts = [part for part in re.split(r"[/\\]", name.strip()) if part]
    for part in reversed(parts):
        folder = _CACHE_FOLDER.fullmatch(part)
        if folder:
            return folder[1]
        if not _REVISION.fullmatch(part):
            return part
    return parts[-1] if parts else name


def matching(wanted: str, served: Sequence[str], *, is_stated: bool = False) -> tuple[str, ...]:
    """Served names that mean the wanted model, by the strictest comparison that finds any.

    Args:
        wanted: name of a model.
        served: as engines call theirs.
        is_stated: whether it was written down as one of the served names; spelled so, it means no other.
    """
    keys = (str.casefold, served_key, loose_key) if is_stated else (served_key, loose_key)
    for key in keys:
        same = tuple(name for name in served if key(name) == key(wanted))
        if same:
            return same
    return ()


def is_alias(name: str, models: Sequence[str]) -> bool:
    """Whether a name says nothing of which model it is: no owner, no size, no family of a known model."""
    families = {match[0] for model in models if (match := re.match(r"[a-z]{3,}", served_key(model)))}
    key = served_key(name)
    return "/" not in name and not _SIZE.search(key) and not any(family in key for family in families)
