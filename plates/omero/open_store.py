"""OMERO's stores, each opened for one thing and closed after it, as long as there is somebody to close it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .connection import Connection
from .saving import in_group


@contextmanager
def opened(connection: Connection, proxy: Any, *, group_id: int) -> Iterator[Any]:
    """A store that was just made, its calls about one group. To be used inside ``calling``."""
    store = connection.in_time(proxy).ice_context(in_group(group_id))
    try:
        yield store
    except connection.library.ice.LocalException:
        # The way to the server is gone, and the store with it: to close it would only take as long again.
        raise
    except BaseException:
        store.close()
        raise
    store.close()
