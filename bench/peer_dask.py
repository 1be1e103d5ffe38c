"""What dask's actors do: run by peers.py in the peers' own environment."""

import asyncio
import os
import time

from distributed import Client, LocalCluster
from peer_load import N_EVENTS, WINDOW, corners, pin_all, report, time_asks, time_planes


class Echo:
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
    async with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, asynchronous=True, dashboard_address=None
        ) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        far = await client.submit(Echo, actor=True)
        assert await far.pin(1) != os.getpid()
        pin_all(0)
        two_us, two_many = await time_asks(far.answer)
        start = time.perf_counter()
        # dask knows no tell: its nearest is a call whose answer nobody looks at until the end of a window.
        n_events = N_EVENTS // 4
        for _ in range(n_events // WINDOW):
            await asyncio.gather(*(_call(far, done) for done in range(WINDOW)))
        assert await far.count() == n_events
        rate = n_events / (time.perf_counter() - start)
        planes = await time_planes(far.look)
    return {"two_us": two_us, "two_many": two_many, "tell": rate, "planes": planes}


async def _call(far: object, done: int) -> None:
    await far.progressed(1, "A01", done)


if __name__ == "__main__":
    report(asyncio.run(main()))
