"""What the Terraform providers declare: recorded schemas, read when code is checked."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_SCHEMAS = Path(__file__).parents[2] / "iac" / "schemas"
PROVIDERS = ("aws", "google", "google-beta", "azurerm", "ibm", "kustomization")
_PREFIXES = {
    "aws_": ("aws",),
    "google_": ("google", "google-beta"),
    "azurerm_": ("azurerm",),
    "ibm_": ("ibm",),
    "kustomization_": ("kustomization",),
}
_BUILT_IN = frozenset({"terraform_data", "terraform_remote_state"})


@dataclass(frozen=True, slots=True)
class BlockSchema:
    """Arguments and nested blocks of a block."""

    attributes: Mapping[str, Mapping[str, Any]]
    """Name → type and flags, as ``terraform providers schema -json`` has them."""
    blocks: Mapping[str, Mapping[str, Any]]

    def inner(self, name: str) -> "BlockSchema":
        """Schema of a nested block."""
        return _block_schema(self.blocks[name]["block"])


def schema_of(kind: str, typed: str) -> BlockSchema | None:
    """The schema of a resource or data source; None where none is recorded.

    Args:
        kind: ``resource`` or ``data``.
        typed: such as ``aws_lb``.
    """
    held = "resource_schemas" if kind == "resource" else "data_source_schemas"
    for prefix, providers in _PREFIXES.items():
        if typed.startswith(prefix):
            for provider in providers:
                found = _schemas(provider)[held].get(typed)
                if found is not None:
                    return _block_schema(found["block"])
    return None


def provider_schema(name: str) -> BlockSchema | None:
    """The schema of a provider's configuration."""
    return _block_schema(_schemas(name)["provider"]["block"]) if name in PROVIDERS else None


def is_built_in(typed: str) -> bool:
    """Terraform itself brings the type."""
    return typed in _BUILT_IN


def _block_schema(block: Mapping[str, Any]) -> BlockSchema:
    return BlockSchema(block.get("attributes", {}), block.get("block_types", {}))


@cache
def _schemas(provider: str) -> Mapping[str, Any]:
    packed = (_SCHEMAS / f"{provider}.json.gz").read_bytes()
    (schemas,) = json.loads(gzip.decompress(packed))["provider_schemas"].values()
    found: Mapping[str, Any] = schemas
    return found
