"""The upload of one fileset: begun, found again after a crash where the server still knows of it, handed over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..import_outline import ImportOutline
from .client_paths import client_path, in_order
from .connection import Connection
from .errors import OmeroChecksumUnknown, OmeroFailed, OmeroUploadLost
from .filed_imports import mark
from .offered_checksums import COMPUTED
from .standing import FiledFileset

SLOWEST_BYTES_S = 20 * 1024 * 1024
"""At least so fast a server reads a file that it takes the checksum of; it does before it answers."""

Context = Mapping[str, str]
"""Which group a call is made in, as OMERO has it."""
READING: Context = {"omero.fs.mode": "r"}
WRITING: Context = {"omero.fs.mode": "rw"}
"""What the store of a file of an upload is opened for."""


class UploadProcess:
    """The server's side of one fileset that is not whole yet; lives as long as the session it was begun in."""

    is_lost = False
    """Whether the server has refused to open files of it, as it will from now on."""

    def __init__(
        self, connection: Connection, proxy: Any, outline: ImportOutline, number: int, *, begun: bool = False
    ) -> None:
        """Go on with what ``proxy`` stands for, ``begun`` by this connection or found. To be made in ``calling``.

        Raises:
            OmeroUploadLost: it was begun through another connection, and the server opens no files of it any more.
            OmeroFailed: the server opens none, and does not say why.
        """
        self._begun_on = connection if begun else None
        self.number = number
        self.paths = in_order(outline.filesets[number].files)
        self.indices = {path: n for n, path in enumerate(self.paths)}
        self.hashes: dict[str, str] = {}
        """What was sent, as the server's own kind of checksum, by path."""
        self.identity = str(proxy.ice_getIdentity().name)
        self._kind = type(proxy)
        self._name = connection.name_of(proxy)
        self.first_file = int(self.store(connection, 0).getFileId().getValue())
        """The server's id of the first file, by which its fileset is told from others of the same import."""
        self.checksum = str(self.on(connection).getImportSettings().checksumAlgorithm.getValue().getValue())

    def on(self, connection: Connection, *, n_bytes: int = 0) -> Any:
        """The process through a connection, for calls in which the server may have to read ``n_bytes``."""
        return timed(connection, connection.named(self._name, self._kind), n_bytes)

    def store(self, connection: Connection, index: int, mode: Context = WRITING) -> Any:
        """The store of one of its files: the open one, or a new one. To be used inside ``calling``.

        Raises:
            OmeroUploadLost: it was begun through another connection, and the server opens no files of it any more.
            OmeroFailed: the server opens none, and does not say why.
        """
        try:
            store = self.on(connection).getUploader(index, connection.context(mode))
        except connection.library.omero.InternalException:
            if connection is self._begun_on:
                raise
            store = None
        if store is not None:
            return store
        # The server has a new store belong to the client that began the upload: where that is gone, older ones fail
        # and newer ones answer with no proxy, as they do for whatever else goes wrong there.
        if connection is self._begun_on:
            raise OmeroFailed(
                f"OMERO at {connection.address} opens no store for {self.paths[index]}, and does not say why.",
                hint="The server's Blitz-0.log may; ask its administrator.",
            )
        self.is_lost = True
        raise OmeroUploadLost(
            f"The connection to OMERO at {connection.address} by which {self.paths[index]} was being sent is gone, and "
            "the server opens no more files for what was begun through it.",
            hint="It is uploaded again.",
        )

    def lives(self, connection: Connection) -> bool:
        """Whether the server still knows of it.

        Raises:
            OmeroError: the server cannot be asked.
        """
        with connection.calling():
            try:
                self.on(connection).getHandle()
            except connection.library.ice.ObjectNotExistException:
                return False
        return True

    def is_handed_over(self, connection: Connection) -> bool:
        """Whether the server was asked to make images of it.

        Raises:
            OmeroError: the server cannot be asked.
        """
        with connection.calling():
            return self.on(connection).getHandle() is not None

    def close(self, connection: Connection) -> None:
        """Have the server hold it no more.

        Raises:
            OmeroError: the server cannot be reached.
        """
        with connection.calling():
            try:
                self.on(connection).close()
            except connection.library.ice.ObjectNotExistException:
                # It is over already.
                return


