"""Price lists that other programs keep, read by their own packages: a layer below what a provider answers itself."""

from collections.abc import Mapping

PROVIDERS: Mapping[str, str] = {
    "aws": "aws", "azure": "azure", "gcp": "gcp", "lambdalabs": "lambda", "nebius": "nebius", "oci": "oracle",
    "runpod": "runpod", "verda": "verda",
}  # fmt: skip
"""gpuhunt's name → ours."""

SKYPILOT_PROVIDERS: Mapping[str, str] = {
    "aws": "aws", "azure": "azure", "gcp": "gcp", "do": "digitalocean", "hyperstack": "hyperstack", "ibm": "ibm",
    "lambda": "lambda", "nebius": "nebius", "oci": "oracle", "verda": "verda",
}  # fmt: skip
"""SkyPilot's name → ours."""
