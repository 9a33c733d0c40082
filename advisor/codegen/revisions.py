"""Models by commit: asked of the hub without a login, and kept in a file from run to run.

Source: the hub's API, ``GET /api/models/ID``, whose ``sha`` is the newest commit of the main branch (huggingface_hub,
``HfApi.model_info``, December 2026). ``HF_ENDPOINT`` names another hub, as it does for the hub's own client.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Container, HeldModel
from advisor.codegen.model import Stack
from advisor.codegen.pins import PinFile
from advisor.codegen.registries import Registries
from advisor.errors import AdvisorError, InputError
from advisor.reading import json_of
from advisor.records import replace

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB = "https://huggingface.co"
_DENIED = (401, 403, 404)
_Loader = TypeVar("_Loader", Container, HeldModel)


def resolve(models: Iterable[str], hub: Registries | None = None) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Newest commit of each model, and a warning for each that the hub tells none of."""
    asked, commits, warnings = hub or Registries(), {}, []
    for model in models:
        try:
            commits[model] = _commit(model, asked)
        except AdvisorError as error:
            warnings.append(
                f"{model}: no commit is known, and its newest is taken: {error.message}; model_revisions of the code "
                "(MODEL_REVISION on clusters) pins it"
            )
    return commits, tuple(warnings)


def _commit(model: str, hub: Registries) -> str:
    """Newest commit of a model. Raises AdvisorError if the hub does not tell it."""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB
    host = urlsplit(endpoint).hostname or endpoint
    answer = hub.ask("GET", f"{endpoint}/api/models/{model}", {"Accept": "application/json"}, model)
    if answer.status in _DENIED:
        raise InputError(f"{host} shows it to nobody without a login, or has it not", where=model)
    if answer.status != 200:
        raise AdvisorError(f"{host} answered {answer.status}", where=model)
    try:
        return _checked(json_of(answer.data.decode(), host)["sha"])
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise AdvisorError(f"{host} answered no commit", where=model) from error


def models_of(stacks: Iterable[Stack]) -> tuple[str, ...]:
    """Models and adapters of the hub that the stacks load, each once."""
    containers = [backend.container for stack in stacks for backend in stack.backends]
    loaded = (loads.checkpoint.model_id or "" for container in containers for loads in container.loaded)
    adapters = (adapter.id for container in containers for adapter in container.adapters if adapter.on_hub)
    return tuple(sorted({model for model in (*loaded, *adapters) if is_hub_id(model)}))


def at_commits(stack: Stack, commits: Mapping[str, str]) -> Stack:
    """The stack with each model and adapter by its commit, where one is known."""
    backends = [
        replace(
            backend,
            container=replace(
                _at_commit(backend.container, commits),
                models=tuple(_at_commit(model, commits) for model in backend.container.models),
                adapters=tuple(
                    replace(adapter, commit=commits.get(adapter.id, "") if adapter.on_hub else "")
                    for adapter in backend.container.adapters
                ),
            ),
        )
        for backend in stack.backends
    ]
    return replace(stack, backends=tuple(backends))


def _at_commit(loads: _Loader, commits: Mapping[str, str]) -> _Loader:
    commit = commits.get(loads.checkpoint.model_id or "", "")
    return replace(loads, checkpoint=replace(loads.checkpoint, commit=commit)) if commit else loads


def _checked(commit: str) -> str:
    if _COMMIT.fullmatch(commit) is None:
        raise ValueError(f"{commit!r} is not a commit of 40 hexadecimal digits")
    return commit


def _by_commit(model: str, commit: str) -> tuple[str, str]:
    return model, _checked(commit)


MODELS = PinFile("revisions.json", "models and commits", _by_commit)
"""Model → commit."""
