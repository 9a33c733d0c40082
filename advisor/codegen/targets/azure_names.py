"""Example values in the form that Azure gives them, for tests and examples of generated code."""

from collections.abc import Mapping

from advisor.codegen.model import Engine, Stack

EXAMPLE_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
EXAMPLE_VAULT = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/secrets/providers/Microsoft.KeyVault/vaults/my-vault"


def example_subnet(region: str) -> str:
    """Resource id of a subnet in *region*."""
    networks = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks"
    return f"{networks}/{region}/subnets/inference"


def example_models(stack: Stack) -> Mapping[str, str]:
    """Models by backend, where only the user can name them."""
    return {one.key: "organisation/model" for one in stack.backends if one.container.checkpoint.model_id is None}


def pins(stack: Stack) -> Mapping[str, object]:
    """What templates say of pins: engines that may be their keys, and an image by each engine of the stack."""
    return {
        "engines": [engine.value for engine in Engine],
        "example_images": {one.container.engine.value: one.container.image for one in stack.backends},
    }
