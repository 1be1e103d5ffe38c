"""Asks in one process and between two, beside what the loop and the socket alone can do: ``python bench/ask.py``."""

import asyncio
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from rounds import medians, pin
from rows import Row

N_CALLERS = 64
ONE_PROCESS = (10_000, 100_000)
TWO_PROCESSES = (2_500, 40_000)
NOBLOCK, NOBLOCK_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
EVENTS, POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
Ask = Callable[[int], Awaitable[object]]


async def _time_asks(ask: Ask, n_single: int, n_many: int) -> tuple[float, float]:
    """The median microseconds of one caller, and the answers per second of 64."""
    for number in range(200):
        await ask(number)
    single = []
    for number in range(n_single):
        start = time.perf_counter()
        await ask(number)
        single.append(time.perf_counter() - start)

    async def caller() -> None:
        for number in range(n_many // N_CALLERS):
            await ask(number)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(N_CALLERS)))
    rate = n_many // N_CALLERS * N_CALLERS / (time.perf_counter() - start)
    return statistics.median(single) * 1e6, rate


# -- one process ----------------------------------------------------------------------------------


async def _queue_and_future() -> tuple[float, float]:
    queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        while True:
            number, future = await queue.get()
            future.set_result(number)

    def ask(number: int) -> asyncio.Future[int]:
        future: asyncio.Future[int] = loop.create_future()
        queue.put_nowait((number, future))
        return future

    server = asyncio.create_task(serve())
    numbers = await _time_asks(ask, *ONE_PROCESS)
    server.cancel()
    return numbers


async def _our_actor() -> tuple[float, float]:
    from echo import Answer, Echo

    from hcs_mesh.supervisors import Node

    node = Node("bench")
    life = await node.start_actor("echo", Echo)
    ref = node.find("echo")
    numbers = await _time_asks(lambda number: ref.ask(Answer(number=number)), *ONE_PROCESS)
    await life.stop()
    await node.close()
    return numbers


# -- two processes --------------------------------------------------------------------------------


class RawSocket:
    """The least that drains a descriptor correctly: no envelopes, no deadlines, no statistics.

    As quick as pyzmq allows: its multipart calls cost three times a call for each frame, an exception that says that
    nothing is left three times a look at EVENTS, and enums more than plain numbers.
    """

    def __init__(self, socket: zmq.Socket[bytes], receive: Callable[[list[bytes]], None]) -> None:
        self.socket = socket
        self.receive = receive
        self.n_frames = 3 if socket.type == zmq.ROUTER else 2
        self.loop = asyncio.get_running_loop()
        self.again = False
        self.loop.add_reader(socket.getsockopt(zmq.FD), self.drain)

    def send(self, frames: list[bytes]) -> None:
        """Send; as a send uses up the wake-up, look for messages once at the end of this tick."""
        send = self.socket.send
        for frame in frames[:-1]:
            send(frame, NOBLOCK_MORE)
        send(frames[-1], NOBLOCK)
        if not self.again:
            self.again = True
            self.loop.call_soon(self.drain)

    def drain(self) -> None:
        """Receive and hand on until nothing is left."""
        self.again = False
        receive, look, n_frames = self.socket.recv, self.socket.getsockopt, self.n_frames
        while look(EVENTS) & POLLIN:
            self.receive([receive(NOBLOCK) for _ in range(n_frames)])


class WholeMessages(RawSocket):
    """The same by pyzmq's calls for whole messages, until one says that nothing is left: as it is usually written."""

    def send(self, frames: list[bytes]) -> None:
        """Send all frames by one call, and look for messages once at the end of this tick."""
        self.socket.send_multipart(frames, NOBLOCK)
        if not self.again:
            self.again = True
            self.loop.call_soon(self.drain)

    def drain(self) -> None:
        """Receive and hand on until nothing is left."""
        self.again = False
        receive = self.socket.recv_multipart
        while True:
            try:
                frames = receive(NOBLOCK)
            except zmq.Again:
                return
            self.receive(frames)


async def _serve_raw(folder: str, kind: type[RawSocket]) -> None:
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.bind(f"ipc://{folder}/{kind.__name__}")

    def echo(frames: list[bytes]) -> None:
        raw.send(frames)

    raw = kind(socket, echo)
    await asyncio.Event().wait()


