"""The end of an import: its plates appear, the certificate is written, and what was ordered for the source is done."""

from __future__ import annotations

import asyncio
import shlex
import time
from typing import Protocol

from ...config import MeshError, get_logger
from ...messages.metadata import PlatesStored
from ...plates.access import NoSuchAccount, PathNotAllowed
from ...plates.certificate import SignedCertificate
from ...plates.holding import StagingFailed
from ...plates.holding.deletion import SourceStays
from ...plates.labels import Target
from ...plates.local.errors import SourceFailed, TransferCancelled
from ...plates.served_folders import NotServed
from ...transport import AskFailed, TransportError
from ..errors import MeshFault, NoCertificate, NotAllowed, SourceSilent
from ..mishaps import faults_as_errors
from .last_look import refuse_changed
from .late_look import look_for_late
from .life import ImportLife
from .means import ImportMeans
from .notes import stays_for_late
from .outline import filesets_of
from .records import Certified, Finished, OffPlates, SourceDeleted
from .still_linked import refuse_linked

log = get_logger(__name__)


class Prover(Protocol):
    """What can be proven of an import; every call blocks."""

    def import_ids(self) -> tuple[str, ...]:
        """The imports that have a certificate, whoever remembers them."""

    def certified(self, life: ImportLife) -> str:
        """The path of the certificate that an earlier life of the mesh has written; empty if there is none."""

    def issue(self, life: ImportLife) -> SignedCertificate:
        """Put down and sign what was proved of a registered import; nothing is written yet.

        Raises:
            NoCertificate: there can be none, and why.
            MeshError: the disk refuses.
        """

    def keep(self, signed: SignedCertificate) -> str:
        """Write a certificate, once, and return its path.

        Raises:
            NoCertificate: there is one of this id, of another import.
            MeshError: the disk refuses.
        """


