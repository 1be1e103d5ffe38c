"""Viewers on other hosts: their planes come over the link, in the same order, within the same credits."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from free_ports import free_port
from waiting import eventually

from hcs_mesh.actors.viewing.stream_pump import OpenedStream
from hcs_mesh.messages.frames import Fact, Frame, PlaneUnreadable
from hcs_mesh.messages.planes import PlaneAddress
from hcs_mesh.messages.viewing import Contents, ListViewers, Subject
from hcs_mesh.transport import Link, dialer, tcp_endpoint
from hcs_mesh.transport.planes import BadPlane, PlaneReader, PlaneRef, RingError, packing
from hcs_mesh.transport.planes.packing import BLOSC2, MOST_PARTS, in_parts, pack, unpack
from hcs_mesh.viewers.follower import Follower

pytestmark = pytest.mark.anyio

MOST = 1 << 20
SIDE = 64


class Notes:
    """A screen that keeps what it was shown; with a gate it takes nothing until the gate opens."""

    def __init__(self) -> None:
        self.planes: dict[PlaneAddress, int] = {}
        self.sequences: list[int] = []
        self.codecs: list[str] = []
        self.rings: list[str] = []
        self.missed: list[str] = []

    def begin(self, contents: Contents) -> None: ...

    def plane(self, frame: Frame, pixels: Any) -> None:
        assert pixels.min() == pixels.max()
        assert not frame.ref.ring or Path(frame.ref.ring).exists()
        self.planes[frame.header.address] = int(pixels[0, 0])
        self.sequences.append(frame.sequence)
        self.codecs.append(frame.codec)
        self.rings.append(frame.ref.ring)

    def unreadable(self, report: PlaneUnreadable) -> None:
        self.missed.append(report.reason)

    def fact(self, fact: Fact, *, n_waiting: int) -> None: ...

    def state(self, text: str) -> None: ...


@asynccontextmanager
async def following(mesh: Any, **options: Any) -> AsyncIterator[tuple[Notes, Follower]]:
    notes, context = Notes(), zmq.Context()
    dial = functools.partial(mesh.dial, context, **options)
    follower = Follower(dial, notes, kind="recorder", subject=Subject(plate_id=1))
    task = asyncio.create_task(follower.run())
    try:
        yield notes, follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        context.term()


def over_tcp(mesh: Any) -> None:
    mesh.endpoint = tcp_endpoint("127.0.0.1", free_port())


async def test_planes_reach_a_viewer_that_dialled_by_tcp(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path, before=over_tcp) as mesh, following(mesh) as (seen, _):
        await eventually(lambda: len(seen.planes) == 4)
        assert seen.planes[PlaneAddress(well="B02", field=1, channel="GFP")] == 1101
        assert seen.sequences == [1, 2, 3, 4]
        assert seen.rings == [""] * 4
        assert seen.codecs[0] == BLOSC2, "the first plane tells what the codec makes of them"
        assert "" in seen.codecs
        # A plane is acknowledged once it is shown.
        await eventually(lambda: _all_is_acknowledged(mesh))
        # And what is committed later comes the same way.
        mesh.node.find("publisher").tell(mesh.committed_anew(1))
        await eventually(lambda: len(seen.sequences) == 8)


@pytest.mark.parametrize("part_bytes", [100, 1], ids=["a few parts", "as many as there may be"])
async def test_planes_come_in_parts_and_are_whole(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr(packing, "PART_BYTES", part_bytes)
    n_parts: list[int] = []
    joined = packing._joined

    def counted(parts: Any, *expected: int) -> Any:
        n_parts.append(len(parts))
        return joined(parts, *expected)

    monkeypatch.setattr(packing, "_joined", counted)
    async with streaming.mesh(tmp_path, before=over_tcp) as mesh, following(mesh) as (seen, _):
        await eventually(lambda: len(seen.planes) == 4)
        assert seen.planes[PlaneAddress(well="B02", field=1, channel="GFP")] == 1101
        assert seen.sequences == [1, 2, 3, 4]
        await eventually(lambda: _all_is_acknowledged(mesh))
    assert 1 < max(n_parts) <= packing.MOST_PARTS


@pytest.mark.parametrize("told", [True, False], ids=["the mesh knows", "a mesh that asks no viewer what it takes"])
async def test_a_plane_that_is_larger_than_a_viewer_takes_is_told_of_and_the_stream_goes_on(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    if not told:
        monkeypatch.setattr(OpenedStream, "check_size", lambda self, announced: None)
    async with streaming.mesh(tmp_path, before=over_tcp) as mesh, following(mesh, max_frame_bytes=100) as (seen, one):
        await eventually(lambda: len(seen.missed) == 4)
        assert not seen.planes
        assert "at most 100 are taken" in seen.missed[0]
        assert "limits.frame_bytes" in seen.missed[0]
        assert mesh.statistics("publisher")["planes"] == (0 if told else 4), "nobody reads what is not taken"
        await eventually(lambda: _all_is_acknowledged(mesh))
        mesh.node.find("publisher").tell(mesh.committed_anew(1))
        await eventually(lambda: len(seen.missed) == 8)
        assert one.n_sessions == 1


async def test_a_plane_of_which_each_part_is_larger_than_a_viewer_hears_costs_it_no_connection(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (packing, dialer):
        monkeypatch.setattr(one, "PART_BYTES", 100)
        monkeypatch.setattr(one, "MOST_PARTS", 1)
    heard = {"max_message_bytes": 4096, "max_frame_bytes": 4096}
    async with streaming.mesh(tmp_path, before=over_tcp) as mesh, following(mesh, **heard) as (seen, one):
        await eventually(lambda: len(seen.missed) == 4)
        assert "8192 bytes" in seen.missed[0]
        assert await _all_is_acknowledged(mesh)
        assert one.n_sessions == 1


async def test_a_viewer_beside_the_mesh_takes_planes_of_any_size(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, max_frame_bytes=100) as (seen, _):
        await eventually(lambda: len(seen.planes) == 4)
        assert not seen.missed


async def test_a_viewer_that_cannot_open_the_ring_asks_for_its_planes_over_the_link(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: PlaneReader, ring: str) -> None:
        raise RingError(f"cannot open the ring {ring}: another container")

    monkeypatch.setattr(PlaneReader, "open", refuse)
    async with streaming.mesh(tmp_path) as mesh, following(mesh) as (seen, follower):
        await eventually(lambda: len(seen.planes) == 4)
        assert seen.rings == [""] * 4
        assert follower.n_sessions == 1


async def test_a_viewer_elsewhere_that_leaves_gives_its_slots_back(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path, before=over_tcp) as mesh:
        async with following(mesh) as (seen, _):
            await eventually(lambda: len(seen.planes) == 4)
        await eventually(lambda: _n_viewers(mesh))


async def _all_is_acknowledged(mesh: Any) -> bool:
    (viewer,) = await mesh.node.find("viewers").ask(ListViewers())
    return (viewer.elsewhere, viewer.n_unacknowledged) == (True, 0)


async def _n_viewers(mesh: Any) -> bool:
    return await mesh.node.find("viewers").ask(ListViewers()) == ()


def ref_of(plane: Any) -> PlaneRef:
    return PlaneRef(
        ring="", slot=0, generation=1, offset=0, shape=plane.shape, dtype=plane.dtype.str, n_bytes=plane.nbytes
    )


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
async def test_a_packed_plane_comes_back_as_it_was(dtype: str) -> None:
    plane = np.random.default_rng(1).integers(0, 200, (37, 53)).astype(dtype)
    for body, codec in ((pack(plane), BLOSC2), (plane.tobytes(), "")):
        back = unpack([body], codec, ref_of(plane), most_bytes=MOST)
        assert back.dtype == plane.dtype
        assert np.array_equal(back, plane)


@pytest.mark.parametrize(
    ("n_bytes", "packs"),
    [*((n, False) for n in (0, 1, 9, 10, 11, 95, 96, 97, 1_000)), *((n, True) for n in (1, 97, 9_999))],
)
async def test_a_plane_in_parts_is_that_plane_and_of_not_too_many(
    monkeypatch: pytest.MonkeyPatch, n_bytes: int, packs: bool
) -> None:
    monkeypatch.setattr(packing, "PART_BYTES", 3)
    plane = np.random.default_rng(1).integers(0, 256, (1, n_bytes)).astype(np.uint8)
    body = np.frombuffer(pack(plane), np.uint8) if packs else plane.reshape(-1)
    parts = in_parts(body)
    assert 1 <= len(parts) <= MOST_PARTS
    assert not any(np.shares_memory(one, other) for one in parts for other in parts if one is not other)
    back = unpack([part.tobytes() for part in parts], BLOSC2 if packs else "", ref_of(plane), most_bytes=MOST)
    assert np.array_equal(back, plane)
    assert packs or not back.flags.writeable


async def test_a_plane_of_which_a_part_is_missing_is_refused() -> None:
    plane = np.zeros((4, 4), np.uint16)
    for parts in ([], [b"12"], [plane.tobytes()[:16]], [plane.tobytes(), b"x"]):
        with pytest.raises(BadPlane):
            unpack(parts, "", ref_of(plane), most_bytes=MOST)


@pytest.mark.parametrize("dtype", ["no dtype", "f4, (1", "2O", "datetime64[s]", "", "(2,3)f4"])
async def test_a_reference_to_what_is_no_plane_of_numbers_is_refused(dtype: str) -> None:
    ref = PlaneRef(ring="", slot=0, generation=1, offset=0, shape=(4, 4), dtype=dtype, n_bytes=32)
    with pytest.raises(BadPlane):
        unpack([bytes(32)], "", ref, most_bytes=MOST)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1,) * 70, "u1"),
        ((2**63,) * 20_000, "u1"),
        ((0, 2**62, 8), "u1"),
        ((0, 2**63), "u1"),
        ((0, 2**64 - 1), "u1"),
        ((2**31, 2**31, 0), "c16"),
        ((0, -1), "u1"),
        ((True,), "u1"),
        ((False, 3), "u1"),
    ],
)
@pytest.mark.parametrize("codec", ["", BLOSC2])
async def test_a_reference_to_what_is_no_array_is_refused(shape: tuple[int, ...], dtype: str, codec: str) -> None:
    ref = PlaneRef(ring="", slot=0, generation=1, offset=0, shape=shape, dtype=dtype, n_bytes=1)
    for part in (b"", b"x", pack(np.zeros((4, 4), np.uint16))):
        with pytest.raises(BadPlane) as refused:
            unpack([part], codec, ref, most_bytes=MOST)
        assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("codec", ["", BLOSC2])
async def test_a_plane_for_which_no_memory_is_left_is_refused(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError

    plane = np.zeros((4, 4), np.uint16)
    parts = [pack(plane)] if codec else [plane.tobytes()[:16], plane.tobytes()[16:]]
    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(BadPlane, match="no memory is left"):
        unpack(parts, codec, ref_of(plane), most_bytes=MOST)


@pytest.mark.parametrize(
    "change",
    [{"shape": (SIDE * SIDE,)}, {"shape": (1,) * 70}, {"shape": (0, 2**62, 8)}, {"dtype": "<i2"}, {"dtype": "?\0"}],
    ids=["flat", "no array", "too large", "other numbers", "no dtype"],
)
async def test_a_plane_that_is_not_as_its_header_tells_is_told_of_and_the_stream_goes_on(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    tell_with = Link.tell_with

    def tell_of_another(link: Link, target: str, frame: Frame, parts: Any) -> bool:
        ref = msgspec.structs.replace(frame.ref, **change)
        return tell_with(link, target, msgspec.structs.replace(frame, ref=ref), parts)

    monkeypatch.setattr(Link, "tell_with", tell_of_another)
    async with streaming.mesh(tmp_path, before=over_tcp) as mesh, following(mesh) as (seen, one):
        await eventually(lambda: len(seen.missed) == 4)
        await eventually(lambda: _all_is_acknowledged(mesh))
        assert not seen.planes
        assert one.n_sessions == 1


@pytest.mark.parametrize("codec", ["", BLOSC2])
async def test_no_memory_is_taken_for_a_plane_beyond_the_bound(codec: str) -> None:
    ref = PlaneRef(ring="", slot=0, generation=1, offset=0, shape=(1 << 40, 1 << 40), dtype="u1", n_bytes=1)
    with pytest.raises(BadPlane, match="at most"):
        unpack([pack(np.zeros((4, 4), np.uint16))], codec, ref, most_bytes=MOST)


@pytest.mark.parametrize(("body", "codec"), [(b"", ""), (b"12", ""), (b"garbage" * 9, BLOSC2), (b"x", "zip")])
async def test_what_is_no_plane_is_refused(body: bytes, codec: str) -> None:
    with pytest.raises(BadPlane):
        unpack([body], codec, ref_of(np.zeros((4, 4), np.uint16)), most_bytes=MOST)
