"""Where the time of a line goes that misses its target: the page of measurements tells it beside the line."""

import asyncio
import cProfile
import pstats
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

N_LINES = 8
PER_CALLER = 1_000
N_ALONE = 10_000
N_BATCHES, N_IN_BATCH = 25, 4_000
STREAM_S = 2.0


async def _asks(profile: cProfile.Profile) -> None:
    from echo import Answer, Echo

    from hcs_mesh.supervisors import Node

    node = Node("bench")
    life = await node.start_actor("echo", Echo)
    ask = node.find("echo").ask

    async def caller() -> None:
        for number in range(PER_CALLER):
            await ask(Answer(number=number))

    profile.enable()
    await asyncio.gather(*(caller() for _ in range(64)))
    profile.disable()
    await life.stop()
    await node.close()


async def _asks_alone(profile: cProfile.Profile) -> None:
    from echo import Answer, Echo

    from hcs_mesh.supervisors import Node

    node = Node("bench")
    life = await node.start_actor("echo", Echo)
    ask = node.find("echo").ask
    profile.enable()
    for number in range(N_ALONE):
        await ask(Answer(number=number))
    profile.disable()
    await life.stop()
    await node.close()


async def _asks_over_a_link(profile: cProfile.Profile) -> None:
    from echo import Answer, Echo

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import ipc_endpoint

    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as folder:
        # Both ends in one process, so that one profile holds them; each has sockets and threads of its own.
        server, asker = Node("server"), Node("asker")
        server.listen_inner(ipc_endpoint(Path(folder), "ours"))
        life = await server.start_actor("echo", Echo)
        asker.dial_parent(ipc_endpoint(Path(folder), "ours"))
        ask = asker.find("echo").ask
        await ask(Answer(number=0))
        profile.enable()
        for number in range(N_ALONE):
            await ask(Answer(number=number))
        profile.disable()
        await asker.close()
        await life.stop()
        await server.close()


async def _events(profile: cProfile.Profile) -> None:
    from echo import Count, Echo, Progressed

    from hcs_mesh.supervisors import Node
    from hcs_mesh.transport import Link

    node = Node("bench")
    life = await node.start_actor("counter", Echo)
    batches: list[bytes] = []

    def write(frames: Sequence[bytes], bulk: bool) -> bool:
        batches.append(frames[0])
        return True

    link = Link("teller", write, node._deliver)
    for _ in range(N_IN_BATCH):
        link.tell("counter", Progressed(job=1, well="A01", done=7))
    link.flush()
    profile.enable()
    for _ in range(N_BATCHES):
        for batch in batches:
            link.hear(batch)
        await node.find("counter").ask(Count())
    profile.disable()
    await life.stop()
    await node.close()


async def _appends(profile: cProfile.Profile) -> None:
    from journal import Moved, _record

    from hcs_mesh.supervisors.journal import Journal

    async def writer() -> None:
        for number in range(PER_CALLER):
            await journal.append(_record(number))

    # Of the event loop's thread: the bytes are written and synced in another one.
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        async with await Journal[Moved].open(Path(name), record_type=Moved) as journal:
            list(journal.replay())
            profile.enable()
            await asyncio.gather(*(writer() for _ in range(64)))
            profile.disable()


async def _small_files(profile: cProfile.Profile) -> None:
    from many_files import _make_small

    from hcs_mesh.actors.imports.scanning import scan_source
    from hcs_mesh.config import GuestSettings
    from hcs_mesh.plates.holding import HeldReader, choose_staging, hold
    from hcs_mesh.plates.local.copying import Copier
    from hcs_mesh.plates.local.crew import handfuls
    from hcs_mesh.plates.local.disk import make_all_folders, make_folders
    from hcs_mesh.plates.pace_reader import Pace
    from hcs_mesh.plates.repository import SourceFile

    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        source, data, target = Path(name, "small"), Path(name, "data"), Path(name, "target")
        _make_small(source, N_ALONE)
        files = [
            SourceFile(path=path, size=size, mtime_ns=mtime_ns, inode=inode)
            for path, (size, mtime_ns, inode) in scan_source(source).files.items()
        ]
        make_folders(data)
        make_folders(target)
        make_all_folders(target, {file.path.rpartition("/")[0] for file in files})
        held = hold(files, source, choose_staging(source, data=data).folder, "import-0001")
        # In this thread, which the profile is of, and for nobody is made way: what is told is the work and no waiting.
        guest = GuestSettings(nice=0, io_class="none", back_off=False)
        reader = Pace(guest, data).reader(HeldReader(held), source)
        copier = Copier(reader, target, "sha1", lambda n_bytes: None, lambda: False)
        profile.enable()
        for handful in handfuls(held.expected, 1):
            copier.copy_all(handful)
        profile.disable()


async def _planes_elsewhere(profile: cProfile.Profile) -> None:
    import remote_stream

    from hcs_mesh.transport import tcp_endpoint

    keys, port = remote_stream.Keys(), remote_stream.free_port()
    command = keys.words(remote_stream.__file__, "127.0.0.1", port)

    def watch(carrier: object, n_done: int) -> None:
        # From the first plane on: what comes before is the making of them.
        if n_done == 1:
            profile.enable()

    def goes_on(elapsed_s: float) -> bool:
        if elapsed_s < STREAM_S:
            return True
        profile.disable()
        return False

    await remote_stream.stream(tcp_endpoint("127.0.0.1", port), command, keys, goes_on=goes_on, watch=watch)


PROFILES: dict[str, Callable[[cProfile.Profile], Awaitable[None]]] = {
    "ask, one process: asyncio Queue + Future": _asks_alone,
    "ask, one process, 64 callers: the same": _asks,
    "ask, two processes, p50: raw DEALER/ROUTER, at its best": _asks_over_a_link,
    "tell, two processes: blocking PUSH/PULL": _events,
    "planes: to another host, CURVE / raw ZMQ with CURVE": _planes_elsewhere,
    "journal: 64 writers / sqlite WAL FULL by 64": _appends,
    "import, 10,000 small files, transferring alone: cp -r and sync": _small_files,
}
"""By the name of the row that they explain; of tell the receiving side, which is the slower one, of an ask both.

Of planes what the loop's thread does: the encryption is in a thread of libzmq's.
"""


def profiled(row: str) -> list[str]:
    """The functions that take most of a row's time, as shares of it; nothing for a row without a profile."""
    work = PROFILES.get(row)
    if work is None:
        return []
    profile = cProfile.Profile()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(profile))
    found = pstats.Stats(profile)
    times: Counter[str] = Counter()
    for (file, _, name), (_, _, own_s, _, _) in found.stats.items():
        times[name if file == "~" else f"{Path(file).stem}.{name}"] += own_s
    return [f"{name} {own_s / found.total_tt:.0%}" for name, own_s in times.most_common(N_LINES)]


if __name__ == "__main__":
    for row in PROFILES:
        print(row, profiled(row))
