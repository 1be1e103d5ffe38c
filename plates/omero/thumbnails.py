"""The small pictures of images that were just made: rendered once, so that the first who looks need not wait."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from .connection import Connection
from .errors import BROKEN, OmeroError
from .open_store import opened

LONGEST_SIDE = 96
"""What OMERO's own viewers ask for first."""


def make_thumbnails(connection: Connection, pixels_ids: Iterable[int], *, group_id: int) -> int:
    """Have thumbnails made, and say of how many; a server that cannot make them now does so when somebody looks.

    Raises:
        OmeroUnreachable, OmeroNotAnswering, OmeroSessionEnded: the connection is of no more use.
    """
    n_made = 0
    for pixels_id in pixels_ids:
        try:
            _make(connection, pixels_id, group_id)
        except BROKEN:
            raise
        except OmeroError as error:
            logging.getLogger(__name__).info("no thumbnail of pixels %d yet: %s", pixels_id, error)
        else:
            n_made += 1
    return n_made


def _make(connection: Connection, pixels_id: int, group_id: int) -> None:
    with (
        connection.calling(),
        opened(connection, connection.session.createThumbnailStore(), group_id=group_id) as store,
    ):
        if not store.setPixelsId(pixels_id):
            # No rendering settings yet, as of every new image.
            store.resetDefaults()
            store.setPixelsId(pixels_id)
        store.getThumbnailByLongestSide(connection.library.rtypes.rint(LONGEST_SIDE))
