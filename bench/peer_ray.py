"""What ray's actors do: run by peers.py in the peers' own environment."""

import asyncio
import os
import time

import ray
from peer_load import N_EVENTS, corners, pin_all, report, time_asks, time_planes


@ray.remote
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
    far = Echo.remote()
    assert await far.pin.remote(1) != os.getpid()
    pin_all(0)
    two_us, two_many = await time_asks(far.answer.remote)
    start = time.perf_counter()
    for done in range(N_EVENTS):
        far.progressed.remote(1, "A01", done)
    assert await far.count.remote() == N_EVENTS
    rate = N_EVENTS / (time.perf_counter() - start)
    # Its own way for arrays: the plane lies in its shared memory, and the actor sees it there.
    planes = await time_planes(lambda plane: far.look.remote(ray.put(plane)))
    return {"two_us": two_us, "two_many": two_many, "tell": rate, "planes": planes}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    numbers = asyncio.run(main())
    ray.shutdown()
    report(numbers)
