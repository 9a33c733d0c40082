"""Plans of Terraform as JSON, with what pricing reads of them."""

VERSION = {"format_version": "1.2", "terraform_version": "1.15.5"}


def resource(kind, values, name="this", index=None, module=""):
    """One instance of a resource."""
    key = "" if index is None else f"[{index}]" if isinstance(index, int) else f'["{index}"]'
    found = {
        "address": f"{module}.{kind}.{name}{key}".removeprefix("."), "mode": "managed", "type": kind, "name": name, "values": values,
    }  # fmt: skip
    return found if index is None else found | {"index": index}


def plan(*resources, before=(), configured=(), providers=None, variables=None, modules=()):
    """A plan that leaves *resources*, found *before*, from code with *configured* resources."""
    return VERSION | {
        "planned_values": {"root_module": {"resources": list(resources), "child_modules": list(modules)}},
        "prior_state": {"values": {"root_module": {"resources": list(before)}}} if before else {},
        "configuration": {
            "provider_config": providers
            or {"aws": {"name": "aws", "expressions": {"region": {"constant_value": "us-east-1"}}}},
            "root_module": {"resources": list(configured)},
        },
        "variables": {name: {"value": value} for name, value in (variables or {}).items()},
    }


def configured(address, provider="aws", **references):
    """A resource in the code: argument → the addresses that it names."""
    kind, name = address.split(".")
    expressions = {argument: [{"id": {"references": list(names)}}] for argument, names in references.items()}
    return {
        "address": address, "mode": "managed", "type": kind, "name": name, "provider_config_key": provider, "expressions": expressions,
    }  # fmt: skip
