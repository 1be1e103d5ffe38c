"""The errands of a watched folder: each thing that was decided of it is done, written down before and after."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import assert_never

import msgspec

from ...config import MeshError, get_logger
from ...messages.imports import GetImport, ImportStatus, PlanSource, SubmitImport
from ...messages.notices import NoticeFacts, SendNotice
from ...plates.errors import NOT_YET, SourceNotFound
from ...plates.planners import Plan
from ...plates.planners.plain_fileset import is_container
from ...plates.repository import ImportStore, Taken
from ...supervisors import Context
from ...transport import AskFailed, TransportError
from ..apart import run_apart
from ..errors import ImportNotFound, InspectorKeepsDying, MeshFault, NoSuchSource
from ..inspection import Inspection
from ..ledger import Ledger
from ..mishaps import faults_as_errors
from .book import WatchedUnit
from .orders import loose_question, order_of, question_of
from .pauses import LONGEST_PAUSE_S, Pauses
from .sight import seen
from .watched_folder import Compare, Group, HandOver, Instruction, Vanished, WatchedFolder, handed_over

log = get_logger(__name__)

NO_ANSWER_PAUSE_S = 60.0
"""At most between two attempts at what nobody answers to: it is over as soon as somebody does."""

N_NAMED = 20
"""Late files that are kept by name."""

GONE = frozenset({NoSuchSource.__name__, SourceNotFound.__name__})
"""What imports say of a source that is not there."""

NOTHING = seen(()).digest
"""What tells a unit without files."""


class Unplannable(Exception):
    """There is nothing that an import would take, or not yet."""

    def __init__(self, reason: str, *, not_yet: bool = False) -> None:
        super().__init__(reason)
        self.not_yet = not_yet


class WatchErrands:
    """Does what follows from the looks at one watched folder."""

    def __init__(
        self,
        folder: WatchedFolder,
        context: Context,
        ledger: Ledger[WatchedUnit],
        inspection: Inspection,
        repository: ImportStore,
    ) -> None:
        self._folder = folder
        self._settings = folder.settings
        self._context = context
        self._ledger = ledger
        self._inspection = inspection
        self._repository = repository
        first_s = max(self._settings.quiet_s, self._settings.look_s)
        self._questions, self._waits = Pauses(first_s), Pauses(first_s)
        self._refused: set[str] = set()

    def begun(self) -> tuple[WatchedUnit, ...]:
        """What is to be handed over once more: a life before may have died over it.

        The settings for which one was refused may be others in this life, so that it is asked about once.
        """
        now_s = self._context.now()
        return tuple(
            one
            for one in self._folder.units.not_taken()
            if self._waits.is_due((False, one.unit), now_s) and not (one.step == "refused" and one.key in self._refused)
        )

    async def run(self, instructions: Iterable[Instruction]) -> None:
        """Do them one after the other; what cannot be done now waits alone, and is tried again after a pause."""
        found = tuple(instructions)
        # First what was taken away: it would be handed over once more, in vain.
        for gone in (one for one in found if isinstance(one, Vanished)):
            await self._run_alone(gone)
        for each in (*self.begun(), *(one for one in found if not isinstance(one, Vanished))):
            await self._run_alone(each)

    async def _run_alone(self, one: WatchedUnit | Instruction) -> None:
        """Do one, or say why not; of a fault of the mesh itself people are told as well."""
        is_group, now_s = isinstance(one, Group), self._context.now()
        name = min(one.ready) if isinstance(one, Group) else one.unit
        # That it is gone, or is back, is written down at once: it says what the pause was waiting for.
        if not isinstance(one, Vanished) and not self._waits.is_due((is_group, name), now_s):
            return
        try:
            with faults_as_errors(folder=self._settings.path, unit=name):
                await self._run_one(one)
        except MeshError as error:
            is_answer = not isinstance(error, TransportError)
            reason = str(error) if is_answer else f"the mesh does not answer: {error}"
            longest_s = LONGEST_PAUSE_S if is_answer else NO_ANSWER_PAUSE_S
            self._folder.fault(name, reason)
            if self._waits.failed((is_group, name), reason, now_s=now_s, longest_s=longest_s):
                log.warning("a watched folder waits", folder=self._settings.path, unit=name, reason=reason)
            if isinstance(error, MeshFault):
                await self.tell_fault(name, error)
            return
        if self._waits.over((is_group, name)):
            self._folder.fault(name, "")

    async def tell_fault(self, name: str, fault: MeshFault) -> None:
        """Have people told, once, what the mesh itself has failed over; what cannot be told now is at the next time."""
        path = f"{self._settings.path.rstrip('/')}/{name}"
        try:
            await self._notify(f"watch {path} {fault}", NoticeFacts(source=path, reason=str(fault), hint=fault.hint))
        except MeshError as error:
            log.warning("nobody is told of a fault yet", folder=self._settings.path, reason=str(error))

    async def _run_one(self, one: WatchedUnit | Instruction) -> None:
        match one:
            case WatchedUnit():
                await self._submit(one)
            case HandOver():
                await self._hand_over(one)
            case Compare():
                await self._compare(one)
            case Group():
                await self._group(one)
            case Vanished(unit=unit, gone=gone, newest_ns=newest_ns, mark=mark):
                known = self._folder.units[unit]
                await self._write(known, gone=gone, newest_ns=newest_ns, inode=mark.inode, born_ns=mark.born_ns)
            case _:
                assert_never(one)

    async def _hand_over(self, one: HandOver) -> None:
        unit = WatchedUnit(
            folder=self._settings.path,
            unit=one.unit,
            at_unix_s=time.time(),
            step="handing over",
            generation=one.generation,
            forced=one.forced,
            digest=one.digest,
            names=one.names,
            newest_ns=one.newest_ns,
            inode=one.mark.inode,
            born_ns=one.mark.born_ns,
        )
        await self._ledger.write(unit)
        await self._submit(unit)

    async def _submit(self, unit: WatchedUnit) -> None:
        """Hand it over; the key makes it harmless if a life before has done so and died."""
        request = SubmitImport(order=order_of(self._settings, unit), key=unit.key, on_behalf_of=self._settings.owner)
        try:
            import_id = await self._context.find("imports").ask(request)
        except AskFailed as error:
            if error.failure.retry or error.failure.kind in GONE:
                # It may have gone away since it was looked at, perhaps with its mount: the next look tells.
                raise
            if unit.step != "refused":
                await self._tell(unit, f"it cannot be imported: {error}", error.hint)
            await self._write(unit, step="refused", reason=str(error))
            self._refused.add(unit.key)
            return
        log.info("a watched folder handed over", folder=self._settings.path, unit=unit.unit, import_id=import_id)
        await self._write(unit, step="handed over", import_id=import_id, reason="")

    async def _compare(self, one: Compare) -> None:
        """See what the import of a unit that has changed makes of it."""
        unit = self._folder.units[one.unit]
        again = HandOver(unit.unit, one.digest, one.names, unit.generation + 1)
        state = await self._state(unit)
        if state == "at work":
            # It looks at its source itself; what it does not see any more is found once it is done.
            return
        if state == "failed" and one.digest != NOTHING:
            await self._hand_over(again)
        elif state == "done":
            await self._look_for_late(unit, one, again)
        else:
            await self._write(unit, digest=one.digest)

    async def _state(self, unit: WatchedUnit) -> str:
        if unit.step == "refused":
            return "failed"
        if unit.step == "handing over":
            return "at work"
        try:
            status: ImportStatus = await self._context.find("imports").ask(GetImport(import_id=unit.import_id))
        except AskFailed as error:
            if error.failure.kind != ImportNotFound.__name__:
                raise
            # Off the list: what the repository has of it still counts.
            return "done" if (await self._taken(unit)).registered else "cancelled"
        return "at work" if status.state in ("running", "waiting") else status.state

    async def _look_for_late(self, unit: WatchedUnit, one: Compare, again: HandOver) -> None:
        """Find the files that an import would take now, and that the one of this unit has not."""
        question = question_of(self._settings, msgspec.structs.replace(unit, names=one.names))
        try:
            plan = await self._plan(question)
        except Unplannable as error:
            if error.not_yet:
                return
            # Its files were taken away, or it is nothing now that could be late.
            await self._write(unit, digest=one.digest, names=one.names)
            return
        stored = (await self._taken(unit, plan.root)).files
        now = {file.path: file.n_bytes for fileset in plan.filesets for file in fileset.files}
        late = tuple(sorted(path for path, size in now.items() if stored.get(path) != size))
        if late and self._settings.late == "import":
            log.warning("late files are imported", folder=self._settings.path, unit=unit.unit, n_files=len(late))
            await self._hand_over(again._replace(forced=True))
            return
        if late:
            log.warning("files came late", folder=self._settings.path, unit=unit.unit, n_files=len(late))
            path = order_of(self._settings, unit).path
            named = ", ".join(late[:3]) + (", ..." if len(late) > 3 else "")
            await self._tell(
                unit,
                f"{len(late)} file{'s' if len(late) > 1 else ''} came or grew after {unit.import_id} was done: {named}",
                f"hcs-mesh import --force {path} imports it again, with them",
                late=one.digest,
            )
        await self._write(unit, digest=one.digest, names=one.names, late=late[:N_NAMED], n_late=len(late))

    async def _group(self, one: Group) -> None:
        """Have the inspector say which loose files belong together, and hand over what is whole."""
        question = loose_question(self._settings, one.names)
        try:
            plan = await self._plan(question)
        except Unplannable as error:
            if error.not_yet:
                self._folder.put_off(one.ready, str(error))
                return
            filesets: list[dict[str, int]] = []
        else:
            filesets = [
                {file.path: file.n_bytes for file in fileset.files if "/" not in file.path} for fileset in plan.filesets
            ]
        placed = {name for files in filesets for name in files}
        # Files of microscopes are planned where nothing else is: beside images each is a fileset of its own.
        filesets += [{name: one.sizes[name]} for name in one.ready if name not in placed and is_container(name)]
        todo, unread = handed_over(filesets, one, self._folder.units)
        self._folder.set_aside(unread)
        for each in todo:
            await self._run_alone(each)

    async def _plan(self, question: PlanSource) -> Plan:
        asked, now_s = msgspec.json.encode(question), self._context.now()
        if not self._questions.is_due(asked, now_s):
            raise Unplannable("it ended or stalled its reader, and is read again after a pause", not_yet=True)
        try:
            plan = await self._inspection.plan(
                question, self._settings.label, lambda reason: None, asker=self._settings.owner
            )
        except InspectorKeepsDying as error:
            # It may be damaged for good, or read from a disk that was slow: nothing is given up over it.
            self._questions.failed(asked, str(error), now_s=now_s)
            log.warning("a watched folder cannot be read", folder=self._settings.path, reason=str(error))
            raise Unplannable(str(error), not_yet=True) from error
        except AskFailed as error:
            if error.failure.retry:
                raise
            self._questions.over(asked)
            raise Unplannable(str(error), not_yet=error.failure.kind in NOT_YET) from error
        self._questions.over(asked)
        return plan

    async def _taken(self, unit: WatchedUnit, root: str = "") -> Taken:
        owner = self._settings.owner
        return await run_apart(
            lambda: self._repository.taken(unit.import_id, owner=owner, root=root), "watch: repository"
        )

    async def _tell(self, unit: WatchedUnit, reason: str, hint: str, *, late: str = "") -> None:
        """Have people told; the key makes it harmless to have it told again."""
        source = order_of(self._settings, unit).path
        await self._notify(
            f"{unit.key} {late or 'refused'}",
            NoticeFacts(import_id=unit.import_id, source=source, reason=reason, hint=hint),
        )

    async def _notify(self, key: str, facts: NoticeFacts) -> None:
        notice = SendNotice(
            key=key,
            kind="import.attention",
            recipients=(self._settings.mail,) if self._settings.mail else (),
            facts=msgspec.structs.replace(facts, owner=self._settings.owner),
        )
        await self._context.find("notifier").ask(notice)

    async def _write(self, unit: WatchedUnit, **changes: object) -> None:
        await self._ledger.write(msgspec.structs.replace(unit, at_unix_s=time.time(), **changes))
