"""Dataclasses of the program behave as those of the standard library, and replacing a field does."""

import copy
import dataclasses
import inspect
import pickle
from functools import cached_property
from typing import Any, Generic, TypeVar

import pytest

from advisor import records
from advisor.records import dataclass, field, fields, replace
from advisor.units import BYTES_PER_GIB as GIB

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Machine:
    """A frozen record with every kind of default."""

    name: str
    gpus: int = 1
    labels: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict, hash=False)
    seen: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide(Machine):
    """A record that inherits, with a field worked out from others."""

    zone: str
    key: str = field(init=False)
    uses: list[str] = field(default_factory=list, init=False, compare=False)
    state: str = field(default="new", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.zone}/{self.name}")


@dataclass(frozen=True, slots=True, eq=False)
class Lazy:
    """A record told apart by identity."""

    name: str


@dataclass(frozen=True)
class Open:
    """A record with a dictionary, a hash of its own, and a text of its own."""

    gib: float

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return f"{self.gib} GiB"

    @cached_property
    def bytes(self) -> float:
        """The number in bytes."""
        return self.gib * GIB


@dataclass(frozen=True, slots=True)
class Box(Generic[T]):
    """A record of anything, itself included."""

    content: T


@dataclass(slots=True)
class Count:
    """A record that may change: the standard library's."""

    number: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A record that is ordered: the standard library's."""

    major: int


def standard(kind: type[Any], **options: Any) -> Any:
    """The same fields in a dataclass of the standard library."""
    names = [(each.name, each.type, copy.copy(each)) for each in fields(kind)]
    return dataclasses.make_dataclass(kind.__name__, names, frozen=True, slots=True, **options)


def outcome(call: Any) -> Any:
    """Text of what a call returns, or of what it raises."""
    try:
        return repr(call())
    except Exception as error:  # noqa: BLE001 - the same one is expected, whatever it is
        return type(error).__name__, str(error).replace("standard.<locals>.", "")


@pytest.mark.parametrize("arguments", [
    (("a",), {}), (("a", 2), {}), (("a",), {"gpus": 3, "labels": ("x",)}), (("a", 1, (), {"k": "v"}, 5), {}), ((), {}),
    (("a",), {"unknown": 1}), (("a", 1, (), {}, 0, 9), {}),
])  # fmt: skip
def test_a_record_is_made_shown_compared_and_hashed_as_by_the_standard_library(arguments: Any) -> None:
    """Arguments, errors, texts, comparison and hash are those of a standard dataclass."""
    plain = standard(Machine)
    args, named = arguments
    ours, theirs = outcome(lambda: Machine(*args, **named)), outcome(lambda: plain(*args, **named))
    assert ours == theirs
    if isinstance(ours, tuple):
        return
    mine, other = Machine(*args, **named), plain(*args, **named)
    assert hash(mine) == hash(other)
    assert mine == Machine(*args, **{**named, "seen": 8} if len(args) < 5 else named)
    assert mine != Machine("b")
    assert mine != other
    assert dataclasses.asdict(mine) == dataclasses.asdict(other)
    assert list(inspect.signature(Machine).parameters) == list(inspect.signature(plain).parameters)


def test_each_record_has_a_default_of_its_own() -> None:
    """A default that a function makes is made for each record."""
    assert Machine("a").notes is not Machine("a").notes


def test_comparison_stays_the_same_after_its_first_use() -> None:
    """Functions compiled at their first use say what later ones say."""

    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int

    first = [Point(1, 2) == Point(1, 2), Point(1, 2) == Point(1, 3), Point(1, 2) == (1, 2), hash(Point(1, 2))]
    assert first == [Point(1, 2) == Point(1, 2), Point(1, 2) == Point(1, 3), Point(1, 2) == (1, 2), hash(Point(1, 2))]
    assert first[:3] == [True, False, False]


@pytest.mark.parametrize("record", [Machine("a"), Wide(name="a", zone="z"), Lazy("a"), Open(1.0), Box(1)])
def test_a_frozen_record_refuses_every_change(record: Any) -> None:
    """No field can be set or deleted, and no attribute added."""
    name = fields(record)[0].name
    before = getattr(record, name)
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(record, name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(record, name)
    with pytest.raises(AttributeError):
        record.beside = 1
    assert getattr(record, name) == before


@pytest.mark.parametrize(
    "record", [Machine("a", 2, notes={"k": "v"}), Wide(name="a", zone="z"), Open(2.0), Box((1, 2))]
)
def test_a_record_survives_pickling_and_copying(record: Any) -> None:
    """Records pass between processes."""
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record


def test_a_field_that_follows_from_others_follows_a_replaced_one() -> None:
    """A replaced field is seen by what is worked out from it."""
    wide = Wide(name="a", zone="z")
    assert (wide.key, wide.uses, wide.state) == ("z/a", [], "new")
    assert wide.uses is not Wide(name="a", zone="z").uses
    assert replace(wide, zone="y") == Wide(name="a", zone="y")
    assert replace(wide, zone="y").key == "y/a"
    with pytest.raises(TypeError, match="key"):
        replace(wide, key="other")


def test_replacing_takes_records_of_either_library_and_no_unknown_field() -> None:
    """Fields that are not compared are kept too."""
    assert replace(Machine("a", seen=3), gpus=2) == Machine("a", 2)
    assert replace(Machine("a", seen=3), gpus=2).seen == 3
    assert replace(Count(1), number=2) == Count(2)
    with pytest.raises(TypeError, match="unknown"):
        replace(Machine("a"), unknown=1)


def test_methods_of_a_class_stay_its_own() -> None:
    """Hash, text and identity of a class are kept."""
    assert (hash(Open(1.0)), repr(Open(1.0)), Open(1.0) == Open(1.0), Open(1.0).bytes) == (7, "1.0 GiB", True, GIB)
    assert Lazy("a") != Lazy("a")
    assert len({Lazy("a"), Lazy("a")}) == 2


def test_a_record_within_itself_is_shown_once() -> None:
    """A record that holds itself has a text."""
    inner: list[Any] = []
    box = Box(inner)
    inner.append(box)
    assert repr(box) == "Box(content=[...])"


def test_records_that_change_or_are_ordered_are_the_standard_librarys() -> None:
    """They do all that they do there."""
    count = Count()
    count.number = 4
    assert count == Count(4)
    assert sorted([Version(2), Version(1)]) == [Version(1), Version(2)]


def test_nothing_is_compiled_for_a_class_until_it_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes with as many fields of the same kinds share the code of their constructors."""
    compiled: list[str] = []
    make = records._compiled

    def counted(made: type, signature: str, *rest: Any) -> Any:
        compiled.append(signature.partition("(")[0])
        return make(made, signature, *rest)

    monkeypatch.setattr(records, "_compiled", counted)
    for name in ("_create_fn",):
        monkeypatch.setattr(dataclasses, name, lambda *_args, **_named: pytest.fail("compiled by the standard library"))

    @dataclass(frozen=True, slots=True)
    class Pair:
        left: int
        right: int

    @dataclass(frozen=True, slots=True)
    class Range:
        first: int
        last: int

    assert repr(Range(first=1, last=2)).endswith("Range(first=1, last=2)")
    compiled_codes = records._init_code.cache_info().misses
    assert repr(Pair(1, 2)).endswith("Pair(left=1, right=2)")
    assert records._init_code.cache_info().misses == compiled_codes
    assert compiled == []
    assert len({Pair(1, 2), Pair(1, 2), Pair(2, 1)}) == 2
    assert compiled == ["__hash__", "__eq__"]
