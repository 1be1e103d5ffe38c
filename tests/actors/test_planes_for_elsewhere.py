"""A viewer elsewhere is sent the planes of its own stream, whatever it says and whenever it reads."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from waiting import eventually

from hcs_mesh.actors.viewing import plane_carrier, under_way
from hcs_mesh.actors.viewing.plane_carrier import PlaneCarrier
from hcs_mesh.actors.viewing.under_way import UnderWay
from hcs_mesh.messages.frames import Frame, FrameTaken, StreamEnded
from hcs_mesh.messages.planes import PlaneAddress, PlaneHeader
from hcs_mesh.messages.streaming import ListStreams
from hcs_mesh.messages.viewing import Attach, StartStream, StillAttached, Subject
from hcs_mesh.transport import Link
from hcs_mesh.transport.codec import Envelope
from hcs_mesh.transport.planes import PlaneReader, PlaneRef, Ring
from hcs_mesh.transport.planes.packing import BLOSC2, pack, unpack

pytestmark = pytest.mark.anyio

SIDE = 64
HEADER = PlaneHeader(address=PlaneAddress(well="A01", field=1), kind="image", height=SIDE, width=SIDE, dtype="uint16")
OWN, OTHERS = 7, 8


def plane(value: int) -> Any:
    return np.full((SIDE, SIDE), value, np.uint16)


def frame(sequence: int, ref: PlaneRef) -> Frame:
    return Frame(viewer="ada", sequence=sequence, plate_id=1, job="", header=HEADER, ref=ref)


class Threads(ThreadPoolExecutor):
    """One thread, which waits where it is not let on."""

    def __init__(self) -> None:
        super().__init__(1)
        self.gate = threading.Event()
        self.gate.set()
        self.n_asked = 0

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        self.n_asked += 1
        return super().submit(lambda: (self.gate.wait(), work(*args, **named))[1])


class Watched(UnderWay):
    """Tells how often somebody waited."""

    n_waits = 0

    async def change(self) -> None:
        self.n_waits += 1
        await super().change()


class Halting(UnderWay):
    """Tells when a copy begins and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.ended = asyncio.Event(), False

    async def copied(self, pixels: Any) -> Any:
        self.began.set()
        body = await super().copied(pixels)
        self.ended = True
        return body


class Stream:
    """A carrier that carries planes of a ring with one slot; what it has written stays with the link's socket."""

    def __init__(self, folder: Path, under_way: UnderWay) -> None:
        folder.mkdir(mode=0o700)
        self.ring = Ring(folder, slot_bytes=1 << 16, n_slots=1)
        self.bodies: list[Any] = []
        self.n_without = 0
        self.left: list[int] = []
        link = Link("viewer", self._write, lambda link, envelope: None)
        self.carrier = PlaneCarrier(link, PlaneReader(folder), under_way, on_left=self.left.append)

    def _write(self, frames: Any, bulk: bool) -> bool:
        self.bodies.extend(frames[1:])
        self.n_without += len(frames) == 1
        return True

    def put(self, value: int) -> PlaneRef:
        """Load a plane for ada into the slot."""
        ref = self.ring.put(plane(value), ["ada"])
        self.ring.let_go(ref)
        return ref

    def take_back(self, ref: PlaneRef) -> None:
        self.ring.acknowledge(ref.slot, ref.generation, "ada")


@contextlib.asynccontextmanager
async def carried(folder: Path, under_way: UnderWay | None = None) -> AsyncIterator[Stream]:
    stream = Stream(folder, under_way or UnderWay())
    task = asyncio.create_task(stream.carrier.run())
    try:
        yield stream
    finally:
        stream.carrier.close()
        stream.bodies.clear()
        await task
        stream.ring.close()


async def test_a_plane_whose_words_cannot_travel_ends_its_stream_and_not_what_carries_it(tmp_path: Path) -> None:
    async with carried(tmp_path / "ring") as stream:
        # As a path whose bytes are no text.
        stream.carrier.put(msgspec.structs.replace(frame(1, stream.put(OWN)), job="\udcff"))
        await eventually(lambda: stream.n_without == 1)
        stream.carrier.put(StreamEnded(viewer="ada", reason="it is over"))
        await eventually(lambda: stream.n_without == 2)
        assert not stream.bodies


async def test_a_plane_never_takes_more_bytes_than_it_has(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 16, (SIDE, SIDE)).astype(np.uint16)
    assert len(pack(noise)) > noise.nbytes
    async with carried(tmp_path / "planes") as stream:
        stream.carrier.compression.on = True
        ref = stream.ring.put(noise, ["ada"])
        stream.carrier.put(frame(1, ref))
        await eventually(lambda: stream.left == [1])
        assert b"".join(stream.bodies) == noise.tobytes()


async def test_a_plane_whose_slot_becomes_somebody_elses_while_it_is_packed_is_not_sent(tmp_path: Path) -> None:
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    async with carried(tmp_path / "planes") as stream, contextlib.AsyncExitStack() as afterwards:
        afterwards.callback(threads.gate.set)
        threads.gate.clear()
        ref = stream.put(OWN)
        stream.carrier.put(frame(1, ref))
        await eventually(lambda: threads.n_asked > 0)
        stream.take_back(ref)
        stream.put(OTHERS)
        threads.gate.set()
        stream.carrier.put(StreamEnded(viewer="ada", reason="the test is over"))
        await eventually(lambda: stream.n_without == 1)
        assert not stream.bodies
        assert not stream.left


