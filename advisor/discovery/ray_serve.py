"""Models of a Ray Serve configuration (``serveConfigV2``): applications of Ray Serve LLM, and any that names a model.

https://docs.ray.io/en/latest/serve/llm/ (``LLMConfig``: ``model_loading_config``, ``engine_kwargs``).
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from advisor.discovery.kubernetes_api import items, mapping
from advisor.discovery.launches import launch_of
from advisor.discovery.values import Launch
from advisor.discovery.yaml_values import UnreadableYamlError, yaml_value

_ENGINE = "vllm"
_MOST_CHARACTERS = 200_000
_MOST_MODELS = 100


def ray_launches(text: str) -> Iterator[Launch]:
    """Launches of the first 100 models that a configuration names; none where it names none, is long or is no YAML."""
    try:
        document = yaml_value(text) if len(text) <= _MOST_CHARACTERS else None
    except UnreadableYamlError:
        return
    yield from islice(_launches(document), _MOST_MODELS)


def _launches(document: object) -> Iterator[Launch]:
    for application in items(document, "applications"):
        configs = items(application, "args", "llm_configs")
        for config in configs:
            yield _of_config(mapping(config))
        if not configs:
            arguments = {**mapping(application, "runtime_env", "env_vars"), **mapping(application, "args")}
            if any(isinstance(key, str) and "model" in key.lower() for key in arguments):
                yield _of_arguments(arguments)


def _of_config(config: Mapping[str, Any]) -> Launch:
    loading, engine = mapping(config, "model_loading_config"), mapping(config, "engine_kwargs")
    name, source = loading.get("model_id"), loading.get("model_source")
    model = source if isinstance(source, str) and "://" not in source else name
    return _of_arguments({**engine, "model": model, "served_model_name": name})


def _of_arguments(arguments: Mapping[str, Any]) -> Launch:
    """Launch of arguments that are called like vLLM's flags, in any case."""
    words = [_ENGINE]
    for key, value in arguments.items():
        if isinstance(key, str) and isinstance(value, str | int) and not isinstance(value, bool):
            name = key.lower().replace("_", "-").replace("model-id", "model")
            words += [f"--{name.replace('tensor-parallelism', 'tensor-parallel-size')}", str(value)]
    return launch_of(words)
