"""Every message of the vocabulary is a frozen struct of plain values under a tag of its own."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

import hcs_mesh.messages
from hcs_mesh.transport import BadMessage, Event, Message, Request, codec
from hcs_mesh.transport.messages import reply_class, reply_type


def _subclasses(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def vocabulary() -> list[type[Message]]:
    """Every concrete message of the package."""
    for module in pkgutil.iter_modules(hcs_mesh.messages.__path__):
        importlib.import_module(f"hcs_mesh.messages.{module.name}")
    mine = {one for one in _subclasses(Message) if one.__module__.startswith("hcs_mesh.")}
    return sorted(mine - {Event, Request}, key=lambda one: one.__name__)


VOCABULARY = vocabulary()


@pytest.mark.parametrize("kind", VOCABULARY, ids=lambda one: one.__name__)
def test_a_message_is_frozen_and_states_its_tag(kind: type[Message]) -> None:
    config = kind.__struct_config__
    assert config.frozen
    assert isinstance(config.tag, str)
    # A tag that is the class's name came by inheritance, not by a decision.
    assert config.tag != kind.__name__
    assert not config.forbid_unknown_fields


def test_no_two_messages_share_a_tag() -> None:
    tags = [kind.__struct_config__.tag for kind in VOCABULARY]
    assert sorted(tags) == sorted(set(tags))


@pytest.mark.parametrize("kind", VOCABULARY, ids=lambda one: one.__name__)
def test_fields_are_scalars_bytes_tuples_and_frozen_structs(kind: type[Message]) -> None:
    assert list(_offenders(msgspec.inspect.type_info(kind), kind.__name__, set())) == []


@pytest.mark.parametrize("kind", [one for one in VOCABULARY if issubclass(one, Request)], ids=lambda one: one.__name__)
def test_answers_are_made_of_the_same(kind: type[Message]) -> None:
    assert list(_offenders(msgspec.inspect.type_info(reply_type(kind)), kind.__name__, set())) == []
    isinstance(None, reply_class(kind))


def _offenders(info: Any, where: str, seen: set[type]) -> Iterator[str]:
    plain = (
        msgspec.inspect.IntType,
        msgspec.inspect.FloatType,
        msgspec.inspect.StrType,
        msgspec.inspect.BoolType,
        msgspec.inspect.BytesType,
        msgspec.inspect.NoneType,
        msgspec.inspect.EnumType,
        msgspec.inspect.LiteralType,
    )
    match info:
        case msgspec.inspect.StructType():
            if info.cls in seen:
                return
            seen.add(info.cls)
            if not info.cls.__struct_config__.frozen:
                yield f"{where}: {info.cls.__name__} is not frozen"
            for field in info.fields:
                yield from _offenders(field.type, f"{where}.{field.name}", seen)
        case msgspec.inspect.VarTupleType():
            yield from _offenders(info.item_type, where, seen)
        case msgspec.inspect.TupleType():
            for item in info.item_types:
                yield from _offenders(item, where, seen)
        case msgspec.inspect.UnionType():
            for item in info.types:
                yield from _offenders(item, where, seen)
        case msgspec.inspect.Metadata():
            yield from _offenders(info.type, where, seen)
        case _ if not isinstance(info, plain):
            yield f"{where}: {type(info).__name__}"


def test_the_walk_finds_a_list_a_dict_and_a_struct_that_is_not_frozen() -> None:
    class Loose(msgspec.Struct):
        number: int

    class Bad(Event, frozen=True, kw_only=True, tag="test.bad"):
        a: list[int]
        b: dict[str, int]
        c: tuple[Loose, ...]

    assert len(list(_offenders(msgspec.inspect.type_info(Bad), "Bad", set()))) == 3


def test_a_field_more_is_ignored_and_a_field_less_is_its_default() -> None:
    class Old(Event, frozen=True, kw_only=True, tag="test.grown"):
        number: int

    class New(Event, frozen=True, kw_only=True, tag="test.grown"):
        number: int
        text: str = "default"

    assert codec.decode(codec.encode(New(number=1, text="x")), codec.decoder(Old)) == Old(number=1)
    assert codec.decode(codec.encode(Old(number=1)), codec.decoder(New)).text == "default"


def test_what_cannot_travel_is_named() -> None:
    class Bad(Event, frozen=True, kw_only=True, tag="test.unsayable"):
        thing: Any

    for thing in (object(), 2**70, "\ud800"):
        with pytest.raises(BadMessage, match="Bad cannot travel"):
            codec.seal(0, 1, "x", 0.0, Bad(thing=thing))


def test_every_request_names_its_answer() -> None:
    for kind in VOCABULARY:
        if issubclass(kind, Request):
            assert reply_type(kind) is not None or get_args(kind.__orig_bases__[0]) == (None,)  # type: ignore[attr-defined]
