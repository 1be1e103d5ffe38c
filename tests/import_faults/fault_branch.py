"""The import branch of a life: the real actors on real files, and the people who use them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from fault_gate import GO_ON, RETRY, Gate
from fault_schedules import Going
from fault_ways import AGENT, IN_PLACE, WATCH
from fault_workstation import NAME, QUICKLY, SILENCE_S

from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.serving_agents import ServingAgents
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.actors.watching.watcher import Watcher
from hcs_mesh.config import ImportSettings, MailSettings, MeshError, NoticeSettings, WatchSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import ImportOrder, ImportStatus, ListImports, RetryImport, SubmitImport
from hcs_mesh.messages.listing import MOST_LISTED
from hcs_mesh.messages.notices import ListNotices
from hcs_mesh.messages.watches import ListWatches
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node, RestartIntensity, Supervisor
from hcs_mesh.transport import AskFailed, KeyPair, KeyRing, Request, ipc_endpoint

SEGMENT_BYTES = 1 << 10
"""A new one is begun now and then, for which a full disk has no room."""
LOOK_S = 0.004
AGAIN_S = 0.01
N_LOOKS = 4
"""A watched folder at which nothing was to be done in so many looks is at rest."""
PATTERN = "{well}_{channel}.tif"


class DeletionRefused(Exception):
    """The source is not to be deleted, says the mesh."""


class Branch:
    """The actors of the import branch under a supervisor, and the people who use it."""

    def __init__(self, going: Going, gate: Gate) -> None:
        self._going = going
        self._gate = gate
        self._data = Path(going.data)
        self._settings = ImportSettings(
            settle_s=0.004,
            pending_patience_s=0.02,
            first_retry_s=0.01,
            longest_retry_s=0.04,
            max_attempts=12,
            held_look_s=0.05,
            held_floor_gib=0.0,
            # Source and repository are file systems of their own here, and both in memory.
            certify_same_disk=True,
            roots=(RootSettings(path=going.scope, delete_source=going.may_delete),),
        )
        self._watches = WatchSettings(
            path=going.scope,
            mail=going.ada,
            pattern=PATTERN,
            sentinel=going.sentinel,
            look_s=0.01,
            full_look_s=0.01,
            deep_look_s=0.02,
            quiet_s=0.03,
        )
        self._mail = MailSettings(
            host="127.0.0.1",
            port=going.mail_port,
            security="none",
            sender="mesh@example.org",
            administrators=(going.administrator,),
        )

    async def run(self) -> None:
        """Live."""
        self._node = Node("hub")
        if self._going.way == AGENT:
            key = KeyPair(public=self._going.keys_of_mesh[0], secret=self._going.keys_of_mesh[1])
            ring = KeyRing(Path(self._going.ring))
            self._node.listen_front(ipc_endpoint(Path(self._going.front), "front"), key, ring, silence_s=SILENCE_S)
        repository = await self._up(lambda: LocalRepository(self._data))
        # Each attempt is a tree of its own, as each `up` is.
        tree = await self._up_tree(repository)
        try:
            ids = {key: await self._submit(key) for key in self._going.keys}
            self._gate.at("acknowledged", ids=ids)
            await self._until_over()
            while (word := await self._say_ended()) in (RETRY, GO_ON):
                for one in await self._ask("imports", ListImports(limit=MOST_LISTED)):
                    if word == RETRY and one.state == "failed":
                        await self._ask("imports", RetryImport(import_id=one.import_id))
                await self._until_over()
        finally:
            await tree.stop()
            repository.close()
            await self._node.close()

    async def _say_ended(self) -> bytes:
        return self._gate.at("ended", ends=await self._ends(), modules=sorted(sys.modules))

    async def _up(self, start: Callable[[], Any]) -> Any:
        while True:
            try:
                return start()
            except MeshError as error:
                self._gate.at("start failed", reason=str(error))
                await asyncio.sleep(AGAIN_S)

    async def _up_tree(self, repository: LocalRepository) -> Supervisor:
        node, data, settings = self._node, self._data, self._settings
        agents = self._agents = ServingAgents(data / "agents.json")

        def imports() -> ImportProxy:
            self._proxy = ImportProxy(
                repository,
                data / "journal" / "imports",
                settings,
                places=ImportPlaces(data, settings, agents=agents),
                prover=LocalProver(repository, data, data / "keys", settings),
                segment_bytes=SEGMENT_BYTES,
            )
            return self._proxy

        def notifier() -> Notifier:
            quick = NoticeSettings(first_retry_s=0.01, longest_retry_s=0.04)
            return Notifier(data / "journal" / "notices", quick, self._mail, segment_bytes=SEGMENT_BYTES)

        def watcher() -> Watcher:
            journal = data / "journal" / "watches"
            return Watcher((self._watches,), journal, repository, data=data, segment_bytes=SEGMENT_BYTES)

        def desk() -> AgentDesk:
            return AgentDesk(agents, hang_up=node.hang_up, silence_s=SILENCE_S)

        last = []
        if self._going.way == WATCH:
            last.append(node.actor("watches", watcher, kind=Watcher, backoff=QUICKLY))
        if self._going.way == AGENT:
            last.append(node.actor("agents", desk, kind=AgentDesk, backoff=QUICKLY))
        while True:
            tree = Supervisor(
                "mesh",
                [
                    node.actor("metadata", lambda: MetadataCache(repository), kind=MetadataCache, backoff=QUICKLY),
                    node.actor("notifier", notifier, kind=Notifier, backoff=QUICKLY),
                    node.actor("inspector", Inspector, kind=Inspector, backoff=QUICKLY),
                    node.actor("imports", imports, kind=ImportProxy, backoff=QUICKLY),
                    *last,
                ],
                intensity=RestartIntensity(max_restarts=10_000, window_s=1.0),
            )
            try:
                return await tree.start()
            except (MeshError, OSError) as error:
                self._gate.at("start failed", reason=str(error))
                await asyncio.sleep(AGAIN_S)

    # -- people ---------------------------------------------------------------------------------------

    async def _submit(self, key: str) -> str:
        going = self._going
        order = ImportOrder(
            path=going.plate,
            pattern=PATTERN,
            name="Plate",
            mail=going.ada,
            mode="in-place" if going.way == IN_PLACE else "upload",
            agent=NAME if going.way == AGENT else "",
            delete_source=going.deletes,
        )
        try:
            return str(await self._ask("imports", SubmitImport(order=order, key=key)))
        except DeletionRefused:
            # Then it is imported, and stays where it is.
            kept = msgspec.structs.replace(order, delete_source=False)
            return str(await self._ask("imports", SubmitImport(order=kept, key=key)))

    async def _ask(self, actor: str, request: Request[Any]) -> Any:
        """Ask until there is an answer: every request here may be repeated."""
        while True:
            try:
                return await self._node.find(actor).ask(request, timeout_s=10.0)
            except AskFailed as error:
                if isinstance(request, RetryImport) and error.failure.kind in ("ImportEnded", "ImportedAlready"):
                    return None
                if error.failure.kind == "NotAllowed" and self._going.deletes:
                    raise DeletionRefused from error
            except MeshError:
                pass
            await asyncio.sleep(AGAIN_S)

    async def _ends(self) -> dict[str, str]:
        return {
            one.import_id: f"{one.state}: {one.reason}"
            for one in await self._ask("imports", ListImports(limit=MOST_LISTED))
        }

    async def _until_over(self) -> None:
        """Wait until every import has ended, and everybody has heard of every end."""
        n_looks = -1
        while True:
            imports: tuple[ImportStatus, ...] = await self._ask("imports", ListImports(limit=MOST_LISTED))
            if all(one.state in ("done", "failed", "cancelled") for one in imports) and not self._proxy._book.untold():
                notices = await self._ask("notifier", ListNotices())
                if all(one.state == "delivered" for one in notices):
                    if self._going.way != WATCH and self._nothing_owed():
                        return
                    now = await self._looks_at_rest()
                    n_looks = now if n_looks < 0 or now < 0 else n_looks
                    if n_looks >= 0 and now >= n_looks + N_LOOKS:
                        return
            else:
                n_looks = -1
            await asyncio.sleep(LOOK_S)

    def _nothing_owed(self) -> bool:
        """Whether the workstation has been told everything, where there is one."""
        if self._going.way != AGENT:
            return True
        agent = self._agents.agents.get(NAME)
        return agent is not None and agent.here and not agent.owed

    async def _looks_at_rest(self) -> int:
        """How often the watched folder was looked at; -1 while there is something to be done with it, or no such."""
        if self._going.way != WATCH:
            return -1
        (watch,) = await self._ask("watches", ListWatches())
        statistics = self._node.cells["watches"].statistics()
        if watch.state != "there" or watch.waiting or statistics["busy"]:
            return -1
        return int(statistics["looks"])