async def test_a_plane_whose_slot_becomes_somebody_elses_while_it_is_copied_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_way, "PART_BYTES", 64)
    slow = Halting()
    async with carried(tmp_path / "planes", slow) as stream:
        ref = stream.put(OWN)
        # The first one is packed, to measure the codec.
        stream.carrier.put(frame(1, ref))
        await eventually(lambda: stream.left == [1])
        stream.take_back(ref)
        ref = stream.put(OWN)
        stream.carrier.put(frame(2, ref))
        await slow.began.wait()
        stream.take_back(ref)
        stream.put(OTHERS)
        assert not slow.ended, "it was copied in one go, and nothing could come between"
        stream.carrier.put(StreamEnded(viewer="ada", reason="the test is over"))
        await eventually(lambda: stream.n_without == 1)
        assert slow.ended
        assert len(stream.bodies) == 1
        assert stream.left == [1]


async def test_what_has_been_sent_stays_that_plane_though_its_slot_is_somebody_elses_by_now(tmp_path: Path) -> None:
    async with carried(tmp_path / "planes") as stream:
        for sequence in (1, 2):
            ref = stream.put(OWN)
            stream.carrier.put(frame(sequence, ref))
            await eventually(lambda n=sequence: len(stream.left) == n)
            stream.take_back(ref)
        stream.put(OTHERS)
        for body, codec in zip(stream.bodies, (BLOSC2, ""), strict=True):
            assert np.array_equal(unpack([body], codec, ref, most_bytes=1 << 20), plane(OWN))


async def test_a_plane_waits_until_the_viewer_has_read_what_it_was_sent_before(tmp_path: Path) -> None:
    under_way = Watched(most_bytes=1)
    async with carried(tmp_path / "planes", under_way) as stream:
        ref = stream.put(OWN)
        stream.carrier.put(frame(1, ref))
        stream.carrier.put(frame(2, ref))
        await eventually(lambda: under_way.n_waits)
        assert stream.left == [1]
        stream.bodies.clear()
        await eventually(lambda: stream.left == [1, 2])


async def test_a_stream_that_is_closed_waits_for_no_reader(tmp_path: Path) -> None:
    under_way = Watched(most_bytes=1)
    async with carried(tmp_path / "planes", under_way) as stream:
        ref = stream.put(OWN)
        stream.carrier.put(frame(1, ref))
        stream.carrier.put(frame(2, ref))
        stream.carrier.put(StreamEnded(viewer="ada", reason="the test is over"))
        await eventually(lambda: under_way.n_waits)
        stream.carrier.close()
        await eventually(lambda: stream.n_without == 1)
        assert stream.left == [1]


async def test_a_plane_is_under_way_until_its_socket_has_let_go_of_it(tmp_path: Path) -> None:
    context: zmq.Context[Any] = zmq.Context()
    writer, reader = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    try:
        under_way = UnderWay(most_bytes=1)
        writer.connect(f"ipc://{tmp_path}/link")
        body = np.zeros(1 << 20, np.uint8)
        under_way.note(body)
        writer.send(body, copy=False)
        del body
        assert under_way.n_bytes == 1 << 20
        reader.bind(f"ipc://{tmp_path}/link")
        await asyncio.to_thread(reader.recv)
        await eventually(lambda: not under_way.is_full)
    finally:
        writer.close(0)
        reader.close(0)
        context.term()


async def test_what_a_viewer_says_of_a_plane_that_has_not_left_does_not_count(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, gate = threading.Event(), threading.Event()

    def pack_late(pixels: Any) -> bytes:
        began.set()
        assert gate.wait(60)
        return pack(pixels)

    monkeypatch.setattr(plane_carrier, "pack", pack_late)
    async with streaming.mesh(tmp_path / "data", n_credits=1) as mesh:
        heard: list[Envelope] = []
        async with dialled(mesh, lambda link, envelope: heard.append(envelope)) as link:
            attach = Attach(kind="recorder", elsewhere=True, subject=Subject(plate_id=1))
            viewer = (await link.ask("viewers", attach)).viewer
            link.tell("viewers", StartStream(viewer=viewer))
            await streaming.until(began.is_set, 30)
            link.tell("viewers", FrameTaken(viewer=viewer, sequence=1))
            assert await link.ask("viewers", StillAttached(viewer=viewer, let_go_through=10**9))
            (stream,) = await mesh.node.find("publisher").ask(ListStreams())
            gate.set()
            assert (stream.n_sent, stream.n_unacknowledged) == (1, 1)
            await streaming.until(lambda: len(heard) == 1, 30)
            link.tell("viewers", FrameTaken(viewer=viewer, sequence=1))
            await streaming.until(lambda: len(heard) == 2, 30)


@contextlib.asynccontextmanager
async def dialled(mesh: Any, hear: Callable[[Link, Envelope], None]) -> AsyncIterator[Link]:
    context: zmq.Context[Any] = zmq.Context()
    dialer = mesh.dial(context, hear)
    try:
        yield dialer.link
    finally:
        dialer.close()
        context.term()
