"""The end of an import: its plates appear, the certificate is written, and what was ordered for the source is done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from ...config import get_logger
from ...messages.metadata import PlatesStored
from ...plates.access import NoSuchAccount, PathNotAllowed
from ...plates.errors import BadSourceName, PlanError
from ...plates.holding.deletion import SourceStays
from ...plates.labels import Target
from ...plates.served_folders import NotServed
from ...transport import TransportError
from ..errors import NoCertificate, NotAllowed
from .life import ImportLife
from .means import ImportMeans
from .notes import late_files
from .outline import filesets_of
from .records import CameLate, Certified, Finished, SourceDeleted

log = get_logger(__name__)

MAX_NAMED = 20
"""Late files that are kept by name."""


UNNAMED = "one whose name is not UTF-8"
"""What stands for a late file that no message can name."""


class Prover(Protocol):
    """What can be proven of an import; every call blocks."""

    def certify(self, life: ImportLife) -> str:
        """Write the certificate and return its path; the same one if it is there already.

        Raises:
            NoCertificate: there can be none, and why.
            MeshError: the disk refuses.
        """


class NoKey:
    """Certifies nothing: for a proxy that was given no key to sign with."""

    def certify(self, life: ImportLife) -> str:
        """Refuse.

        Raises:
            NoCertificate: always.
        """
        raise NoCertificate("this import proxy has no key to sign with")


class ImportEnding:
    """What follows once every byte is proven; each step may be had again after a crash."""

    def __init__(self, means: ImportMeans, prover: Prover) -> None:
        self._means = means
        self._prover = prover

    async def register(self, life: ImportLife) -> None:
        """Make the plates appear, all at once."""
        means, order = self._means, life.order
        await means.enter(life, "importing")
        filesets = filesets_of(life)
        target = Target(
            screen=order.screen,
            project=order.project,
            dataset=order.dataset,
            description=order.description,
            tags=order.tags,
            key_values=order.key_values,
            comment=order.comment,
        )
        life.plate_ids = await means.threads.run(
            lambda: means.repository_of(life).register(
                life.import_id, filesets, name=order.name, source=order.path, owner=life.owner, target=target
            ),
            group=life.import_id,
        )
        life.finish_phase()

    async def annotate(self, life: ImportLife) -> None:
        """Say at the plates where they came from, certify them, and delete the source if that was ordered."""
        means = self._means
        await means.enter(life, "annotating")
        if not life.plate_ids:
            # Registered before a crash: no record says as what.
            standing = await means.threads.run(lambda: means.repository_of(life).reconcile(life.import_id))
            life.plate_ids = standing.plate_ids

        def annotate() -> None:
            repository = means.repository_of(life)
            for plate_id in life.plate_ids:
                for name, value in (("import", life.import_id), ("source", life.order.path), ("owner", life.owner)):
                    repository.annotate(
                        plate_id,
                        key=f"{life.import_id}/{plate_id}/{name}",
                        namespace="hcs-mesh/import",
                        name=name,
                        value=value,
                        author=life.owner,
                    )

        await means.threads.run(annotate, group=life.import_id)
        await self._certify(life)
        await self._look_for_late(life)
        await self._delete_source(life)
        life.finish_phase()

    async def _certify(self, life: ImportLife) -> None:
        means = self._means
        if life.certificate or life.certificate_note:
            return
        path = note = ""
        try:
            path = await means.threads.run(lambda: self._prover.certify(life), group=life.import_id)
        except NoCertificate as error:
            note = f"not certified: {error}"
        await means.ledger.write(Certified(import_id=life.import_id, at_unix_s=time.time(), path=path, note=note))

    async def _look_for_late(self, life: ImportLife) -> None:
        """Name what came since the source had settled: it is no failure, and nobody else would say so."""
        means = self._means
        # Beside a single file others come and go as they like.
        if life.order.agent or life.source_deleted or Path(life.plan.root) != Path(life.order.path):
            return
        try:
            scan = await means.open_source(life).scan()
        except BadSourceName:
            # It hides the others that came, and must not hide that one did.
            await self._note_late(life, (UNNAMED,))
            return
        except (PlanError, NoSuchAccount, PathNotAllowed):
            # It is not for the owner to be told of, or was taken away as soon as it was held: nothing came late.
            return
        # In a thread: it looks at each of a hundred thousand files, and the others go on meanwhile.
        late = await means.threads.run(
            lambda: late_files(life.plan, {path: size for path, (size, _, _) in scan.files.items()})
        )
        if late:
            await self._note_late(life, late)

    async def _note_late(self, life: ImportLife, late: tuple[str, ...]) -> None:
        await self._means.ledger.write(
            CameLate(import_id=life.import_id, at_unix_s=time.time(), n_files=len(late), files=late[:MAX_NAMED])
        )

    async def _delete_source(self, life: ImportLife) -> None:
        """What cannot be deleted stays and is told; the import is safe either way."""
        means = self._means
        if not life.order.delete_source or life.deletion_tried:
            return
        n_files, note = 0, ""
        if life.certificate:
            held = life.hold.files if life.hold is not None else ()
            try:
                n_files = await means.open_source(life).delete(
                    life.plan, tuple(file for file in held if file.path in life.stored)
                )
            except (SourceStays, NotAllowed, NotServed, NoSuchAccount, PathNotAllowed) as error:
                note = f"the source stays: {error}"
        else:
            note = "the source stays: only what is certified is deleted"
        await means.ledger.write(
            SourceDeleted(import_id=life.import_id, at_unix_s=time.time(), n_files=n_files, note=note)
        )

    async def finish(self, life: ImportLife) -> None:
        """Let the source go, and tell those who list plates before those who wait for the import."""
        means = self._means
        if life.hold is not None:
            await means.open_source(life).release(life.hold)
        stored = PlatesStored(plate_ids=life.plate_ids)
        for listener in ("metadata", "publisher"):
            try:
                means.context.find(listener).tell(stored)
            except TransportError as error:
                # The import is done whoever hears of it; what they miss they find in the repository.
                log.warning("nobody took note of new plates", listener=listener, reason=str(error))
        await means.ledger.write(Finished(import_id=life.import_id, at_unix_s=time.time(), plate_ids=life.plate_ids))
