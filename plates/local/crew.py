"""A few threads that take work from one list: hashing and the disk both let go of the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def work_through(
    items: Iterable[Item], worker: Callable[[], Callable[[Item], Result]], n_threads: int
) -> Generator[Result, None, None]:
    """Yield one result for each item, in the order in which they are done.

    Each thread calls ``worker()`` once for a function of its own, which may hold a buffer. The first
    failure stops all threads after their current item; closing the iterator does the same.

    Raises:
        BaseException: what the first failing item raised.
    """
    waiting = iter(items)
    taking = threading.Lock()
    stopped = threading.Event()
    done: SimpleQueue[tuple[Result] | Future[None]] = SimpleQueue()

    def work() -> None:
        do = worker()
        while not stopped.is_set():
            with taking:
                taken = tuple(islice(waiting, 1))
            if not taken:
                break
            done.put((do(taken[0]),))

    def ended(thread: Future[None]) -> None:
        if thread.exception() is not None:
            stopped.set()
        done.put(thread)

    with ThreadPoolExecutor(n_threads, thread_name_prefix="files") as pool:
        for _ in range(n_threads):
            pool.submit(work).add_done_callback(ended)
        try:
            n_left = n_threads
            failure: BaseException | None = None
            while n_left:
                got = done.get()
                if isinstance(got, Future):
                    n_left -= 1
                    failure = failure or got.exception()
                else:
                    # What was finished beside a failing item is handed out all the same.
                    yield got[0]
        finally:
            stopped.set()
    if failure is not None:
        raise failure
