"""The ring alone: planes of 8 MiB on one host, against a warm copy and a block per image: ``python bench/planes.py``.

Who consumes hears of a plane by a socket pair and is waited for busily; a viewer's whole stream is in publisher.py.

A block per image is measured twice: as OpenHCS streams to its viewers, which copy each plane out, unlink its block and
answer before the next is sent; and as well as blocks can do, several on their way and looked at where they lie.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from rows import Row

from hcs_mesh.transport.planes import PlaneReader, PlaneRef, Ring, default_folder

SHAPE = (2048, 2048)
PLANE_MIB = 8
N_SLOTS, N_CREDITS = 8, 4
SECONDS = 0.7
PATIENCE_S = 0.0002
ROUNDS = 11

COPIED = "block per image, as OpenHCS does"
AT_BEST = "block per image, at its best"

Ack = tuple[int, int]


def memcpy() -> float:
    """MiB per second of copying one warm plane to another."""
    source, target = np.ones(SHAPE, np.uint16), np.ones(SHAPE, np.uint16)
    return _rate(lambda: np.copyto(target, source))


def put(ring: Ring) -> float:
    """MiB per second of putting planes into the ring and taking them back."""
    source = np.ones(SHAPE, np.uint16)

    def once() -> None:
        ref = ring.put(source, ["viewer"])
        ring.let_go(ref)
        ring.acknowledge(ref.slot, ref.generation, "viewer")

    return _rate(once)


def _rate(once: Callable[[], object]) -> float:
    for _ in range(N_SLOTS):
        once()
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        once()
        n += 1
    return n * PLANE_MIB / (time.perf_counter() - start)


def to_another_process(ring: Ring, *, write_in_place: bool = False) -> float:
    """MiB per second through the ring to a consumer on the other core, within its credits."""
    source = np.ones(SHAPE, np.uint16)
    with _Consumer("ring") as consumer:
        in_flight: deque[PlaneRef] = deque()
        n, start = 0, time.perf_counter()
        # Asked once a turn: with nothing in flight, what is neither sent nor over would be waited for without end.
        while (going := time.perf_counter() - start < SECONDS) or in_flight:
            # Acknowledgements first, and a moment's wait for them: the slot used last is the one in the cache.
            may_send = going and len(in_flight) < N_CREDITS
            if may_send and not (in_flight and consumer.has_answered()):
                if write_in_place:
                    ref = ring.reserve(SHAPE, np.uint16).fill(["viewer"])
                else:
                    ref = ring.put(source, ["viewer"])
                ring.let_go(ref)
                consumer.send(msgspec.msgpack.encode(ref))
                in_flight.append(ref)
            else:
                slot, generation = msgspec.msgpack.decode(consumer.receive(), type=Ack)
                ring.acknowledge(slot, generation, "viewer")
                in_flight.popleft()
                n += 1
        return n * PLANE_MIB / (time.perf_counter() - start)


def block_copied_out() -> float:
    """MiB per second with a fresh multiprocessing.SharedMemory per plane, which the consumer copies and unlinks."""
    source = np.ones(SHAPE, np.uint16)
    with _Consumer("copied") as consumer:
        n, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            block = _filled_block(source)
            resource_tracker.unregister(f"/{block.name}", "shared_memory")  # the consumer unlinks it
            consumer.send(block.name.encode())
            consumer.has_answered()
            consumer.receive()
            block.close()
            n += 1
        return n * PLANE_MIB / (time.perf_counter() - start)


def block_per_image() -> float:
    """MiB per second with a fresh multiprocessing.SharedMemory for each plane, within credits and with no copy more."""
    source = np.ones(SHAPE, np.uint16)
    with _Consumer("block") as consumer:
        in_flight: deque[shared_memory.SharedMemory] = deque()
        n, start = 0, time.perf_counter()
        # Asked once a turn: with nothing in flight, what is neither sent nor over would be waited for without end.
        while (going := time.perf_counter() - start < SECONDS) or in_flight:
            # Acknowledgements first, and a moment's wait for them: the slot used last is the one in the cache.
            may_send = going and len(in_flight) < N_CREDITS
            if may_send and not (in_flight and consumer.has_answered()):
                block = _filled_block(source)
                consumer.send(block.name.encode())
                in_flight.append(block)
            else:
                consumer.receive()
                block = in_flight.popleft()
                block.close()
                block.unlink()
                n += 1
        return n * PLANE_MIB / (time.perf_counter() - start)


def _filled_block(source: NDArray[np.uint16]) -> shared_memory.SharedMemory:
    block = shared_memory.SharedMemory(create=True, size=source.nbytes)
    np.copyto(np.ndarray(SHAPE, np.uint16, buffer=block.buf), source)
    return block


class _Consumer:
    """A process on the other core that looks at each plane's corners and acknowledges it."""

    def __init__(self, kind: str) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._cores = os.sched_getaffinity(0)
        here, *elsewhere = sorted(self._cores)
        command = [sys.executable, __file__, "--consumer", kind, str(theirs.fileno())]
        self._answer = b""
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        if elsewhere:
            os.sched_setaffinity(self._process.pid, {elsewhere[0]})
            os.sched_setaffinity(0, {here})
        self.receive()

    def send(self, message: bytes) -> None:
        self._ours.send(message)

    def has_answered(self) -> bool:
        """Whether there is an acknowledgement; looked for again and again, since to wake up takes longer than that."""
        end = time.perf_counter() + PATIENCE_S
        while not self._answer and time.perf_counter() < end:
            with suppress(BlockingIOError):
                self._answer = self._ours.recv(4096, socket.MSG_DONTWAIT)
        return bool(self._answer)

    def receive(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer or self._ours.recv(4096)

    def __enter__(self) -> "_Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait()
        os.sched_setaffinity(0, self._cores)


def consume(kind: str, descriptor: int) -> None:
    """Be the consumer until the producer hangs up."""
    link = socket.socket(fileno=descriptor)
    link.send(b"ready")
    with PlaneReader() as reader:
        while message := link.recv(4096):
            if kind == "ring":
                ref = msgspec.msgpack.decode(message, type=PlaneRef)
                plane = reader.view(ref)
                assert plane[0, 0] + plane[-1, -1] == 2
                link.send(msgspec.msgpack.encode((ref.slot, ref.generation)))
            elif kind == "copied":
                block = shared_memory.SharedMemory(name=message.decode())
                array = np.ndarray(SHAPE, np.uint16, buffer=block.buf).copy()
                block.close()
                block.unlink()
                assert array[0, 0] + array[-1, -1] == 2
                link.send(b"ack")
            else:
                block = shared_memory.SharedMemory(name=message.decode())
                resource_tracker.unregister(f"/{block.name}", "shared_memory")  # or it warns about the producer's own
                array = np.ndarray(SHAPE, np.uint16, buffer=block.buf)
                assert array[0, 0] + array[-1, -1] == 2
                del array
                block.close()
                link.send(b"ack")


def measure() -> list[Row]:
    """Measure all of it beside its references, taking turns."""
    with Ring(default_folder(), slot_bytes=PLANE_MIB << 20, n_slots=N_SLOTS) as ring:
        for ref in [ring.put(np.ones(SHAPE, np.uint16)) for _ in range(N_SLOTS)]:
            ring.let_go(ref)
        rounds = [
            {
                "memcpy": memcpy(),
                "put": put(ring),
                "other": to_another_process(ring),
                "notify": to_another_process(ring, write_in_place=True),
                "block": block_per_image(),
                "copied": block_copied_out(),
            }
            for _ in range(ROUNDS)
        ]
    median = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}

    def row(name: str, reference: str, ours: str, target: float) -> Row:
        return Row(name=name, reference=median[reference], ours=median[ours], unit="MiB/s", target=target)

    return [
        row("ring alone: put, one copy / warm memcpy", "memcpy", "put", 0.8),
        row("ring alone: to another process / warm memcpy", "memcpy", "other", 0.8),
        row(f"ring alone: to another process / {COPIED}", "copied", "other", 10.0),
        row(f"ring alone: to another process / {AT_BEST}", "block", "other", 10.0),
        row("ring alone: written in place, notified / warm memcpy", "memcpy", "notify", 1.0),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--consumer"]:
        consume(sys.argv[2], int(sys.argv[3]))
    else:
        for found in measure():
            print(found)
