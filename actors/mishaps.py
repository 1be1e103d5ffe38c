"""The edge at which a fault of the mesh itself becomes an error like any other, of the one thing that met it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..config import MeshError, get_logger
from ..config.written_out import shown
from .errors import MeshFault

log = get_logger(__name__)

_SHOWN = 500
"""Characters that are told of what nobody had thought of: it may quote a whole plan."""


@contextmanager
def faults_as_errors(**about: str) -> Iterator[None]:
    """Raise whatever is no MeshError as one, with its traceback in the log beside what it was ``about``.

    For work of which an actor has many beside each other, such as imports: a fault that one of them meets in every
    life of the actor would be the end of each life, and so of all the others.

    Raises:
        MeshFault: something else than a MeshError was raised.
    """
    try:
        yield
    except MeshError:
        raise
    except Exception as error:
        log.exception("a fault of the mesh itself", **about)
        text = f": {shown(str(error))[:_SHOWN]}" if str(error) else ""
        raise MeshFault(
            f"a fault of the mesh itself, not of the source: {type(error).__name__}{text}",
            hint="The log has its traceback: report it. What is in the repository, and what is held, stays.",
        ) from error
