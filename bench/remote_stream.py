"""A stream of planes to a viewer in another process, over TCP with CURVE: ring, carrier, link, viewer."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from rounds import CORES, pin

from hcs_mesh.actors.viewing.compression import Compression
from hcs_mesh.actors.viewing.plane_carrier import PlaneCarrier
from hcs_mesh.actors.viewing.under_way import UnderWay
from hcs_mesh.messages.frames import Frame, FrameTaken
from hcs_mesh.messages.planes import PlaneAddress, PlaneHeader
from hcs_mesh.transport import (
    Dialer,
    Endpoint,
    KeyPair,
    KeyRing,
    KeyRingAuthenticator,
    Kind,
    Link,
    Listener,
    Principal,
    ServerKey,
    codec,
    new_pair,
    tcp_endpoint,
)
from hcs_mesh.transport.planes import PlaneReader, Ring, default_folder
from hcs_mesh.transport.planes.packing import unpack

SHAPE = (2048, 2048)
PLANE_MIB = 8
N_CREDITS, N_SLOTS = 4, 8


def plane(*, shrinks: bool = False) -> Any:
    """A plane of noise, which no codec helps; or one as a camera makes it, which shrinks to half."""
    chance = np.random.default_rng(1)
    return (chance.poisson(400, SHAPE) if shrinks else chance.integers(0, 65536, SHAPE)).astype(np.uint16)


def free_port() -> int:
    """A base port whose data port is most likely free too."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]) % 40_000 + 10_000


class Keys:
    """The keys of both sides; the consumer's process is told its own as arguments."""

    def __init__(self) -> None:
        self.server, self.client = new_pair(), new_pair()

    def words(self, script: str, host: str, port: int) -> list[str]:
        """The command line of the consumer that a script is when it is asked to."""
        keys = [self.client.public, self.client.secret, self.server.public]
        return [sys.executable, script, "--consumer", host, str(port), *keys]


class _MeshSide:
    """The mesh's side of one stream: a carrier, a listener."""

    def __init__(self, endpoint: Endpoint, keys: Keys, folder: Path) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        allowed = KeyRing(folder)
        allowed.allow(Principal(name="viewer", role="viewer"), keys.client.public)
        self.authenticator = KeyRingAuthenticator(self.context, allowed)
        self.authenticator.start()
        self.listener = Listener(self.context, endpoint, self._hear, key=keys.server, ring=allowed)
        self.ready: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.carrier: Any = None
        self.n_done = 0
        self.stirred = asyncio.Event()

    def _hear(self, link: Link, envelope: codec.Envelope) -> None:
        if envelope.kind != Kind.TELL:
            return
        taken: FrameTaken = codec.decode(envelope.body, codec.decoder(FrameTaken))
        if taken.sequence == 0:
            self.ready.set_result(link)
            return
        self.carrier.taken(taken)
        self.n_done += 1
        self.stirred.set()

    def close(self) -> None:
        self.listener.close()
        self.authenticator.stop()
        self.context.term()


async def stream(
    endpoint: Endpoint,
    command: list[str],
    keys: Keys,
    *,
    goes_on: Callable[[float], bool],
    shrinks: bool = False,
    compression: Compression | None = None,
    watch: Callable[[PlaneCarrier, int], None] = lambda carrier, n_done: None,
) -> float:
    """MiB per second of planes to the consumer that ``command`` starts, as long as it goes on."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Ring(default_folder(), slot_bytes=PLANE_MIB << 20, n_slots=N_SLOTS) as ring,
    ):
        side = _MeshSide(endpoint, keys, Path(folder))
        header = PlaneHeader(
            address=PlaneAddress(well="A01", field=1), kind="image", height=SHAPE[0], width=SHAPE[1], dtype="uint16"
        )
        refs = [ring.put(plane(shrinks=shrinks)) for _ in range(N_CREDITS)]
        with on_another_core(command):
            link = await side.ready
            planes = PlaneReader(default_folder())
            side.carrier = PlaneCarrier(link, planes, UnderWay(), on_left=lambda sequence: None)
            if compression is not None:
                side.carrier.compression = compression
            running = asyncio.create_task(side.carrier.run())
            n_sent = 0
            start = time.perf_counter()
            while (more := goes_on(time.perf_counter() - start)) or side.n_done < n_sent:
                if more and n_sent - side.n_done < N_CREDITS:
                    n_sent += 1
                    ref = refs[n_sent % N_CREDITS]
                    side.carrier.put(Frame(viewer="v", sequence=n_sent, plate_id=1, job="", header=header, ref=ref))
                    continue
                side.stirred.clear()
                await side.stirred.wait()
                watch(side.carrier, side.n_done)
            elapsed_s = time.perf_counter() - start
            side.carrier.close()
            await running
            link.tell("viewer", FrameTaken(viewer="end", sequence=0))
            link.flush()
        side.close()
        return side.n_done * PLANE_MIB / elapsed_s


async def consume(host: str, port: int, key: KeyPair, server: ServerKey) -> None:
    """As a viewer does: take each plane, unpack it if it is packed, acknowledge it."""
    ended = asyncio.Event()
    union = codec.union_decoder((Frame, FrameTaken))

    def hear(link: Link, envelope: codec.Envelope) -> None:
        message = codec.decode(envelope.body, union)
        if isinstance(message, FrameTaken):
            ended.set()
            return
        began_s = time.monotonic()
        pixels = unpack(link.attached, message.codec, message.ref, most_bytes=link.most_attached_bytes)
        assert pixels.shape == SHAPE
        held_s = time.monotonic() - began_s
        link.tell("publisher", FrameTaken(viewer="v", sequence=message.sequence, held_s=held_s))

    context: zmq.Context[Any] = zmq.Context()
    dialer = Dialer(context, tcp_endpoint(host, port), hear, name="viewer", key=key, server=server)
    # Its hello on the data channel has to be there before the first plane is sent.
    await asyncio.sleep(0.5)
    dialer.link.tell("publisher", FrameTaken(viewer="v", sequence=0))
    await ended.wait()
    dialer.close()
    context.term()


def run(work: Any) -> Any:
    """The result of a coroutine, on the event loop of the mesh."""
    import uvloop

    return uvloop.run(work)


@contextlib.contextmanager
def on_another_core(command: list[str]) -> Iterator[None]:
    """Run a command on the second core, and this process on the first, until the command has ended."""
    process = subprocess.Popen(command)
    if len(CORES) > 1:
        os.sched_setaffinity(process.pid, {CORES[1]})
    pin(0)
    try:
        yield
        process.wait(20)
    finally:
        process.kill()
        os.sched_setaffinity(0, set(CORES))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--consumer"]:
        host, port, public, secret, server = sys.argv[2:]
        run(consume(host, int(port), KeyPair(public=public, secret=secret), ServerKey(public=server)))
