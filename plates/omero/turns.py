"""One at a time for each name: whoever comes second waits until the first has done."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Turns:
    """Lets one thread at a time do what has a name; other names go on meanwhile."""

    def __init__(self) -> None:
        self._taken: set[Hashable] = set()
        self._given_back = threading.Condition()

    @contextmanager
    def of(self, name: Hashable) -> Iterator[None]:
        """Have the turn of a name for the length of a block."""
        with self._given_back:
            self._given_back.wait_for(lambda: name not in self._taken)
            self._taken.add(name)
        try:
            yield
        finally:
            with self._given_back:
                self._taken.discard(name)
                self._given_back.notify_all()
