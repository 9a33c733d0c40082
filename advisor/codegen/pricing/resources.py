"""The resources of a Terraform plan or state, and what each refers to."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from advisor.catalog.values import Purchase
from advisor.records import dataclass, field, replace

Index = str | int | None


@dataclass(frozen=True, slots=True)
class Resource:
    """One instance of a resource."""

    address: str
    kind: str
    """Such as aws_instance."""
    name: str
    values: Mapping[str, Any]
    """Arguments and attributes; what is known after the apply only is missing."""
    index: Index = None
    module: str = ""
    """Address of its module; "": the root."""
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Argument → the addresses that its expression names."""
    provider: Mapping[str, str] = field(default_factory=dict)
    """Arguments of its provider's configuration, where they are known."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags or labels, the provider's included."""
        tags: Any = next((self.values[name] for name in ("tags_all", "tags", "labels") if self.values.get(name)), {})
        return {str(key): str(value) for key, value in tags.items()} if isinstance(tags, dict) else {}

    def first(self, *path: str) -> Any:  # noqa: ANN401 - a JSON value
        """The value at a path, through the first of each list of blocks; None where there is none."""
        value: Any = self.values
        for step in path:
            if isinstance(value, list):
                value = value[0] if value else None
            value = value.get(step) if isinstance(value, dict) else None
        return value

    def part(self, *path: str) -> "Resource":
        """The first block at a path as if it were a resource, without arguments where there is none."""
        return replace(self, values=next(iter(self.blocks(*path)), {}), references={}, provider={})

    def blocks(self, *path: str) -> list[Mapping[str, Any]]:
        """The blocks at a path."""
        blocks = self.first(*path)
        return [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that a plan leaves, or found."""

    all: tuple[Resource, ...] = ()

    def linked(self, resource: Resource, argument: str, *kinds: str) -> Resource | None:
        """The resource of some kind that an argument leads to: by its identity, by the code, or as the only one."""
        candidates = [resource for resource in self.all if resource.kind in kinds]
        named = set(_texts(resource.values.get(argument)))
        by_identity = [
            candidate
            for candidate in candidates
            if named & {candidate.values.get(key) for key in ("id", "self_link", "arn")}
        ]
        if by_identity:
            return by_identity[0]
        near = [candidate for candidate in candidates if candidate.module == resource.module]
        in_code = [place for place in near if f"{place.kind}.{place.name}" in resource.references.get(argument, ())]
        for resources in (in_code, near):
            same = [place for place in resources if place.index == resource.index] or resources
            if len(same) == 1:
                return same[0]
        return None

    def pointing_to(self, resource: Resource, argument: str, *kinds: str) -> Resource | None:
        """The resource of some kind whose argument leads to this one."""
        return next(
            (
                other
                for other in self.all
                if other.kind in kinds and self.linked(other, argument, resource.kind) == resource
            ),
            None,
        )


def planned(document: Mapping[str, Any]) -> Resources:
    """Resources that a plan leaves; of a state, those that it holds."""
    return _in(document, document.get("planned_values") or document.get("values") or {})


def prior(document: Mapping[str, Any]) -> Resources:
    """Resources that a plan found."""
    return _in(document, document.get("prior_state", {}).get("values", {}))


def _in(document: Mapping[str, Any], values: Mapping[str, Any]) -> Resources:
    return Resources(tuple(_resources(values.get("root_module", {}), _configured(document))))


_Configured = Mapping[tuple[str, str], tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]]]


def _resources(module: Mapping[str, Any], configured: _Configured) -> Iterator[Resource]:
    address = module.get("address", "")
    for entry in module.get("resources", ()):
        if entry.get("mode") == "managed":
            references, provider = configured.get((_plain(address), f"{entry['type']}.{entry['name']}"), ({}, {}))
            yield Resource(
                address=entry["address"],
                kind=entry["type"],
                name=entry["name"],
                values=entry.get("values") or {},
                index=entry.get("index"),
                module=address,
                references=references,
                provider=provider,
            )
    for inner in module.get("child_modules", ()):
        yield from _resources(inner, configured)


def _plain(address: str) -> str:
    """The address of a module without the keys of its instances."""
    plain, depth = "", 0
    for character in address:
        depth += (character == "[") - (character == "]")
        plain += character if depth == 0 and character != "]" else ""
    return plain


def _configured(document: Mapping[str, Any]) -> _Configured:
    """(Module, resource) → references and provider arguments, as the code has them."""
    configuration = document.get("configuration", {})
    variables = {name: expression.get("value") for name, expression in document.get("variables", {}).items()}
    providers = {
        key: {
            name: text
            for name, expression in (configured.get("expressions") or {}).items()
            if (text := _known(expression, variables))
        }
        for key, configured in configuration.get("provider_config", {}).items()
    }
    return dict(_of_module(configuration.get("root_module", {}), "", providers))


def _of_module(
    module: Mapping[str, Any], address: str, providers: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[tuple[str, str], tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]]]]:
    for entry in module.get("resources", ()):
        references = {name: tuple(_references(value)) for name, value in (entry.get("expressions") or {}).items()}
        yield (
            (address, f"{entry['type']}.{entry['name']}"),
            (references, providers.get(entry.get("provider_config_key"), {})),
        )
    for name, call in module.get("module_calls", {}).items():
        yield from _of_module(call.get("module", {}), f"{address}.module.{name}".removeprefix("."), providers)


def _references(expression: Any) -> Iterator[str]:  # noqa: ANN401 - a JSON value
    if isinstance(expression, dict):
        yield from expression.get("references", ()) if isinstance(expression.get("references"), list) else ()
        for value in expression.values():
            yield from _references(value)
    elif isinstance(expression, list):
        for value in expression:
            yield from _references(value)


def _known(expression: Any, variables: Mapping[str, Any]) -> str:  # noqa: ANN401
    """A text of the provider's configuration: written out, or a variable; "" where it is neither."""
    if not isinstance(expression, dict):
        return ""
    if isinstance(expression.get("constant_value"), str):
        return str(expression["constant_value"])
    for name in expression.get("references", ()):
        value = variables.get(name.removeprefix("var.")) if name.startswith("var.") else None
        if isinstance(value, str):
            return value
    return ""


def _texts(value: Any) -> Iterable[str]:  # noqa: ANN401
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


@dataclass(frozen=True, slots=True)
class Use:
    """Equal machines, or containers of a service without machines. None is unknown."""

    provider: str
    region: str | None
    what: str | None
    """Instance type; the accelerator where *service* is set."""
    purchase: Purchase | None
    """None: in a way that has no price in the catalog, such as a capacity block."""
    number: float | None
    """That run all the time."""
    service: str = ""
    """A service without machines, as the catalog names it; without an accelerator, of *size*."""
    remark: str = ""
    size: tuple[float, float] | None = None
    """Processors and GiB of a container; None: those that the catalog has the price of."""
    unpriced: str = ""
    """Why the catalog cannot have its price; "": it may have one."""
    is_accelerated: bool = True
    """False: a machine for what runs beside the model, left out where its price is not known."""
    service_item: str = ""
    """Name among the catalog's prices of services; "": a machine or container."""


HELD = "paid for whether it is used or not, and counted with the instances that run in it"
"""Why a reservation of capacity has no price of its own here."""
NOTEBOOK = "the service of a notebook has a price of its own"
"""Why a managed notebook has none of the machine that it runs on."""
Rule = Callable[[Resource, Resources], tuple[Use, ...]]
Rules = Mapping[str, Rule]


def cache_node(provider: str, region: str | None, node: str | None, engine: str | None, number: float | None) -> Use:
    """Nodes of a managed in-memory store, priced as a plan's response cache is."""
    item = f"{node}_{engine}"
    return Use(provider, region, node, Purchase.ON_DEMAND, number, remark=engine or "", service_item=item)


def whole(value: object) -> float | None:
    """A number of machines; None where it is not known."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def listed(value: object) -> list[Any]:
    """A list; an empty one where there is none."""
    return value if isinstance(value, list) else []


def purchase_of(words: Mapping[Any, Purchase | None], value: object) -> Purchase | None:
    """The purchase that a word of a provider stands for; None where the catalog has no price for it."""
    return words.get(value) if value is None or isinstance(value, str | bool) else None


def text(value: object) -> str | None:
    """A text; None where there is none."""
    return value if isinstance(value, str) and value else None


def first_known(*values: object) -> float | None:
    """The first number among values."""
    return next((number for value in values if (number := whole(value)) is not None), None)
