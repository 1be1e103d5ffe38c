"""What an idle actor and a node cost, and whether many make a message dearer: ``python bench/scale.py``."""

import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from rounds import pin
from rows import Row

N_ACTORS = 1_000
N_NODES = 64
N_ASKS = 20_000
ROUNDS = 5
ACTOR_KIB = 32.0
"""The bound on what an idle actor holds: a thousand of them weigh less than one numpy import."""
NODE_MIB = 40.0
"""The bound on what a node's process holds of its own, the interpreter included."""


def held_kib() -> float:
    """What this process holds now."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1024


async def many_actors(n: int, n_asks: int) -> dict[str, float]:
    """Start so many, ask each of them, ask some of them often, stop them all; seconds, KiB and microseconds."""
    from echo import Answer, Echo

    from hcs_mesh.supervisors import Node

    node = Node("bench")
    first = await node.start_actor("first", Echo)
    ask = node.find("first").ask
    for number in range(1_000):
        await ask(Answer(number=number))
    alone_us = await _ask_us(node, ["first"], n_asks)
    before_kib, start = held_kib(), time.perf_counter()
    lives = [await node.start_actor(f"actor{number}", Echo) for number in range(n)]
    started_s = time.perf_counter() - start
    refs = [node.find(f"actor{number}") for number in range(n)]
    assert await asyncio.gather(*(ref.ask(Answer(number=i)) for i, ref in enumerate(refs))) == list(range(n))
    each_kib = (held_kib() - before_kib) / n
    # One actor among the many, so that only their number differs; then all of them in turn.
    among_us = await _ask_us(node, ["first"], n_asks)
    spread_us = await _ask_us(node, [f"actor{number}" for number in range(n)], n_asks)
    start = time.perf_counter()
    for life in lives:
        await life.stop()
    await asyncio.gather(*(life.wait() for life in lives))
    stopped_s = time.perf_counter() - start
    await first.stop()
    await node.close()
    return {
        "alone_us": alone_us,
        "among_us": among_us,
        "spread_us": spread_us,
        "each_kib": each_kib,
        "started_s": started_s,
        "stopped_s": stopped_s,
    }


async def many_queues(n: int, n_asks: int) -> tuple[float, float]:
    """The floor under ``many_actors``: microseconds of an ask to queues with a task each, to one alone and in turn."""
    loop = asyncio.get_running_loop()
    queues: list[asyncio.Queue[tuple[int, asyncio.Future[int]]]] = [asyncio.Queue() for _ in range(n)]

    async def serve(queue: asyncio.Queue[tuple[int, asyncio.Future[int]]]) -> None:
        while True:
            number, future = await queue.get()
            future.set_result(number)

    servers = [asyncio.create_task(serve(queue)) for queue in queues]

    async def ask_us(asked: list[asyncio.Queue[tuple[int, asyncio.Future[int]]]]) -> float:
        passes = []
        for _ in range(3):
            start = time.perf_counter()
            for number in range(n_asks // 3):
                future: asyncio.Future[int] = loop.create_future()
                asked[number % len(asked)].put_nowait((number, future))
                await future
            passes.append((time.perf_counter() - start) / (n_asks // 3))
        return min(passes) * 1e6

    found = await ask_us(queues[:1]), await ask_us(queues)
    for server in servers:
        server.cancel()
    return found


async def _ask_us(node: object, names: list[str], n_asks: int) -> float:
    """The mean microseconds of an ask by one caller, to these actors in turn: the quickest of a few passes."""
    from echo import Answer

    refs = [node.find(name) for name in names]
    passes = []
    for _ in range(3):
        start = time.perf_counter()
        for number in range(n_asks // 3):
            await refs[number % len(refs)].ask(Answer(number=number))
        passes.append((time.perf_counter() - start) / (n_asks // 3))
    return min(passes) * 1e6


async def many_nodes(n: int) -> dict[str, float]:
    """Start so many processes with an actor each, ask all of them at once, stop them; seconds, MiB and microseconds."""
    from echo import Answer

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import PeerRef, ipc_endpoint

    node = Node("bench")
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as folder, ExitStack() as stack:
        node.listen_inner(ipc_endpoint(Path(folder), "inner"))
        start = time.perf_counter()
        names = [f"node{number}" for number in range(n)]
        expected = [node.expect(name) for name in names]
        processes = await asyncio.to_thread(_start, names, folder)
        for process in processes:
            stack.callback(process.wait)
            stack.callback(process.kill)
        links = await asyncio.wait_for(asyncio.gather(*expected), 120.0)
        started_s = time.perf_counter() - start
        refs = [PeerRef(link, "echo") for link in links]
        assert await asyncio.gather(*(ref.ask(Answer(number=i)) for i, ref in enumerate(refs))) == list(range(n))

        async def ask_us(ref: PeerRef) -> float:
            """The median microseconds of an ask: of the quickest of a few passes, as for actors."""
            passes = []
            for _ in range(3):
                times = []
                for number in range(500):
                    start = time.perf_counter()
                    await ref.ask(Answer(number=number))
                    times.append(time.perf_counter() - start)
                passes.append(statistics.median(times))
            return min(passes) * 1e6

        among_us = await ask_us(refs[0])
        own_mib = statistics.median(psutil.Process(one.pid).memory_full_info().uss for one in processes) / 2**20
        start = time.perf_counter()
        for process in processes[1:]:
            assert process.stdin is not None
            process.stdin.close()
        ended = await asyncio.to_thread(lambda: [process.wait(60) for process in processes[1:]])
        stopped_s = time.perf_counter() - start
        assert set(ended) <= {0}, ended
        alone_us = await ask_us(refs[0])
        processes[0].stdin.close()
        processes[0].wait(60)
        await node.close()
    return {
        "alone_us": alone_us,
        "among_us": among_us,
        "own_mib": own_mib,
        "started_s": started_s,
        "stopped_s": stopped_s,
    }


def _start(names: list[str], folder: str) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen([sys.executable, __file__, name, folder], stdin=subprocess.PIPE) for name in names]


async def _serve(name: str, folder: str) -> None:
    from echo import Echo

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import ipc_endpoint

    node = Node(name)
    life = await node.start_actor("echo", Echo)
    over = asyncio.Event()
    # The parent's end of stdin closes when the parent ends it, or ends.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    node.dial_parent(ipc_endpoint(Path(folder), "inner"))
    await over.wait()
    await life.stop()
    await life.wait()
    await node.close()


def measure() -> list[Row]:
    """Measure both, beside one actor and one node alone, and beside as many queues."""
    pin(0)
    actors, queues = [], []
    for _ in range(ROUNDS):
        queues.append(uvloop.run(many_queues(N_ACTORS, N_ASKS)))
        actors.append(uvloop.run(many_actors(N_ACTORS, N_ASKS)))
    queue_alone_us, queue_us = (statistics.median(one[side] for one in queues) for side in (0, 1))
    actor = {key: statistics.median(one[key] for one in actors) for key in actors[0]}
    # The first round pays for the memory that the later ones find free.
    actor["each_kib"] = max(one["each_kib"] for one in actors)
    node = uvloop.run(many_nodes(N_NODES))

    def row(name: str, reference: float, ours: float, unit: str, target: float) -> Row:
        return Row(name=name, reference=reference, ours=ours, unit=unit, target=target, higher_is_better=False)

    return [
        row("1,000 actors: an ask to one among them / alone", actor["alone_us"], actor["among_us"], "us", 1.15),
        Row(
            name="1,000 actors: asks to all in turn / 1,000 queues",
            reference=queue_us,
            ours=actor["spread_us"],
            unit="us",
            target=1.5,
            higher_is_better=False,
            parts=f"one queue alone {queue_alone_us:.2f} us, a thousand in turn {queue_us:.2f} us",
        ),
        row("1,000 actors: asks to all in turn / one alone", actor["alone_us"], actor["spread_us"], "us", 1.5),
        row("1,000 actors: memory of an idle one: a bound", ACTOR_KIB, actor["each_kib"], "KiB", 1.0),
        row("1,000 actors: to start them: a bound", 1.0, actor["started_s"], "s", 1.0),
        row("1,000 actors: to stop them: a bound", 1.0, actor["stopped_s"], "s", 1.0),
        row("64 nodes: an ask to one among them / alone", node["alone_us"], node["among_us"], "us", 1.3),
        row("64 nodes: memory of one, its own: a bound", NODE_MIB, node["own_mib"], "MiB", 1.0),
        row("64 nodes: to start and hear them all: a bound", 60.0, node["started_s"], "s", 1.0),
        row("64 nodes: to stop them: a bound", 10.0, node["stopped_s"], "s", 1.0),
    ]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        uvloop.run(_serve(sys.argv[1], sys.argv[2]))
    else:
        for row in measure():
            print(row)
