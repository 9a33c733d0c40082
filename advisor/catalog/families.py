"""Families of instance types: what commitments and quotas speak of."""

import re

_FIRST_NUMBER = re.compile(r"(?<=[A-Z])\d+")


def family_of(provider: str, instance_type: str) -> str:
    """The family of an instance type, as its provider groups them.

    ``g6.xlarge`` → ``g6``; ``a2-highgpu-1g`` → ``a2-highgpu``; ``n1-standard-8+1xT4`` → ``n1-standard+T4``;
    ``Standard_NC24ads_A100_v4`` → ``NCads_A100_v4``. Other providers have no families: the type is its own.
    """
    match provider:
        case "aws":
            return instance_type.partition(".")[0]
        case "gcp":
            machine, _, attached = instance_type.partition("+")
            family = "-".join(machine.split("-")[:2])
            return f"{family}+{attached.partition('x')[2]}" if attached else family
        case "azure":
            return _FIRST_NUMBER.sub("", instance_type.removeprefix("Standard_"), count=1)
        case _:
            return instance_type
