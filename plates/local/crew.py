"""A few threads that take work from one list: hashing and the disk both let go of the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from ..repository import SourceFile, StoredFile
from .small_files import SMALL_BYTES

HANDFUL_FILES = 32

Item = TypeVar("Item")
Result = TypeVar("Result")
File = TypeVar("File", SourceFile, StoredFile)


def handfuls(files: Sequence[File], n_threads: int) -> Iterator[tuple[File, ...]]:
    """Cut a list into what a thread takes at once: a large file, or several small ones.

    Handing a small file over costs as much as copying it; with few files each thread still gets its share.
    """
    n_at_once = max(1, min(HANDFUL_FILES, len(files) // (4 * n_threads)))
    some: list[File] = []
    for file in files:
        if file.size > SMALL_BYTES:
            yield (file,)
            continue
        some.append(file)
        if len(some) == n_at_once:
            yield tuple(some)
            some.clear()
    if some:
        yield tuple(some)


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
