"""Events from one process to another, beside a blocking PUSH/PULL pair: ``python bench/tell.py``."""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from rounds import medians, pin
from rows import Row

N_EVENTS = 200_000
WINDOW = 4_000
"""How many events are sent between two looks at how far the other side is; less than a mailbox holds."""


def _pull(folder: str) -> None:
    context = zmq.Context()
    pull, done = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    pull.bind(f"ipc://{folder}/push")
    done.bind(f"ipc://{folder}/done")
    while True:
        for _ in range(N_EVENTS):
            pull.recv()
        done.send(b"")


def _push(folder: str) -> list[float]:
    from echo import Progressed

    context = zmq.Context()
    push, done = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    push.connect(f"ipc://{folder}/push")
    done.connect(f"ipc://{folder}/done")
    frame = msgspec.msgpack.encode(Progressed(job=1, well="A01", done=7))
    start = time.perf_counter()
    for _ in range(N_EVENTS):
        push.send(frame)
    done.recv()
    rate = N_EVENTS / (time.perf_counter() - start)
    context.destroy(linger=0)
    return [rate]


async def _count(folder: str) -> None:
    from echo import Echo

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import ipc_endpoint

    node = Node("server")
    node.listen_inner(ipc_endpoint(Path(folder), "ours"))
    await node.start_actor("counter", Echo)
    await asyncio.Event().wait()


async def _tell(folder: str) -> list[float]:
    from echo import Count, Progressed

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import ipc_endpoint

    node = Node("teller")
    node.dial_parent(ipc_endpoint(Path(folder), "ours"))
    ref = node.find("counter")
    before = await ref.ask(Count())
    start = time.perf_counter()
    last = None
    for _ in range(N_EVENTS // WINDOW):
        for _ in range(WINDOW):
            ref.tell(Progressed(job=1, well="A01", done=7))
        # One window is on its way while the next is written, and no more: a mailbox is bounded.
        this = ref.ask(Count())
        if last is not None:
            await last
        else:
            await asyncio.sleep(0)
        last = this
    n_counted = await ref.ask(Count()) - before
    rate = n_counted / (time.perf_counter() - start)
    await node.close()
    if n_counted != N_EVENTS:
        raise RuntimeError(f"{N_EVENTS - n_counted} of {N_EVENTS} events were lost")
    return [rate]


def our_rate(folder: str) -> list[float]:
    """Events per second to the server that was started on this folder."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_tell(folder))


async def _tell_here() -> float:
    from echo import Count, Echo, Progressed

    from hcs_mesh.supervisors import Node

    node = Node("bench")
    life = await node.start_actor("counter", Echo)
    ref = node.find("counter")
    start = time.perf_counter()
    for _ in range(N_EVENTS // WINDOW):
        for _ in range(WINDOW):
            ref.tell(Progressed(job=1, well="A01", done=7))
        n_counted = await ref.ask(Count())
    rate = n_counted / (time.perf_counter() - start)
    await life.stop()
    await node.close()
    return rate


def our_rate_here() -> float:
    """Events per second to an actor of the same process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_tell_here())


def measure() -> list[Row]:
    """Measure it beside its reference; every event is counted."""
    pin(0)
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as folder:
        servers = [subprocess.Popen([sys.executable, __file__, name, folder]) for name in ("raw", "ours")]

        try:
            (floor,), (rate,) = medians(lambda: _push(folder), lambda: our_rate(folder))
        finally:
            for server in servers:
                server.kill()
                server.wait()
    return [Row(name="tell, two processes: blocking PUSH/PULL", reference=floor, ours=rate, unit="/s", target=0.4)]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        pin(1)
        if sys.argv[1] == "raw":
            _pull(sys.argv[2])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_count(sys.argv[2]))
    else:
        for row in measure():
            print(row)