class NoKey:
    """Certifies nothing: for a proxy that was given no key to sign with."""

    def import_ids(self) -> tuple[str, ...]:
        """None."""
        return ()

    def certified(self, life: ImportLife) -> str:
        """None."""
        return ""

    def issue(self, life: ImportLife) -> SignedCertificate:
        """Refuse.

        Raises:
            NoCertificate: always.
        """
        raise NoCertificate("this import proxy has no key to sign with")

    def keep(self, signed: SignedCertificate) -> str:
        """Refuse.

        Raises:
            NoCertificate: always.
        """
        raise NoCertificate("this import proxy keeps no certificates")


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
        loop = asyncio.get_running_loop()

        def while_waiting(reason: str) -> None:
            if means.stopped(life.import_id):
                raise TransferCancelled(f"import {life.import_id} waits no longer: {reason}")
            loop.call_soon_threadsafe(means.waits, life, reason)

        life.plate_ids = await means.threads.run(
            lambda: means.repository_of(life).register(
                life.import_id,
                filesets,
                name=order.name,
                source=order.path,
                owner=life.owner,
                target=target,
                while_waiting=while_waiting,
            ),
            group=life.import_id,
        )
        self._tell_of(life, "metadata", "publisher")
        life.finish_phase()

    async def annotate(self, life: ImportLife) -> None:
        """Say at the plates where they came from, certify them, and delete the source if that was ordered."""
        means = self._means
        await means.enter(life, "annotating")
        if not life.plate_ids:
            # Registered before a crash: no record says as what.
            standing = await means.threads.run(lambda: means.repository_of(life).reconcile(life.import_id))
            life.plate_ids = standing.plate_ids
            self._tell_of(life, "metadata", "publisher")

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
        await self._note_off_plates(life)
        await self._certify(life)
        await self._delete_source(life, unknown=await look_for_late(means, life))
        life.finish_phase()

    async def _note_off_plates(self, life: ImportLife) -> None:
        """Say where images are that nobody finds among the plates."""
        means = self._means
        if life.off_plates:
            return
        note = await means.threads.run(
            lambda: means.repository_of(life).off_plates(life.import_id), group=life.import_id
        )
        if note:
            await means.ledger.write(OffPlates(import_id=life.import_id, at_unix_s=time.time(), note=note))

    async def _certify(self, life: ImportLife) -> None:
        means = self._means
        if life.certificate or life.certificate_note:
            return
        path = note = ""
        try:
            path = await means.threads.run(lambda: self._prover.certified(life))
            if not path:
                _refuse_unended(life)
                signed = await means.threads.run(lambda: self._prover.issue(life), group=life.import_id)
                # Last, and only where all else is well: a workstation may have to be waited for.
                await refuse_changed(means, life)
                path = await means.threads.run(lambda: self._prover.keep(signed), group=life.import_id)
        except NoCertificate as error:
            note = f"not certified: {error}"
        await means.ledger.write(Certified(import_id=life.import_id, at_unix_s=time.time(), path=path, note=note))

    async def _delete_source(self, life: ImportLife, *, unknown: str = "") -> None:
        """What cannot be deleted stays and is told; the import is safe either way.

        ``unknown`` says why nobody can tell whether more came since it had settled, if so.
        """
        means = self._means
        if not life.order.delete_source or life.deletion_tried:
            return
        n_files, note = 0, ""
        if life.certificate and life.plan.pending and not life.order.ended:
            # It may be an acquisition that pauses: nobody has said that nothing more comes.
            note = f"the source stays: {life.plan.pending[0]}; with --ended it is deleted all the same"
        elif life.certificate and life.n_late and not life.order.ended:
            # It goes on: without what is stored the rest would make another plate, and half of one.
            note = f"the source stays: {stays_for_late(life.n_late, life.late, life.order)}"
        elif life.certificate and unknown and not life.order.ended:
            note = f"the source stays: {unknown}"
        elif life.certificate:
            held = life.hold.files if life.hold is not None else ()
            try:
                await refuse_linked(means, life)
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
        await self._release(life)
        # What stands at the plates has come since they were told of. Viewers of what is new may be at others by now.
        self._tell_of(life, "metadata")
        finished = Finished(import_id=life.import_id, at_unix_s=time.time(), plate_ids=life.plate_ids)
        await self._means.ledger.write(finished)

    def _tell_of(self, life: ImportLife, *listeners: str) -> None:
        """Say that its plates are there, however long the import has yet to wait: for its source, for instance."""
        stored = PlatesStored(plate_ids=life.plate_ids)
        for listener in listeners:
            try:
                self._means.context.find(listener).tell(stored)
            except TransportError as error:
                # The import goes on whoever hears of it; what they miss they find in the repository.
                log.warning("nobody took note of new plates", listener=listener, reason=str(error))

    async def _release(self, life: ImportLife) -> None:
        """Let the source go; what its disk keeps goes at the next start, and is no reason to fail what is stored."""
        if life.hold is None:
            return
        try:
            with faults_as_errors(import_id=life.import_id):
                await self._means.open_source(life).release(life.hold)
        except (StagingFailed, SourceFailed, AskFailed, MeshFault) as error:
            log.warning("held files stay", import_id=life.import_id, reason=str(error))
        except SourceSilent as silent:
            log.warning("held files stay for now", import_id=life.import_id, reason=str(silent))
            self._means.context.spawn(self._release_later(life))

    async def _release_later(self, life: ImportLife) -> None:
        """Let the source go once its disk answers; a life that ends before leaves it to the next one's start."""
        try:
            with faults_as_errors(import_id=life.import_id):
                await self._means.open_source(life).reachable()
                # One that comes and goes is not asked without a pause.
                await asyncio.sleep(self._means.settings.first_retry_s)
                await self._release(life)
        except MeshError as error:
            log.warning("held files stay", import_id=life.import_id, reason=str(error))


def _refuse_unended(life: ImportLife) -> None:
    """Promise that the acquisition has ended, by the word of its microscope or of the person who handed it over.

    Raises:
        NoCertificate: neither says so; who deletes it may delete what is still being written.
    """
    if life.plan.unended and not life.order.ended:
        raise NoCertificate(
            f"the microscope had not written that it ended: {life.plan.unended[0]}; hcs-mesh import --force "
            f"{shlex.quote(life.order.path)} imports it again once it has, and with --ended if nothing more comes"
        )
