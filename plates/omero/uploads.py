"""The uploads of one import through one connection: begun, found again, and turned into images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..import_outline import ImportOutline
from ..repository import StoredFile, wait_on
from .connection import Connection
from .errors import OmeroImportFailed, OmeroNotPermitted, OmeroUnreachable, OmeroUploadLost
from .filed_imports import filed, remove
from .handing_over import LOOK_S, have_images_made
from .imports import OmeroImports, UnderWay
from .standing import FiledFileset, furthest
from .taking_over import kept_checksum
from .upload_process import UploadProcess, begin, found_again

MAKING = "waiting for OMERO to finish making images"
LEFT_MAKING = (
    "waiting for OMERO to finish what it was asked for before the mesh was interrupted; if no images come within "
    "{minutes} min, the files are sent again"
)

_GROUP = "select one.id from ExperimenterGroup one where one.name = :name"


class Uploads:
    """What a session holds open of an import; to be used by one thread at a time."""

    def __init__(
        self,
        imports: OmeroImports,
        outline: ImportOutline,
        connection: Connection,
        under_way: UnderWay,
        *,
        key: str,
        announced: Callable[[], ImportOutline],
    ) -> None:
        """Upload what is ``announced`` of an import, which is asked for when something is to be done with it."""
        self._imports = imports
        self._outline = outline
        self._announced = announced
        self._connection = connection
        self._open = under_way.uploads
        self._refused = under_way.refused
        self._key = key

    def alive(self, fileset: FiledFileset | None) -> UploadProcess | None:
        """The upload of a fileset, if the server still has it; one of an earlier life is found by its files.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        if fileset is None or fileset.finished:
            return None
        upload = self._open.get(fileset.number)
        if upload is not None and upload.is_lost:
            # Not looked for again: it would be found, and be of as little use as before.
            del self._open[fileset.number]
            upload.close(self._connection)
            return None
        if upload is None or not upload.lives(self._connection):
            self._open.pop(fileset.number, None)
            in_use = self._imports.in_use()
            upload = found_again(self._connection, self._announced(), fileset, in_use=in_use)
            if upload is not None:
                self._open[fileset.number] = upload
        return upload

    def furthest(self, number: int, found: Sequence[FiledFileset]) -> FiledFileset | None:
        """The fileset to go on with: the one that is being filled, if none is further."""
        upload = self._open.get(number)
        return furthest(found, number, own_file=upload.first_file if upload is not None else 0)

    def opened(self, number: int, found: Sequence[FiledFileset]) -> UploadProcess | None:
        """The upload of a fileset, begun where there is none; None where the server has all of it already.

        Raises:
            OmeroNotPermitted: the owner is not in the group that the plates are for.
            OmeroError: the server refuses or cannot be reached.
        """
        fileset = self.furthest(number, found)
        if fileset is not None and (fileset.finished or (fileset.handed_over and number not in self._refused)):
            return None
        upload = self.alive(fileset) if number not in self._refused else None
        if upload is None:
            remove(self._connection, [one for one in found if one.number == number])
            _, context = self.group()
            upload = begin(self._connection, self._announced(), number, key=self._key, context=context)
            self._open[number] = upload
            self._refused.discard(number)
        return upload

    def make_images(
        self, number: int, stored: Mapping[str, StoredFile], while_waiting: Callable[[str], None] = wait_on
    ) -> None:
        """Have the server make images of a fileset, unless it has; ``while_waiting`` may raise to wait no more.

        Raises:
            OmeroUploadLost: what was uploaded cannot be imported any more.
            OmeroImportFailed, ChecksumMismatch: the server cannot, or does not take the upload for what was sent.
            OmeroError: the server refuses or cannot be reached.
        """
        fileset = self.furthest(number, filed(self._connection, self._key))
        if fileset is not None and fileset.finished:
            return
        was_open = number in self._open
        upload = self.alive(fileset)
        if fileset is None or (upload is None and not fileset.handed_over) or number in self._refused:
            raise self.lost()
        if upload is not None and not was_open and not upload.is_handed_over(self._connection):
            # Somebody who is dead by now may have asked for images, and the server may be about to hear of it: asked
            # twice, it makes them twice. Of a fileset that is gone it makes none.
            self.close()
            remove(self._connection, [fileset])
            raise self.lost()
        if upload is not None:
            hashes = [upload.hashes.get(path) or kept_checksum(stored[path], upload) for path in upload.paths]
            if not all(hashes):
                raise self.lost()
            try:
                have_images_made(self._connection, upload, hashes, proceed=lambda: while_waiting(MAKING))
            except OmeroImportFailed:
                # For good, as far as anybody knows: nothing is held open for it. Its files and its log stay there.
                self._refused.add(number)
                self.close()
                raise
        elif unmade := self._left_unmade(number, while_waiting):
            # Nobody makes them any more. Should somebody all the same, they go with the fileset or do not come.
            remove(self._connection, unmade)
            raise self.lost()

    def close(self) -> None:
        """Let go of what the server holds open; what it has stored stays.

        Raises:
            OmeroError: the server cannot be reached.
        """
        for upload in self._open.values():
            upload.close(self._connection)
        self._open.clear()

    def group(self) -> tuple[int, Mapping[str, str]]:
        """The group that the plates are for, and what tells the server so.

        Raises:
            OmeroNotPermitted: the owner is not in it.
            OmeroError: the server refuses or cannot be reached.
        """
        said = self._connection.event_context()
        if not self._outline.group:
            return int(said.groupId), {"omero.group": str(said.groupId)}
        rows = self._connection.rows(_GROUP, name=self._outline.group)
        if not rows or rows[0][0] not in said.memberOfGroups:
            raise OmeroNotPermitted(
                f"{self._outline.owner} is in no group {self._outline.group} of OMERO at {self._connection.address}.",
                hint="Choose another group, or ask its owner.",
            )
        return int(rows[0][0]), {"omero.group": str(rows[0][0])}

    def lost(self) -> OmeroUploadLost:
        """The error for an upload of which the server knows nothing any more."""
        return OmeroUploadLost(
            f"What was uploaded of import {self._outline.import_id} is of no more use: the session in which it was "
            "sent is over, or the server was started again.",
            hint="It is uploaded again.",
        )

    def _left_unmade(self, number: int, while_waiting: Callable[[str], None]) -> tuple[FiledFileset, ...]:
        """Wait for images that the server was left making by somebody who cannot tell; what has none in the end."""
        imports = self._imports
        until_s = imports.clock() + imports.patience_s
        while True:
            found = filed(self._connection, self._key)
            fileset = furthest(found, number)
            if fileset is not None and fileset.finished:
                return ()
            left_s = until_s - imports.clock()
            if left_s <= 0.0:
                return tuple(one for one in found if one.number == number)
            while_waiting(LEFT_MAKING.format(minutes=math.ceil(left_s / 60.0)))
            imports.sleep(LOOK_S)
            if imports.stopping.is_set():
                raise OmeroUnreachable("The mesh is stopping.", hint="It goes on when the mesh is up again.")
