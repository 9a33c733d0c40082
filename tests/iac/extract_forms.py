"""Schemas of what other projects deploy models with, reduced to what the tests compare generated files with.

    python tests/iac/extract_forms.py KIND FILE [FILE] OUTPUT.json.gz

KIND: a version such as v1 (FILE is a CustomResourceDefinition), ``schema`` (FILE is a chart's values.schema.json) or
``values`` (the FILEs are values.yaml of a chart, and of the library chart whose values stand under ``router``).
"""

import gzip
import json
import sys
from pathlib import Path

import yaml

_DROPPED = ("description", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
_UNUSED = ("prefill", "worker", "tracing", "kvCacheOffloading")
"""Parts of an LLMInferenceService that hold a whole pod each, and are never written."""
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


def stripped(node, *, names=False):
    """A schema without its texts; *names*: the keys are names of properties."""
    if isinstance(node, list):
        return [stripped(one) for one in node]
    if not isinstance(node, dict):
        return node
    kept = {key: one for key, one in node.items() if names or key not in _DROPPED}
    return {key: stripped(one, names=not names and key == "properties") for key, one in kept.items()}


def of_resource(text, version):
    """The schema of a version of a resource, without its status."""
    versions = {one["name"]: one for one in yaml.safe_load(text)["spec"]["versions"]}
    schema = stripped(versions[version]["schema"]["openAPIV3Schema"])
    schema["properties"].pop("status", None)
    for name in _UNUSED:
        schema["properties"]["spec"]["properties"].pop(name, None)
    return schema


def of_values(value):
    """A schema that takes what has the keys and types of a chart's default values."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {key: of_values(one) for key, one in value.items()}} if value else {}
    return {"type": _TYPES[type(value)]} if type(value) in _TYPES else {}


def main():
    """Read, reduce, write."""
    kind, *files, output = sys.argv[1:]
    texts = [Path(one).read_text() for one in files]
    if kind == "schema":
        schema = stripped(json.loads(texts[0]))
    elif kind == "values":
        own, library = (yaml.safe_load(one) for one in texts)
        schema = of_values(own | {"router": library})
        # Commented out in the values, and required by the templates.
        schema["properties"]["router"]["properties"]["modelServers"]["properties"]["matchLabels"] = {"type": "object"}
    else:
        schema = of_resource(texts[0], kind)
    content = json.dumps(schema, separators=(",", ":"), sort_keys=True).encode()
    Path(output).write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
