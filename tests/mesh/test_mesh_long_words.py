"""Whatever somebody with a key says at length to any actor of a mesh: it is answered, and nothing is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import pytest

from hcs_mesh import Mesh, Settings
from hcs_mesh.client import Client
from hcs_mesh.config import DeviceSettings, LimitSettings, MeshError
from hcs_mesh.config.settings import LEAST_MESSAGE_BYTES
from hcs_mesh.messages.compute import GetJob, SubmitJob
from hcs_mesh.messages.console import InspectActor
from hcs_mesh.messages.imports import ImportOrder, SubmitImport
from hcs_mesh.messages.viewing import Attach, Subject
from hcs_mesh.transport import AskTimedOut, BadMessage, Kind, PeerGone, Request
from hcs_mesh.transport.codec import decode, encode, seal, union_decoder

pytestmark = pytest.mark.anyio

BOUND = LEAST_MESSAGE_BYTES
TIMEOUT_S = 60.0


def repr_of_class(message: Any) -> str:
    """What a message is called among the tests."""
    return type(message).__name__


def example(kind: Any) -> Any:
    """A value of a field that has to be there."""
    kind = unmarked(kind)
    origin = get_origin(kind)
    if origin is Literal:
        return get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return made(kind)
    return {str: "x", int: 1, float: 0.0, bool: False, tuple: ()}[origin or kind]


def made(kind: type[Any], **given: Any) -> Any:
    """A message with what has to be there and what is given; nothing is more than tried."""
    fields = msgspec.structs.fields(kind)
    tried = {"trial": True} if any(one.name == "trial" for one in fields) else {}
    return kind(**{one.name: example(one.type) for one in fields if one.required} | tried | given)


def unmarked(kind: Any) -> Any:
    """A field's type without what it says of how long it may be."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def texts(kind: type[Any]) -> Iterator[tuple[str, ...]]:
    """The fields of a message that hold what somebody writes, and those within what it holds."""
    for one in msgspec.structs.fields(kind):
        bare = unmarked(one.type)
        if bare is str or (get_origin(bare) is tuple and str in get_args(bare)):
            yield (one.name,)
        elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            yield from ((one.name, *below) for below in texts(bare))


def said(kind: type[Any], path: tuple[str, ...], text: str) -> Any:
    """A message with this text in one of its fields."""
    field = next(one for one in msgspec.structs.fields(kind) if one.name == path[0])
    if len(path) > 1:
        return made(kind, **{field.name: said(field.type, path[1:], text)})
    return made(kind, **{field.name: text if unmarked(field.type) is str else (text,)})


def full(actor: str, kind: type[Any], path: tuple[str, ...]) -> Any:
    """The same, as long as a message may be."""
    spare = len(seal(Kind.ASK, 1 << 20, actor, TIMEOUT_S, said(kind, path, "")))
    return said(kind, path, "x" * (BOUND - spare - 20))


async def test_words_that_fill_a_message_are_answered_and_start_nobody_anew(tmp_path: Path) -> None:
    settings = Settings(devices=DeviceSettings(cpu_slots=0, gpu="off"), limits=LimitSettings(message_bytes=BOUND))
    async with Mesh(settings, data=tmp_path / "data") as mesh:
        assert mesh._node is not None
        asked = [
            (name, kind, path)
            for name, cell in mesh._node.cells.items()
            for kind in cell.replies
            if issubclass(kind, Request) and kind.audience is not None
            for path in texts(kind)
        ]
        assert {InspectActor, GetJob, Attach} <= {kind for _, kind, _ in asked}
        async with Client.at(mesh.data, max_message_bytes=BOUND) as owner:
            for name, kind, path in asked:
                what = f"{kind.__name__}.{'.'.join(path)} to {name}"
                (answer,) = await asyncio.gather(
                    owner.ask(name, full(name, kind, path), timeout_s=TIMEOUT_S), return_exceptions=True
                )
                assert not isinstance(answer, AskTimedOut | PeerGone), f"{what}: {answer}"
                if isinstance(answer, Exception):
                    assert isinstance(answer, MeshError), what
                    assert len(str(answer)) < BOUND // 2, what
        rows = mesh.rows()
        assert {row.name: row.last_error for row in rows if row.restarts or row.state != "running"} == {}


@pytest.mark.parametrize(
    "message",
    [
        Attach(kind="recorder", title="x" * 5_000),
        Attach(kind="recorder", subject=Subject(job="x" * 200)),
        SubmitJob(plate_id=1, source="x" * 1_000_001, key="k"),
        SubmitJob(plate_id=1, source="", key="x" * 10_001),
        SubmitJob(plate_id=1, source="", key="k", source_name="x" * 10_001),
        SubmitImport(order=ImportOrder(path="p"), key="x" * 10_001),
        SubmitImport(order=ImportOrder(path="p"), key="k", on_behalf_of="x" * 10_001),
    ],
    ids=repr_of_class,
)
def test_what_would_be_kept_is_refused_when_it_has_no_end(message: Any) -> None:
    with pytest.raises(BadMessage, match=r"of length <= \d+ - at"):
        decode(encode(message), union_decoder([type(message)]))
