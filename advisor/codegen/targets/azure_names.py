"""Example values in the form that Azure gives them, for tests and examples of generated code."""

from collections.abc import Mapping

from advisor.codegen.model import Stack
from advisor.codegen.targets.host_backends import pin_keys

EXAMPLE_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
_GROUP = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/inference"
EXAMPLE_VAULT = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/secrets/providers/Microsoft.KeyVault/vaults/my-vault"

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_LISTS = "SubOperationMatches{'Blob.List'}"
_PREFIX_CONDITION = (
    f"((!(ActionMatches{{'{_BLOBS}/read'}} AND NOT {_LISTS}))"
    f" OR (@Resource[{_BLOBS}:path] StringLike 'PREFIX*'))"
    f" AND ((!(ActionMatches{{'{_BLOBS}/read'}} AND {_LISTS}))"
    f" OR (@Request[{_BLOBS}:prefix] StringLike 'PREFIX*'))"
)
"""Of a role that reads blobs: only those whose name starts with PREFIX, and lists of them.

Source: Microsoft's examples of conditions for Blob Storage, "read or list blobs in named containers with a path"."""


def example_subnet(region: str) -> str:
    """Resource id of a subnet in *region*."""
    networks = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks"
    return f"{networks}/{region}/subnets/inference"


def weights(stack: Stack) -> Mapping[str, object]:
    """Template values for weights in a storage account."""
    ids = [backend.container.checkpoint.model_id or "organisation/model" for backend in stack.backends]
    account = f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/myweights"
    return {"models": list(dict.fromkeys(ids)), "example_account": account, "prefix_condition": _PREFIX_CONDITION}


def example_models(stack: Stack) -> Mapping[str, str]:
    """Models by backend, where only the user can name them."""
    return {
        backend.key: "organisation/model" for backend in stack.backends if backend.container.checkpoint.model_id is None
    }


def pins(stack: Stack) -> Mapping[str, object]:
    """Template values for pins: engines that may be their keys, and an image by each engine of the stack."""
    return {
        "engines": pin_keys(stack),
        "example_registry": f"{_GROUP}/providers/Microsoft.ContainerRegistry/registries/myregistry",
        "example_registry_secret": f"{EXAMPLE_VAULT}/secrets/ngc-key",
        "example_images": {backend.container.engine.value: backend.container.image for backend in stack.backends},
    }