def timed(connection: Connection, proxy: Any, n_bytes: int) -> Any:
    """A proxy whose calls may take as long as the server needs to read so many bytes."""
    return connection.in_time(proxy, seconds=connection.address.call_s + n_bytes / SLOWEST_BYTES_S)


def begin(connection: Connection, outline: ImportOutline, number: int, *, key: str, context: Context) -> UploadProcess:
    """Announce a fileset under the import's ``key``, which is saved with it or not at all.

    Raises:
        OmeroChecksumUnknown: the server wants a checksum that cannot be computed here.
        BadName: it would not keep the name of a file.
        OmeroError: the server refuses or cannot be reached.
    """
    library = connection.library
    model, rstring = library.omero.model, library.rtypes.rstring
    fileset = model.FilesetI()
    for path in in_order(outline.filesets[number].files):
        entry = model.FilesetEntryI()
        entry.setClientPath(rstring(client_path(outline.root, path)))
        fileset.addFilesetEntry(entry)
    fileset.linkJob(model.UploadJobI())
    fileset.linkAnnotation(mark(connection, key, number))
    with connection.calling():
        repository = connection.managed_repository
        settings = library.omero.grid.ImportSettings(
            doThumbnails=library.rtypes.rbool(True),  # noqa: FBT003 - as OMERO has it
            noStatsInfo=library.rtypes.rbool(False),  # noqa: FBT003 - as above
            checksumAlgorithm=_agreed(connection, repository),
        )
        proxy = repository.importFileset(fileset, settings, connection.context(context))
        return UploadProcess(connection, proxy, outline, number, begun=True)


def found_again(
    connection: Connection, outline: ImportOutline, known: FiledFileset, *, in_use: Collection[str]
) -> UploadProcess | None:
    """The process of a fileset that is not whole, if this session still has it and the server lists it.

    Those ``in_use`` are others' and are left alone.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    if set(known.files) != {client_path(outline.root, path) for path in outline.filesets[known.number].files}:
        return None
    ids = {file.id for file in known.files.values()}
    with connection.calling():
        # Several releases compare ids of two types in here, and list nothing.
        for proxy in connection.managed_repository.listImports() or ():
            if proxy.ice_getIdentity().name in in_use:
                continue
            try:
                if _first_file(connection.in_time(proxy), ids) in ids:
                    return UploadProcess(connection, proxy, outline, known.number)
            except (connection.library.ice.ObjectNotExistException, connection.library.omero.InternalException):
                # It ended since, or the connection by which it was begun has.
                continue
    return None


def _first_file(process: Any, ids: Collection[int]) -> int:
    was_open = process.getUploadOffset(0) > 0
    store = process.getUploader(0)
    if store is None:
        # The connection by which it was begun is gone: no file of it can be sent any more.
        return 0
    file_id = int(store.getFileId().getValue())
    if not was_open and file_id not in ids:
        # Opened by looking at it.
        store.close()
    return file_id


def _agreed(connection: Connection, repository: Any) -> Any:
    """The checksum that the server prefers of those that can be computed here."""
    offered: dict[str, Any] = {one.getValue().getValue(): one for one in repository.listChecksumAlgorithms()}
    agreed = repository.suggestChecksumAlgorithm([one for name, one in offered.items() if name in COMPUTED])
    if agreed is None:
        raise OmeroChecksumUnknown(
            f"OMERO at {connection.address} wants uploads with one of {', '.join(sorted(offered)) or 'no'} checksums, "
            "and none of them is known here.",
            hint=f"Let it offer one of {', '.join(COMPUTED)} (omero.checksum.supported).",
        )
    return agreed