async def _ask_raw(folder: str, kind: type[RawSocket]) -> tuple[float, float]:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(f"ipc://{folder}/{kind.__name__}")
    waiting: dict[bytes, asyncio.Future[int]] = {}
    loop = asyncio.get_running_loop()
    raw = kind(socket, lambda frames: waiting.pop(frames[0]).set_result(1))
    last = 0

    def ask(number: int) -> asyncio.Future[int]:
        nonlocal last
        last += 1
        key = struct.pack("<q", last)
        future = waiting[key] = loop.create_future()
        raw.send([key, b"an ask of ordinary size, forty bytes long"])
        return future

    numbers = await _time_asks(ask, *TWO_PROCESSES)
    loop.remove_reader(socket.getsockopt(zmq.FD))
    context.destroy(linger=0)
    return numbers


async def _serve_ours(folder: str) -> None:
    from echo import Echo

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import ipc_endpoint

    node = Node("server")
    node.listen_inner(ipc_endpoint(Path(folder), "ours"))
    await node.start_actor("echo", Echo)
    await asyncio.Event().wait()


async def _ask_ours(folder: str) -> tuple[float, float]:
    from echo import Answer

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import ipc_endpoint

    node = Node("asker")
    node.dial_parent(ipc_endpoint(Path(folder), "ours"))
    ref = node.find("echo")
    numbers = await _time_asks(lambda number: ref.ask(Answer(number=number)), *TWO_PROCESSES)
    await node.close()
    return numbers


SERVERS: dict[str, Callable[[str], Awaitable[Any]]] = {
    "raw": lambda folder: _serve_raw(folder, RawSocket),
    "usual": lambda folder: _serve_raw(folder, WholeMessages),
    "ours": _serve_ours,
}


def _run(work: Callable[[], Awaitable[tuple[float, float]]]) -> tuple[float, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def our_one_process() -> tuple[float, float]:
    """Our microseconds of one caller and answers per second of 64, in this process."""
    return _run(_our_actor)


def our_two_processes(folder: str) -> tuple[float, float]:
    """The same, of the server that was started on this folder."""
    return _run(lambda: _ask_ours(folder))


def measure() -> list[Row]:
    """Measure all of it beside its references."""
    pin(0)
    # Each takes half a second, and what a core gives in that time varies by half.
    floor, ours = medians(lambda: _run(_queue_and_future), our_one_process, rounds=15)
    rows = [
        Row(
            name="ask, one process: asyncio Queue + Future",
            reference=floor[0],
            ours=ours[0],
            unit="us",
            target=1.5,
            higher_is_better=False,
        ),
        Row(name="ask, one process, 64 callers: the same", reference=floor[1], ours=ours[1], unit="/s", target=1 / 1.5),
    ]
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as folder:
        servers = [subprocess.Popen([sys.executable, __file__, name, folder]) for name in SERVERS]
        try:
            floor, usual, ours = medians(
                lambda: _run(lambda: _ask_raw(folder, RawSocket)),
                lambda: _run(lambda: _ask_raw(folder, WholeMessages)),
                lambda: our_two_processes(folder),
            )
        finally:
            for server in servers:
                server.kill()
                server.wait()
    rows += [
        Row(
            name="ask, two processes, p50: raw DEALER/ROUTER, message by message",
            reference=usual[0],
            ours=ours[0],
            unit="us",
            target=1.3,
            higher_is_better=False,
        ),
        Row(
            name="ask, two processes, 64 callers: the same",
            reference=usual[1],
            ours=ours[1],
            unit="/s",
            target=0.6,
        ),
        Row(
            name="ask, two processes, p50: raw DEALER/ROUTER, at its best",
            reference=floor[0],
            ours=ours[0],
            unit="us",
            target=1.3,
            higher_is_better=False,
        ),
        Row(name="ask, two processes, 64 callers: the same", reference=floor[1], ours=ours[1], unit="/s", target=0.6),
    ]
    return rows


if __name__ == "__main__":
    if len(sys.argv) == 3:
        pin(1)
        serve = SERVERS[sys.argv[1]]
        _run(lambda: serve(sys.argv[2]))
    else:
        for row in measure():
            print(row)
