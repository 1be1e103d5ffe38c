"""One life of the import branch: the real actors on real files, with somebody who can hold every step of them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_bugs
import msgspec
from fault_schedules import DURING, Going, Report

from hcs_mesh.actors import ledger
from hcs_mesh.actors.imports import news
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.config import ImportSettings, MailSettings, MeshError, NoticeSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import ImportOrder, ImportStatus, ListImports, RetryImport, SubmitImport
from hcs_mesh.messages.listing import MOST_LISTED
from hcs_mesh.messages.notices import ListNotices
from hcs_mesh.plates.local import LocalRepository, small_files
from hcs_mesh.plates.local.disk_file import DiskFile
from hcs_mesh.plates.local.folder_reader import OpenFile
from hcs_mesh.supervisors import Backoff, Node, RestartIntensity, Supervisor
from hcs_mesh.supervisors.journal import Journal, JournalFull
from hcs_mesh.transport import AskFailed, Request

SEGMENT_BYTES = 1 << 10
"""A new one is begun now and then, for which a full disk has no room."""
LOOK_S = 0.004
AGAIN_S = 0.01
PATTERN = "{well}_{channel}.tif"
GO, RETRY = b"g", b"r"
QUICKLY = Backoff(first_s=0.005, max_s=0.02)


class Gate:
    """Says where the life stands, and lets it on when the world says so."""

    def __init__(self, tell: int, hear: int) -> None:
        self._tell = tell
        self._hear = hear
        self._one_at_a_time = threading.Lock()
        self._encode = msgspec.json.Encoder().encode

    def at(self, point: str, side: str = "", *, of: str = "", **facts: Any) -> bytes:
        """Report, and wait for the word."""
        with self._one_at_a_time:
            os.write(self._tell, self._encode(Report(point=point, side=side, of=of, facts=facts)) + b"\n")
            word = os.read(self._hear, 1)
        if not word:
            os._exit(3)
        return word


def point_of(record: Any) -> str:
    """The name of a record's place: its tag, and the phase that it begins."""
    tag = str(record.__struct_config__.tag)
    return f"{tag}.{record.phase}" if tag == "import.entered" else tag


def hold_at_records(gate: Gate) -> None:
    """Stop at both sides of every append of every journal."""
    append = Journal.append

    async def held_append(journal: Journal[Any], record: Any) -> int:
        point, of = point_of(record), getattr(record, "import_id", "") or getattr(record, "notice_id", "")
        gate.at(point, "before", of=of)
        try:
            sequence = await append(journal, record)
        except JournalFull:
            gate.at("journal full", point, of=of)
            raise
        gate.at(point, "after", of=of, n_to=len(getattr(record, "to", ())))
        return sequence

    Journal.append = held_append  # type: ignore[method-assign]


class Bytes:
    """Counts the bytes that pass, and stops between two of them."""

    def __init__(self, gate: Gate, point: str, stop_at: int) -> None:
        self._gate = gate
        self._point = point
        self._left = stop_at
        self._counting = threading.Lock()

    def wrap(self, owner: Any, *, shorten: bool) -> None:
        """Look at everything that is read into a buffer; a read ends where the stop is."""
        real: Callable[[Any, memoryview], int] = owner.read_into

        def read_into(file: Any, buffer: memoryview) -> int:
            with self._counting:
                left = self._left
            if left < 0:
                return real(file, buffer)
            n = real(file, buffer[: left + 1] if shorten else buffer)
            with self._counting:
                before, self._left = self._left, self._left - n
            if before >= 0 > self._left or (before >= 0 and n == 0 and before == 0):
                self._gate.at(self._point, DURING)
            return n

        owner.read_into = read_into

    def wrap_small(self) -> None:
        """Look at small files, too, which are read at once: the one that the stop is in, on both sides of it."""
        real = small_files.read_content

        def read_content(descriptor: int, n_bytes: int) -> bytes:
            with self._counting:
                left, self._left = self._left, self._left - n_bytes
            if not left >= 0 > self._left:
                return real(descriptor, n_bytes)
            content = real(descriptor, left)
            self._gate.at(self._point, DURING)
            return content + real(descriptor, n_bytes - left)

        small_files.read_content = read_content


