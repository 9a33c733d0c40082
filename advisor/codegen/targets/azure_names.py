"""Example values in the form that Azure gives them, for tests and examples of generated code."""

from collections.abc import Mapping

from advisor.codegen.model import Stack

EXAMPLE_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
EXAMPLE_VAULT = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/secrets/providers/Microsoft.KeyVault/vaults/my-vault"


def example_subnet(region: str) -> str:
    """Resource id of a subnet in *region*."""
    networks = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks"
    return f"{networks}/{region}/subnets/inference"


def example_models(stack: Stack) -> Mapping[str, str]:
    """Models by backend, where only the user can name them."""
    return {one.key: "organisation/model" for one in stack.backends if one.container.checkpoint.model_id is None}
