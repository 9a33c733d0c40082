"""Dataclasses for a program that loads hundreds of them at every start: those of the standard library, made sooner.

The standard decorator compiles six functions for each frozen class, which takes a fourth of the time in which a command
loads. Here ``__init__``, comparison and hash are compiled when they are first used, and the others are closures over
the names of the fields. They behave alike. Classes that are ordered, or not frozen, are the standard library's.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, asdict, astuple, field, fields
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from types import CodeType, FunctionType, MemberDescriptorType
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
        names, values, places = _arguments(kind)
        arguments = [*values(record)]
        if not (places and changes.keys() <= places.keys()):
            return kind(**dict(zip(names, arguments, strict=True)) | changes)
        for name, value in changes.items():
            arguments[places[name]] = value
        return kind(*arguments)


@cache
def _arguments(kind: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], dict[str, int]]:
    """Names of the arguments that make an object, a reader of all, and their places; none where some have none."""
    arguments = [each for each in fields(kind) if each.init]
    names = tuple(each.name for each in arguments)
    places = {} if any(each.kw_only for each in arguments) else {name: at for at, name in enumerate(names)}
    if len(names) > 1:
        return names, attrgetter(*names), places
    return names, lambda record: tuple(getattr(record, name) for name in names), places


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


def _compiled(made: type, signature: str, lines: list[str]) -> Callable[..., Any]:
    """Function of fields of a class, from its name with arguments and the lines of its body."""
    names: dict[str, Any] = {}
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
    """``__init__`` of a class: code for as many fields of such kinds, which classes share, with its own names."""
    values: dict[str, Any] = {"_UNSET": _UNSET}
    shape: list[tuple[bool, bool, str]] = []
    for at, each in enumerate(fields(made)):
        values[f"set{at}"], default = _setter(made, each.name), ""
        if each.default is not MISSING:
            values[f"value{at}"], default = each.default, "value"
        elif each.default_factory is not MISSING:
            values[f"make{at}"], default = each.default_factory, "make"
        is_set_alike = each.init and default == "value"  # as without a default, which the function has beside its code
        shape.append((each.init, bool(each.kw_only), "" if is_set_alike else default))
    by_position = [each for each in fields(made) if each.init and not each.kw_only]
    by_name = [each for each in fields(made) if each.init and each.kw_only]
    code = _init_code(tuple(shape), ends=hasattr(made, "__post_init__"))
    code = code.replace(co_varnames=("self", *(each.name for each in (*by_position, *by_name))))
    function = FunctionType(code, values, "__init__", tuple(_defaults(by_position).values()))
    function.__kwdefaults__ = _defaults(by_name)
    function.__module__, function.__qualname__ = made.__module__, f"{made.__qualname__}.__init__"
    return function


def _setter(made: type, name: str) -> Callable[[Any, Any], None]:
    """Function that sets a field of a frozen object: that of its slot, where it has one."""
    slot = getattr(made, name, None)
    return slot.__set__ if isinstance(slot, MemberDescriptorType) else lambda self, value: _set(self, name, value)


def _defaults(arguments: list[Field[Any]]) -> dict[str, Any]:
    """Defaults of the arguments that have one, by name."""
    return {
        each.name: _UNSET if each.default is MISSING else each.default
        for each in arguments
        if each.default is not MISSING or each.default_factory is not MISSING
    }


@cache
def _init_code(shape: tuple[tuple[bool, bool, str], ...], *, ends: bool) -> CodeType:
    """Code that sets fields by their numbers.

    *shape*: of each field whether it is an argument, whether by name only, and what its default is: "value", "make" (a
    function makes it) or "". *ends*: ``__post_init__`` is called.
    """
    arguments: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for at, (is_argument, is_by_name, default) in enumerate(shape):
        value = f"field{at}" if is_argument else f"value{at}"
        if default == "make":
            value = f"make{at}() if {value} is _UNSET else {value}" if is_argument else f"make{at}()"
        if is_argument:
            (by_name if is_by_name else arguments).append(f"field{at}")
        if is_argument or default:
            lines.append(f"set{at}(self,{value})")
    if ends:
        lines.append("self.__post_init__()")
    signature = ",".join(["self", *arguments, *(["*", *by_name] if by_name else [])])
    names: dict[str, Any] = {}
    exec(f"def __init__({signature}):\n " + "\n ".join(lines or ["pass"]), names)  # noqa: S102 - numbers of fields
    code: CodeType = names["__init__"].__code__
    return code


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


def picked(value: object, *names: str) -> dict[str, Any]:
    """Attributes of a value under their own names, in this order. Raises AttributeError if it has no such attribute."""
    return {name: getattr(value, name) for name in names}


def first_of(labels: Mapping[str, str], names: Iterable[str]) -> str:
    """The first label of these names that is there and not empty; "" where none is."""
    return next((labels[name] for name in names if labels.get(name)), "")
