"""What pykka's actors do, each a thread of one process: run by peers.py in the peers' own environment."""

import statistics
import threading
import time

import pykka
from peer_load import ASKS_ALONE, N_CALLERS, N_EVENTS, pin_all, report


class Echo(pykka.ThreadingActor):
    """Answers at once and counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.n_events = 0

    def on_receive(self, message: object) -> object:
        if message == "count":
            return self.n_events
        if isinstance(message, int):
            return message
        self.n_events += 1
        return None


def main() -> dict[str, float]:
    pin_all(0)
    ref = Echo.start()
    n_single, n_many = ASKS_ALONE
    times = []
    for number in range(n_single):
        start = time.perf_counter()
        ref.ask(number)
        times.append(time.perf_counter() - start)

    def caller() -> None:
        for number in range(n_many // N_CALLERS):
            ref.ask(number)

    callers = [threading.Thread(target=caller) for _ in range(N_CALLERS)]
    start = time.perf_counter()
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    many = n_many // N_CALLERS * N_CALLERS / (time.perf_counter() - start)
    start = time.perf_counter()
    for done in range(N_EVENTS):
        ref.tell((1, "A01", done))
    assert ref.ask("count") == N_EVENTS
    rate = N_EVENTS / (time.perf_counter() - start)
    ref.stop()
    return {"one_us": statistics.median(times) * 1e6, "one_many": many, "one_tell": rate}


if __name__ == "__main__":
    report(main())
