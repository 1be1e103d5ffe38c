"""One import into an OMERO.server: the calls of a repository that concern imports, in its owner's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..import_outline import ImportOutline
from ..labels import Target
from ..local.errors import ImportRegistered
from ..local.folder_reader import FolderReader
from ..local.names import checked_id, checked_path
from ..repository import (
    NO_TARGET,
    Annotation,
    ImportStanding,
    SourceFile,
    SourceReader,
    StoredFile,
    StoredFileset,
    ignore_bytes,
    ignore_files,
    ignore_linked,
    never,
    wait_on,
)
from .announced_import import AnnouncedImport
from .client_paths import client_path
from .connection import Connection
from .errors import OmeroCallRefused
from .filed_imports import filed, remove
from .imports import OmeroImports
from .in_place import Linker, mounted
from .labelling import Labelling
from .off_plates import images_off_plates
from .plate_metadata import metadata_of
from .served_planes import ServedPlane, served_planes
from .standing import FiledFileset, furthest_of_each, is_finished, names, plate_ids, standing
from .stored_bytes import compare
from .taking_over import send_all, still_to_send
from .uploading import Sender, Sending


class OmeroImport:
    """Takes one import's files over and has the server make plates of them."""

    kind = "omero"

    def __init__(self, imports: OmeroImports, outline: ImportOutline) -> None:
        """Import what the outline says, as its owner.

        Raises:
            BadName: the import's id cannot be one.
        """
        self._imports = imports
        self._outline = outline
        self._at = AnnouncedImport(imports, outline)
        self._key = self._at.key

    def files_folder(self, import_id: str) -> Path:
        """A folder that is never there: OMERO keeps the files, and not in the folders of their source."""
        return Path("/", "omero", checked_id(import_id))

    def copies(self) -> tuple[Path, Mapping[str, str]] | None:
        """The mounted managed repository, and where in it each file of the import lies; None where it is not mounted.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        managed = self._imports.managed
        if managed is None:
            return None
        with self._at.connected() as (connection, _):
            made = furthest_of_each(filed(connection, self._key), self._outline)
        there = {said: PurePosixPath(f"{file.path}{file.name}") for one in made for said, file in one.files.items()}
        own = {
            path: there.get(client_path(self._outline.root, path))
            for outlined in self._outline.filesets
            for path in outlined.files
        }
        # Names in a database are not to be trusted with a way out of the repository.
        return managed, {
            path: str(copy)
            for path, copy in own.items()
            if copy is not None and not copy.is_absolute() and ".." not in copy.parts
        }

    def reconcile(self, import_id: str) -> ImportStanding:
        """Say what the server has of the import: which files are whole or begun, and whether it is finished.

        Raises:
            OmeroAwaitsLogin: nobody may ask before the owner's next login.
            OmeroError: the server refuses or cannot be reached.
        """
        if not self._outline.filesets:
            # Not settled yet: nothing can have been begun of it, and nobody need log in to hear that.
            return standing((), self._outline)
        with self._at.connected() as (connection, _):
            return standing(filed(connection, self._key), self._outline)

    def transfer(
        self,
        import_id: str,
        source: SourceReader,
        files: Sequence[SourceFile],
        *,
        known: Sequence[StoredFile] = (),
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
        cancelled: Callable[[], bool] = never,
    ) -> tuple[StoredFile, ...]:
        """Upload files, going on where the server still has what was begun, and return them once all are whole.

        Raises:
            ImportRegistered: the import is finished.
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the source.
            TransferCancelled: ``cancelled`` answered True.
            BadName: OMERO would not keep the name of a file.
            OmeroAwaitsLogin: nobody may act before the owner's next login.
            OmeroError: the server refuses or cannot be reached.
        """

        def worker(connection: Connection) -> Callable[[Sending], StoredFile]:
            return Sender(connection, source, self._imports.checksum, on_bytes, cancelled).send

        return self._take_over(files, known, worker, on_bytes, on_files, cancelled)

    def adopt(
        self,
        import_id: str,
        source: Path,
        files: Sequence[SourceFile],
        *,
        reader: SourceReader | None = None,
        known: Sequence[StoredFile] = (),
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
        cancelled: Callable[[], bool] = never,
    ) -> tuple[StoredFile, ...]:
        """Have the server read files where they lie, through links in its managed repository.

        Raises:
            OmeroNotInPlace: that folder is not mounted, cannot be written to, or the server does not see the files.
            MeshError: as ``transfer`` says.
        """
        folder, read = mounted(self._imports.managed), reader or FolderReader(source)

        def worker(connection: Connection) -> Callable[[Sending], StoredFile]:
            return Linker(connection, folder, source, read, self._imports.checksum, on_bytes, cancelled).link

        return self._take_over(files, known, worker, on_bytes, on_files, cancelled)

    def verify(
        self,
        import_id: str,
        files: Sequence[StoredFile],
        *,
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_linked: Callable[[], None] = ignore_linked,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Have the server read every file again, and compare its checksums with those of what was sent.

        Nothing is read by the mesh itself, so that ``on_linked`` is never called.

        Raises:
            ChecksumMismatch: some do not match.
            OmeroUploadLost: what was uploaded cannot be imported any more.
            TransferCancelled: ``cancelled`` answered True.
            OmeroError: the server refuses or cannot be reached.
        """
        stored = {file.path: file for file in files} | self._at.added.stored
        with self._at.connected(lasting=True) as (connection, uploads):
            found = filed(connection, self._key)
            _, context = uploads.group()
            for number, outlined in enumerate(self._at.announced.filesets):
                fileset = uploads.furthest(number, found)
                upload = uploads.alive(fileset)
                if fileset is None or (upload is None and not fileset.handed_over):
                    raise uploads.lost()
                said = {path: client_path(self._outline.root, path) for path in outlined.files}
                # What an older version has begun and handed over has nothing that was added.
                there = {
                    path: fileset.files[name]
                    for path, name in said.items()
                    if name in fileset.files or path not in self._at.added
                }
                for paths, tell in self._at.added.apart(there, on_bytes):
                    wanted = [stored[path] for path in paths]
                    compare(connection, wanted, there, upload, context=context, on_bytes=tell, cancelled=cancelled)

    def register(
        self,
        import_id: str,
        filesets: Sequence[StoredFileset],
        *,
        name: str = "",
        source: str = "",
        owner: str = "",
        target: Target = NO_TARGET,
        while_waiting: Callable[[str], None] = wait_on,
    ) -> tuple[int, ...]:
        """Have the server make its plates, label them, and return their ids; the same ids when it is repeated.

        Raises:
            OmeroImportFailed: the server can make no images of the files.
            OmeroUploadLost: what was uploaded cannot be imported any more.
            ChecksumMismatch: the server does not take the upload for what was sent.
            OmeroError: the server refuses or cannot be reached.
            MeshError: what ``while_waiting`` raises; the server goes on by itself.
        """
        stored = {file.path: file for fileset in filesets for file in fileset.files} | self._at.added.stored
        with self._at.connected(lasting=True) as (connection, uploads):
            for number in range(len(self._outline.filesets)):
                uploads.make_images(number, stored, while_waiting)
            found = filed(connection, self._key)
            made = furthest_of_each(found, self._outline)
            # What a call that was on its way when its caller died has left beside them.
            remove(connection, [one for one in found if one not in made])
            group_id, context = uploads.group()
            labelling = Labelling(connection, group_id=group_id, context=context)
            for one in made:
                labelling.label(
                    key=self._key,
                    plates=names(one, self._at.told(one.number, filesets), name),
                    images=() if one.plate_ids else one.image_ids,
                    target=target,
                    provenance=[("import", import_id), ("source", source), ("owner", owner or self._outline.owner)],
                    metadata=metadata_of(connection, one, filesets[one.number]),
                )
            uploads.close()
        self._imports.ended(self._outline)
        return plate_ids(made)

    def annotate(
        self, plate_id: int, *, key: str, namespace: str, name: str, value: str, well: str = "", author: str = ""
    ) -> Annotation:
        """Attach a key and its value to a plate, unless it bears them already, as it does where it came from.

        Raises:
            OmeroCallRefused: a well was named; wells are annotated where results are written.
            OmeroError: the server refuses or cannot be reached.
        """
        if well:
            raise OmeroCallRefused(f"An import annotates plates, and no well {well} of one.", hint="Report it.")
        with self._at.connected() as (connection, uploads):
            group_id, context = uploads.group()
            labelling = Labelling(connection, group_id=group_id, context=context)
            number = labelling.attach(plate_id, namespace=namespace, name=name, value=value)
        return Annotation(id=number, plate_id=plate_id, namespace=namespace, name=name, value=value, author=author)

    def off_plates(self, import_id: str) -> str:
        """Which images of a finished import lie on no plate, where people find them, and what plates do not show.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        with self._at.connected() as (connection, _):
            made = furthest_of_each(filed(connection, self._key), self._outline)
            told = images_off_plates(connection, [one.id for one in made])
        return "; ".join(filter(None, (told, *self._at.not_shown)))

    def rest(self, import_id: str) -> None:
        """Keep what is open of an import that has failed only until somebody else needs the connection."""
        self._imports.given_up(self._outline)

    def fileset_ids(self) -> tuple[int, ...]:
        """What the server calls the filesets of the import.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        with self._at.connected() as (connection, _):
            made = furthest_of_each(filed(connection, self._key), self._outline)
        return tuple(one.id for one in made)

    def served_planes(self, filesets: Sequence[StoredFileset]) -> tuple[ServedPlane, ...]:
        """The first and the last plane of each planned plate, as the server gives them, once the import is finished.

        Raises:
            UnreadableImage: the server answers with fewer or more bytes than a plane has.
            OmeroError: the server refuses or cannot be reached.
        """
        with self._at.connected() as (connection, _):
            made = furthest_of_each(filed(connection, self._key), self._outline)
            served = [
                plane for one in made for plane in served_planes(connection, one, self._at.told(one.number, filesets))
            ]
        return tuple(served)

    def discard(self, import_id: str) -> None:
        """Remove what was uploaded of an import that was never finished; what is only linked to stays.

        Raises:
            ImportRegistered: its plates exist.
            OmeroError: the server refuses or cannot be reached.
        """
        if not self._outline.filesets:
            return
        with self._at.connected() as (connection, uploads):
            found = filed(connection, self._key)
            self._refuse_finished(found)
            uploads.close()
            remove(connection, found)
        self._imports.ended(self._outline)

    def _take_over(
        self,
        files: Sequence[SourceFile],
        known: Sequence[StoredFile],
        worker: Callable[[Connection], Callable[[Sending], StoredFile]],
        on_bytes: Callable[[int], None],
        on_files: Callable[[tuple[StoredFile, ...]], None],
        cancelled: Callable[[], bool],
    ) -> tuple[StoredFile, ...]:
        for file in files:
            checked_path(file.path)
        outline, added = self._at.announced, self._at.added

        def any_file(connection: Connection) -> Callable[[Sending], StoredFile]:
            return added.sent_beside(worker(connection), connection, cancelled)

        with self._at.connected(lasting=True) as (connection, uploads):
            found = filed(connection, self._key)
            self._refuse_finished(found)
            opened = {number: uploads.opened(number, found) for number in range(len(self._outline.filesets))}
            # Asked again: of what was begun anew, nothing is there.
            stored, todo = still_to_send(
                outline,
                (*files, *added.files),
                (*known, *added.stored.values()),
                opened,
                filed(connection, self._key),
            )
            for one in stored.values():
                if one.path not in added:
                    on_bytes(one.size)
            stored |= send_all(
                todo, lambda: any_file(connection), added.without(on_files), n_threads=self._imports.n_threads
            )
        return tuple(stored[file.path] for file in files)

    def _refuse_finished(self, found: Sequence[FiledFileset]) -> None:
        if is_finished(found, self._outline):
            raise ImportRegistered(
                f"Import {self._outline.import_id} is finished: OMERO has made its images, which stay as they are.",
                hint="Delete them in OMERO, or import the folder anew if it has changed.",
            )
