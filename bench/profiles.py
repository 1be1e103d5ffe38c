"""Where the time of a line goes that misses its target: the page of measurements tells it beside the line."""

import asyncio
import cProfile
import pstats
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

N_LINES = 8
PER_CALLER = 1_000
N_BATCHES, N_IN_BATCH = 25, 4_000


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


PROFILES: dict[str, Callable[[cProfile.Profile], Awaitable[None]]] = {
    "ask, one process, 64 callers: the same": _asks,
    "tell, two processes: blocking PUSH/PULL": _events,
}
"""By the name of the row that they explain; of tell, the receiving side, which is the slower one."""


def profiled(row: str) -> list[str]:
    """The functions that take most of a row's time, as shares of it; nothing for a row without a profile."""
    work = PROFILES.get(row)
    if work is None:
        return []
    profile = cProfile.Profile()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(profile))
    found = pstats.Stats(profile).get_stats_profile()
    functions = sorted(found.func_profiles.items(), key=lambda one: -one[1].tottime)[:N_LINES]
    whole_s = found.total_tt
    return [f"{name} {one.tottime / whole_s:.0%}" for name, one in functions]


if __name__ == "__main__":
    for row in PROFILES:
        print(row, profiled(row))
