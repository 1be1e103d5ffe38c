"""What xoscar's actors do, started as its documentation does: run by peers.py in the peers' own environment."""

import asyncio
import os
import sys

import xoscar
from peer_load import ASKS_ALONE, N_EVENTS, WINDOW, corners, pin_all, report, time_asks, time_planes


class Echo(xoscar.Actor):
    """Answers at once and counts what it is told."""

    def __init__(self) -> None:
        self.n_events = 0

    def pin(self, n: int) -> int:
        pin_all(n)
        return os.getpid()

    def answer(self, number: int) -> int:
        return number

    def progressed(self, job: int, well: str, done: int) -> None:
        self.n_events += 1

    def count(self) -> int:
        return self.n_events

    def look(self, plane: object) -> int:
        return corners(plane)


async def main() -> dict[str, float]:
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=1)
    near = await xoscar.create_actor(Echo, address=pool.external_address, uid="near")
    (sub,) = pool.sub_processes
    far = await xoscar.create_actor(Echo, address=sub, uid="far")
    assert await far.pin(1) != os.getpid()
    pin_all(0)
    one_us, one_many = await time_asks(near.answer, ASKS_ALONE)
    two_us, two_many = await time_asks(far.answer)

    async def events() -> None:
        for start in range(0, N_EVENTS, WINDOW):
            for done in range(start, start + WINDOW):
                await far.progressed.tell(1, "A01", done)

    loop = asyncio.get_running_loop()
    start = loop.time()
    await events()
    assert await far.count() == N_EVENTS
    rate = N_EVENTS / (loop.time() - start)
    planes = await time_planes(far.look)
    # The pool is not stopped in order: its sub-process ends with this one, and the numbers are in.
    return {
        "one_us": one_us,
        "one_many": one_many,
        "two_us": two_us,
        "two_many": two_many,
        "tell": rate,
        "planes": planes,
    }


if __name__ == "__main__":
    report(asyncio.run(main()))
    sys.stdout.flush()
    os._exit(0)
