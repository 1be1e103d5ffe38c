"""A source on a workstation, behind its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from ...config import MeshError, get_logger
from ...messages.agents import (
    AskFreeSpace,
    AskHeldSpace,
    AskUnwritten,
    CompareFiles,
    DeleteFiles,
    FindChanged,
    HoldFiles,
    LetGoFiles,
    ListFiles,
    LookAtSource,
    PlanFolder,
    ProbeFolder,
    ReleaseFiles,
    ScanFolder,
    SweepHeld,
    WhichDevice,
)
from ...messages.imports import DecodedPlane
from ...plates.certificate import Device
from ...plates.checksums import Algorithm
from ...plates.holding import HeldSpace, Hold
from ...plates.holding.guarantees import HeldFile
from ...plates.local.errors import SourceChanged
from ...plates.local.names import PART
from ...plates.planners import Plan
from ...plates.repository import ImportRepository, SourceFile, SourceReader, StoredFile
from ...plates.served_folders import NotServed
from ...transport import AskTimedOut
from ..errors import OutOfHours, SourceSilent
from .agent_line import AgentLine
from .agent_reader import AgentReader
from .life import ImportLife
from .places import ImportPlaces
from .readiness import Scan
from .serving_agents import AgentAway, ServingAgents

log = get_logger(__name__)

LOOK_S = 600.0
"""How long a workstation may take to look at a source; that it is away is known long before."""
AGAIN_S = 5.0
"""Until a workstation is asked again whether a disk answers that was silent."""
READ_AGAIN_S = 6 * 3600.0
"""How long it may take to read files again whose checksums it does not remember."""
FILES_AT_ONCE = 1 << 15
"""How many files one message asks after: some 250 bytes each, and a message has its bounds."""


class AgentSource:
    """A folder or file of a workstation; its files are opened by the workstation's own inspector alone."""

    def __init__(
        self,
        life: ImportLife,
        *,
        agents: ServingAgents,
        loop: asyncio.AbstractEventLoop,
        repository: ImportRepository,
        places: ImportPlaces,
        algorithm: Algorithm,
    ) -> None:
        """Take the source of ``life``; its workstation may have to come first."""
        self._order = life.order
        self._life = life
        self._import_id = life.import_id
        self._agents = agents
        self._line = AgentLine(agents.awaited(life.order.agent), loop, life.workstation)
        self._repository = repository
        self._places = places
        self._algorithm = algorithm

    async def reachable(self) -> None:
        """Return once the workstation is there, or the disk of the source answers it that did not."""
        if not self._line.is_there:
            await self._line.reached()
            return
        while True:
            try:
                await self._line.ask(LookAtSource(path=self._order.path, reads=True), timeout_s=LOOK_S)
            except SourceSilent:
                # Nobody is told when a disk is back, nor when a workstation's hours begin.
                await asyncio.sleep(AGAIN_S)
            except MeshError:
                # It answers whatever else it says; and whether the workstation has gone is found out next.
                return
            else:
                return

    def closed_s(self, since_unix_s: float) -> float:
        """None that is known: a workstation tells of its hours only whether they are over."""
        return 0.0

    async def scan(self) -> Scan:
        """Look at every file."""
        order = self._order
        question = ScanFolder(path=order.path, only=order.only, exclude=order.exclude, depth=order.depth)
        seen = await self._line.ask(question, timeout_s=LOOK_S)
        files = {file.path: (file.size, file.mtime_ns, file.inode) for file in seen.files}
        return Scan(files, seen.came_ns)

    async def plan(self, say: Callable[[str], None]) -> Plan:
        """Ask the workstation's inspector what it holds."""
        order = self._order
        question = PlanFolder(
            import_id=self._import_id,
            path=order.path,
            pattern=order.pattern,
            name=order.name,
            as_files=order.as_files,
            depth=order.depth,
            exclude=order.exclude,
            only=order.only,
        )
        return await self._line.ask(question, timeout_s=LOOK_S)

    async def probe(self, plan: Plan, say: Callable[[str], None]) -> tuple[DecodedPlane, ...]:
        """Have the workstation's inspector open the first and last plane of every plate, of which it sends none."""
        question = ProbeFolder(import_id=self._import_id, path=self._order.path, plan=plan)
        await self._line.ask(question, timeout_s=LOOK_S)
        return ()

    async def manifest(self, plan: Plan) -> tuple[SourceFile, ...]:
        """Every file of a plan as it looks now, each one in a folder that is served."""
        return await self._line.ask(ListFiles(root=plan.root, plan=plan), timeout_s=LOOK_S)

    async def device(self, plan: Plan) -> Device:
        """What the source lies on, by the name of its own host."""
        return await self._line.ask(WhichDevice(root=plan.root), timeout_s=LOOK_S)

    async def hold(self, files: tuple[SourceFile, ...], plan: Plan, say: Callable[[str], None]) -> Hold:
        """Link or clone the files on the workstation where that can be done, watch them where it cannot."""
        question = HoldFiles(import_id=self._import_id, root=plan.root, files=files)
        held = await self._line.ask(question, timeout_s=LOOK_S)
        if self._line.agent.owed.pop(self._import_id, None) is not None:
            # Its disk had kept what was held before: that is wanted again, and not let go of when it comes anew.
            await asyncio.to_thread(self._agents.remember)
        return held

    async def held_space(self, held: Hold) -> HeldSpace:
        """What the hold costs the workstation now."""
        return await self._line.ask(AskHeldSpace(hold=held), timeout_s=LOOK_S)

    async def free_bytes(self, held: Hold) -> int:
        """How many bytes are free on the workstation's disk."""
        return await self._line.ask(AskFreeSpace(root=held.source), timeout_s=LOOK_S)

    async def let_go(self, held: Hold) -> Hold:
        """Give up what can be read again from the source."""
        return await self._line.ask(LetGoFiles(hold=held), timeout_s=LOOK_S)

    async def release(self, held: Hold) -> None:
        """Let the files go; a workstation that is away does so when it is back, or serves their folder again."""
        question, agent = ReleaseFiles(hold=msgspec.structs.replace(held, files=())), self._line.agent
        while True:
            asked = agent.link
            try:
                await self._line.ask(question, timeout_s=LOOK_S)
            except AgentAway as away:
                if agent.here and not self._line.is_there:
                    # Another has its name, and cannot owe it: what is over is swept there whenever its agent comes.
                    log.warning("links to files of an ended import stay", agent=agent.name, reason=str(away))
                    return
                if agent.here and agent.link is not asked:
                    # It came back before this was heard of its last link, and was told by then what it owed.
                    continue
                agent.owed[self._import_id] = question.hold
                await asyncio.to_thread(self._agents.remember)
            except NotServed as error:
                # It was started without that folder: once it serves it again, it lets go of what is over.
                log.warning("links to files of an ended import stay", agent=agent.name, reason=str(error))
            return

    async def unwritten_only(self, plan: Plan) -> str:
        """Have the workstation say what lies nowhere else but in links of which no hold was written down."""
        question = AskUnwritten(import_id=self._import_id, root=plan.root)
        told = await self._line.ask(question, timeout_s=LOOK_S)
        return f"{told} on {self._line.agent.name}" if told else ""

    async def release_unwritten(self) -> None:
        """Let links go of which no hold was written down; one that is away does so when it is back."""
        # It is swept when it comes: the import is over.
        with suppress(AgentAway):
            await self._line.ask(SweepHeld(over=(self._import_id,)), timeout_s=LOOK_S)

    async def confirm(self, files: tuple[StoredFile, ...]) -> None:
        """Have the workstation compare what it has read with what was written here.

        Raises:
            SourceChanged: a file has another checksum there.
            AgentAway: the workstation cannot be reached.
        """
        hold = self._life.hold
        stored = {file.path for file in files}
        question = CompareFiles(
            import_id=self._import_id,
            root=self._life.plan.root,
            files=files,
            staging=hold.staging if hold is not None else "",
            held=tuple(file for file in hold.files if file.path in stored) if hold is not None else (),
        )
        different = await self._line.ask(question, timeout_s=READ_AGAIN_S)
        if different:
            raise SourceChanged(
                f"{len(different)} files are not what the workstation has read, the first is {different[0]}",
                hint="The import takes them over once more; when it happens again, test the memory of both computers.",
            )

    async def changed(
        self,
        held: Hold,
        files: tuple[StoredFile, ...],
        cancelled: Callable[[], bool],
        say: Callable[[str], None],
    ) -> tuple[str, ...]:
        """Have the workstation say which files are others by now."""
        device = self._life.source_device or Device()
        held_at = {file.path: file for file in held.files}
        changed: list[str] = []
        for begin in range(0, len(files), FILES_AT_ONCE):
            batch = files[begin : begin + FILES_AT_ONCE]
            part = tuple(held_at[file.path] for file in batch if file.path in held_at)
            question = FindChanged(hold=msgspec.structs.replace(held, files=part), files=batch, device=device)
            try:
                others = await self._line.ask(question, timeout_s=READ_AGAIN_S)
            except AskTimedOut:
                await self._refuse_closed()
                raise
            changed += others
        return tuple(changed)

    async def _refuse_closed(self) -> None:
        """Promise that it is no matter of hours, for which it waits within a file, that the workstation says nothing.

        Raises:
            OutOfHours: it is.
        """
        try:
            await self._line.ask(LookAtSource(path=self._order.path, reads=True), timeout_s=LOOK_S)
        except OutOfHours:
            raise
        except MeshError:
            # Whatever else it says is said again when it is asked what was to be known.
            return

    async def delete(self, plan: Plan, files: tuple[HeldFile, ...]) -> int:
        """Have the workstation delete what is certified, if it may."""
        device = self._life.source_device or Device()
        question = DeleteFiles(path=self._order.path, root=plan.root, files=files, device=device)
        return await self._line.ask(question, timeout_s=LOOK_S)

    def reader(self, plan: Plan, held: Hold | None, cancelled: Callable[[], bool]) -> SourceReader:
        """Read over the mesh, at the pace that a guest keeps here; the agent keeps its own."""
        folder = self._repository.files_folder(self._import_id)

        def begun(path: str) -> Path:
            return folder / f"{path}{PART}"

        reader = AgentReader(
            self._line,
            import_id=self._import_id,
            root=plan.root,
            held=held,
            algorithm=self._algorithm,
            begun=begun,
            cancelled=cancelled,
        )
        return self._places.paced(reader, None, cancelled, import_id=self._import_id)

    def why_slow(self) -> str:
        """Why nothing is read just now, there or here, or slowly; empty when it is as fast as can be."""
        return self._places.why_slow()

    def local_root(self, plan: Plan) -> Path | None:
        """None: the files are on another host."""
        return None