def live(going: Going, tell: int, hear: int) -> None:
    """Be the import branch until the world lets go or kills it; never returns."""
    code = 1
    try:
        logging.disable(logging.CRITICAL)
        gate = Gate(tell, hear)
        ledger.AGAIN_S = news.AGAIN_S = AGAIN_S
        if going.bug:
            for owner, name, faulty in fault_bugs.PLANTED[going.bug].patches():
                setattr(owner, name, faulty)
        hold_at_records(gate)
        if going.transfer_byte >= 0:
            transferred = Bytes(gate, "transfer byte", going.transfer_byte)
            transferred.wrap(OpenFile, shorten=True)
            transferred.wrap_small()
        if going.verify_byte >= 0:
            Bytes(gate, "verify byte", going.verify_byte).wrap(DiskFile, shorten=False)
        asyncio.run(Branch(going, gate).run())
        code = 0
    except BaseException as error:  # noqa: BLE001 - the process ends here, and says why
        import traceback

        traceback.print_exc()
        print(f"a life ended by {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


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
            roots=(RootSettings(path=going.scope),),
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
        repository = await self._up(lambda: LocalRepository(self._data))
        # Each attempt is a tree of its own, as each `up` is.
        tree = await self._up_tree(repository)
        try:
            ids = {key: await self._submit(key) for key in self._going.keys}
            self._gate.at("acknowledged", ids=ids)
            await self._until_over()
            while self._gate.at("ended", ends=await self._ends(), modules=sorted(sys.modules)) == RETRY:
                for one in await self._ask("imports", ListImports(limit=MOST_LISTED)):
                    if one.state == "failed":
                        await self._ask("imports", RetryImport(import_id=one.import_id))
                await self._until_over()
        finally:
            await tree.stop()
            repository.close()
            await self._node.close()

    async def _up(self, start: Callable[[], Any]) -> Any:
        while True:
            try:
                return start()
            except MeshError as error:
                self._gate.at("start failed", reason=str(error))
                await asyncio.sleep(AGAIN_S)

    async def _up_tree(self, repository: LocalRepository) -> Supervisor:
        node, data, settings = self._node, self._data, self._settings

        def imports() -> ImportProxy:
            self._proxy = ImportProxy(
                repository,
                data / "journal" / "imports",
                settings,
                places=ImportPlaces(data, settings),
                prover=LocalProver(repository, data, data / "keys", settings),
                segment_bytes=SEGMENT_BYTES,
            )
            return self._proxy

        def notifier() -> Notifier:
            quick = NoticeSettings(first_retry_s=0.01, longest_retry_s=0.04)
            return Notifier(data / "journal" / "notices", quick, self._mail, segment_bytes=SEGMENT_BYTES)

        while True:
            tree = Supervisor(
                "mesh",
                [
                    node.actor("metadata", lambda: MetadataCache(repository), kind=MetadataCache, backoff=QUICKLY),
                    node.actor("notifier", notifier, kind=Notifier, backoff=QUICKLY),
                    node.actor("inspector", Inspector, kind=Inspector, backoff=QUICKLY),
                    node.actor("imports", imports, kind=ImportProxy, backoff=QUICKLY),
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
        order = ImportOrder(path=self._going.plate, pattern=PATTERN, name="Plate", mail=self._going.ada)
        return str(await self._ask("imports", SubmitImport(order=order, key=key)))

    async def _ask(self, actor: str, request: Request[Any]) -> Any:
        """Ask until there is an answer: every request here may be repeated."""
        while True:
            try:
                return await self._node.find(actor).ask(request, timeout_s=10.0)
            except AskFailed as error:
                if isinstance(request, RetryImport) and error.failure.kind in ("ImportEnded", "ImportedAlready"):
                    return None
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
        while True:
            imports: tuple[ImportStatus, ...] = await self._ask("imports", ListImports(limit=MOST_LISTED))
            if all(one.state in ("done", "failed", "cancelled") for one in imports) and not self._proxy._book.untold():
                notices = await self._ask("notifier", ListNotices())
                if all(one.state == "delivered" for one in notices):
                    return
            await asyncio.sleep(LOOK_S)
