"""Dataclasses for a program that loads hundreds of them at every start: those of the standard library, made sooner.

The standard decorator compiles six functions for each frozen class, which takes a fourth of the time in which a command
loads. Here ``__init__``, comparison and hash are compiled when they are first used, and the others are closures over
the names of the fields. They behave alike. Classes that are ordered, or not frozen, are the standard library's.
"""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, asdict, astuple, field, fields
from functools import cache
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["asdict", "astuple", "dataclass", "field", "fields", "replace"]

_set = object.__setattr__
_UNSET = object()
"""Argument of a field whose default a function makes."""
Methods = dict[str, Callable[..., Any]]
Kept = TypeVar("Kept")

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
else:

    def dataclass(kind=None, /, *, frozen=False, slots=False, eq=True, order=False, kw_only=False):
        """:func:`dataclasses.dataclass`; classes that inherit from its frozen ones are made by it too."""

        def made(kind):
            if order or not frozen:
                return dataclasses.dataclass(frozen=frozen, slots=slots, eq=eq, order=order, kw_only=kw_only)(kind)
            return _frozen(kind, slots=slots, eq=eq, kw_only=kw_only)

        return made if kind is None else made(kind)

    def replace(record, /, **changes):
        """:func:`dataclasses.replace`; fields that have no argument cannot be changed."""
        kind = type(record)
        for name in _arguments(kind):
            if name not in changes:
                changes[name] = getattr(record, name)
        return kind(**changes)


@cache
def _arguments(kind: type[Any]) -> tuple[str, ...]:
    """Names of the arguments that make an object of a class."""
    return tuple(each.name for each in fields(kind) if each.init)


def _frozen(kind: Any, *, slots: bool, eq: bool, kw_only: bool) -> Any:
    """A frozen dataclass; methods that the class has of its own stay, but a hash that follows from comparison."""
    own = {name for name, value in vars(kind).items() if not (name == "__hash__" and value is None)}
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(kind)
    names = tuple(each.name for each in fields(made))
    methods: Methods = {"__init__": _init_later(made), "__repr__": _repr(made), **_unchangeable(made, frozenset(names))}
    if eq:
        methods |= _compared(made)
    if slots:
        methods |= _pickled(names)
    for name, method in methods.items():
        if name not in own:
            method.__name__, method.__qualname__ = name, f"{made.__qualname__}.{name}"
            setattr(made, name, method)
    return made


def _compiled(made: type, signature: str, lines: list[str], values: dict[str, Any] | None = None) -> Callable[..., Any]:
    """Function of fields of a class.

    Args:
        made: the class.
        signature: name and arguments.
        lines: of its body.
        values: what the lines name beside the arguments.
    """
    names = dict(values or {})
    exec(f"def {signature}:\n " + "\n ".join(lines), names)  # noqa: S102 - text made of names of fields
    function: Callable[..., Any] = names[signature.partition("(")[0]]
    function.__module__, function.__qualname__ = made.__module__, f"{made.__qualname__}.{function.__name__}"
    return function


def _init_later(made: Any) -> Callable[..., None]:
    """``__init__`` that puts a compiled one in its place when it is first called."""

    def init(self: object, *values: object, **named: object) -> None:
        made.__init__ = _init(made)
        made.__init__(self, *values, **named)

    return init


def _init(made: type) -> Callable[..., None]:
    values: dict[str, Any] = {"_set": _set, "_UNSET": _UNSET}
    arguments: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for each in fields(made):
        name, default, value = each.name, "", each.name
        if each.default is not MISSING:
            values[f"_default_{name}"], default = each.default, f"_default_{name}"
        elif each.default_factory is not MISSING:
            values[f"_make_{name}"], default = each.default_factory, "_UNSET"
            value = f"_make_{name}() if {name} is _UNSET else {name}"
        if each.init:
            (by_name if each.kw_only else arguments).append(f"{name}={default}" if default else name)
        elif default:
            value = f"_make_{name}()" if default == "_UNSET" else default
        if each.init or default:
            lines.append(f"_set(self,{name!r},{value})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    signature = ",".join(["self", *arguments, *(["*", *by_name] if by_name else [])])
    return _compiled(made, f"__init__({signature})", lines or ["pass"], values)


def _unchangeable(made: Any, names: frozenset[str]) -> Methods:
    def assign(self: object, name: str, value: object) -> None:
        if type(self) is made or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(made, self).__setattr__(name, value)

    def delete(self: object, name: str) -> None:
        if type(self) is made or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(made, self).__delattr__(name)

    return {"__setattr__": assign, "__delattr__": delete}


def _repr(made: type) -> Callable[[Any], str]:
    names = [each.name for each in fields(made) if each.repr]

    @recursive_repr()
    def shown(self: object) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return shown


def _compared(made: Any) -> Methods:
    """Comparison and hash, which put compiled ones in their place when they are first called."""

    def equals(self: object, other: object) -> bool:
        kept = [each.name for each in fields(made) if each.compare]
        lines = [f"if other.__class__ is self.__class__: return {_tuple('self', kept)}=={_tuple('other', kept)}"]
        made.__eq__ = _compiled(made, "__eq__(self,other)", [*lines, "return NotImplemented"])
        return bool(made.__eq__(self, other)) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: object) -> int:
        kept = [each.name for each in fields(made) if (each.compare if each.hash is None else each.hash)]
        made.__hash__ = _compiled(made, "__hash__(self)", [f"return hash({_tuple('self', kept)})"])
        return int(made.__hash__(self))

    return {"__eq__": equals, "__hash__": hashed}


def _tuple(record: str, names: list[str]) -> str:
    return f"({''.join(f'{record}.{name},' for name in names)})"


def _pickled(names: tuple[str, ...]) -> Methods:
    """State of objects without a dictionary."""

    def state(self: object) -> list[Any]:
        return [getattr(self, name) for name in names]

    def restore(self: object, values: list[Any]) -> None:
        for name, value in zip(names, values, strict=True):
            _set(self, name, value)

    return {"__getstate__": state, "__setstate__": restore}


def with_own_memory(keeper: Kept) -> Kept:
    """A copy of an object with copies of its dictionaries: what it learns from here on is its own."""
    other = copy.copy(keeper)
    other.__dict__ |= {name: dict(kept) for name, kept in keeper.__dict__.items() if isinstance(kept, dict)}
    return other
