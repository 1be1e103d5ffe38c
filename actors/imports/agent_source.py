"""A source on a workstation, behind its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...config import get_logger
from ...messages.agents import (
    AskFreeSpace,
    AskHeldSpace,
    CompareFiles,
    DeleteFiles,
    HoldFiles,
    LetGoFiles,
    ListFiles,
    PlanFolder,
    ProbeFolder,
    ReleaseFiles,
    ScanFolder,
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
from .agent_line import AgentLine
from .agent_reader import AgentReader
from .life import ImportLife
from .places import ImportPlaces
from .readiness import Scan
from .serving_agents import AgentAway, ServingAgents

log = get_logger(__name__)

LOOK_S = 600.0
"""How long a workstation may take to look at a source; that it is away is known long before."""
READ_AGAIN_S = 6 * 3600.0
"""How long it may take to read files again whose checksums it does not remember."""


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
        self._line = AgentLine(agents.awaited(life.order.agent), loop)
        self._repository = repository
        self._places = places
        self._algorithm = algorithm

    async def reachable(self) -> None:
        """Return once the workstation is there."""
        await self._line.agent.reached()

    async def scan(self) -> Scan:
        """Look at every file."""
        order = self._order
        question = ScanFolder(path=order.path, only=order.only, exclude=order.exclude)
        files = await self._line.ask(question, timeout_s=LOOK_S)
        return Scan({file.path: (file.size, file.mtime_ns, file.inode) for file in files})

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

    async def hold(self, files: tuple[SourceFile, ...], plan: Plan) -> Hold:
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
            except AgentAway:
                if agent.here and agent.link is not asked:
                    # It came back before this was heard of its last link, and was told by then what it owed.
                    continue
                agent.owed[self._import_id] = question.hold
                await asyncio.to_thread(self._agents.remember)
            except NotServed as error:
                # It was started without that folder: once it serves it again, it lets go of what is over.
                log.warning("links to files of an ended import stay", agent=agent.name, reason=str(error))
            return

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
        return self._places.paced(reader, None, cancelled)

    def local_root(self, plan: Plan) -> Path | None:
        """None: the files are on another host."""
        return None
