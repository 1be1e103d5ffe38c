"""The world around a mesh that dies: starts it again at once, keeps recorders attached, and goes on asking."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import psutil
from kills_at_omero import OmeroForKills
from mesh_that_dies import Kill, Killed

from hcs_mesh import Client, MeshError
from hcs_mesh.actors.analysis.patience import is_of_home
from hcs_mesh.messages.compute import AwaitJob, JobStatus, SubmitJob
from hcs_mesh.messages.imports import AwaitImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.transport import AskFailed, AskTimedOut, NodeMissing, PeerGone, Request

R = TypeVar("R")

MARK = "HCS_MESH_KILL_TEST"
"""Environment variable by which every process of one session is found again."""

N_RECORDERS = 2
ANSWER_S = 300.0


class KillSession:
    """One mesh, its deaths, and everything that was acknowledged meanwhile."""

    def __init__(self, folder: Path, plan: list[Kill], at: OmeroForKills | None = None) -> None:
        """``at`` is where the plates lie; None: in the local repository of the mesh."""
        self.data = folder / "data"
        self.imports: dict[str, str] = {}
        self.jobs: dict[str, str] = {}
        self.comebacks_s: list[float] = []
        self.n_hub_kills = 0
        self.hub_pids: set[int] = set()
        self._folder = folder
        self._plan_file = folder / "plan.json"
        self._plan_file.write_bytes(msgspec.json.encode(plan))
        self._log = folder / "killed.jsonl"
        self._recorders_file = folder / "recorders.json"
        self._recorders_file.write_bytes(b"[]")
        self._n_planned = len(plan)
        self._at = at
        self.n_server_kills = 0
        self._environment = {**os.environ, MARK: str(folder)}
        self._hub: asyncio.subprocess.Process | None = None
        self._recorders: list[subprocess.Popen[bytes]] = []
        self._n_recorders = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        up = asyncio.Event()
        self._tasks = [asyncio.create_task(self._keep_up(up))]
        await self._or_broken(up.wait())
        # At a server nobody records: of what is there the mesh's owner, whose key a recorder has, may see nothing.
        other = self._keep_recording() if self._at is None else self._keep_serving(self._at)
        self._tasks.append(asyncio.create_task(other))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for task in (*self._tasks, self._broken):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._hub is not None and self._hub.returncode is None:
            self._hub.kill()
            await self._hub.wait()
        for recorder in self._recorders:
            recorder.kill()
            recorder.wait()

    # -- what the test reads ----------------------------------------------------------------------

    def killed(self) -> list[Killed]:
        """Everything that was killed so far."""
        lines = self._log.read_bytes().splitlines() if self._log.exists() else []
        return [msgspec.json.decode(line, type=Killed) for line in lines]

    def n_left(self) -> int:
        """How many kills of the plan are still to come."""
        return self._n_planned - len({one.number for one in self.killed() if one.number >= 0})

    def survivors(self) -> list[psutil.Process]:
        """The living processes of this session other than the recorders."""
        recorders = {recorder.pid for recorder in self._recorders}
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self._folder) and process.pid not in recorders:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    # -- asking, whatever happens meanwhile -------------------------------------------------------

    async def ask(self, client: Client, actor: str, request: Request[R]) -> R:
        """Ask until there is an answer: every request that is sent this way may be repeated."""

        async def answer() -> R:
            while True:
                try:
                    return await client.ask(actor, request, timeout_s=20.0)
                except (PeerGone, AskTimedOut):
                    # The mesh was killed, and says nothing while it starts.
                    await asyncio.sleep(0.02)
                except AskFailed as error:
                    if self._at is None or not is_of_home(error):
                        raise
                    # The server was killed: what cannot be answered without it is refused until it is there again.
                    await asyncio.sleep(0.2)

        return await self._or_broken(asyncio.wait_for(answer(), ANSWER_S))

    def asker(self) -> Client:
        """A client of whoever the plates are to belong to: at OMERO a person of its own, else the mesh's owner."""
        return Client.at(self.data, key=self._at.key if self._at is not None else None)

    async def round(
        self, client: Client, source: Path, pipeline: str, number: str, *, asker: Client | None = None
    ) -> JobStatus:
        """One import and one job of its plate, each done; what is asked twice is done once.

        ``client`` hands the import over, for ``asker`` if that is another, who asks for the job.
        """
        asker = asker or client
        submit = SubmitImport(
            order=ImportOrder(path=str(source), forced=True),
            key=f"import of round {number}",
            on_behalf_of=self._at.person if self._at is not None else "",
        )
        import_id = self.imports[submit.key] = await self.ask(client, "imports", submit)
        imported: ImportStatus = await self._follow(
            lambda revision: self.ask(client, "imports", AwaitImport(import_id=import_id, revision=revision)),
            lambda status: status.state in ("done", "failed", "cancelled"),
        )
        assert imported.state == "done", f"{import_id}: {imported.reason} {imported.history}"
        run = SubmitJob(plate_id=imported.plate_ids[0], source=pipeline, key=f"job of round {number}")
        job = self.jobs[run.key] = await self.ask(asker, "scheduler", run)
        done: JobStatus = await self._follow(
            lambda revision: self.ask(asker, "scheduler", AwaitJob(job=job, revision=revision)),
            lambda status: status.state != "running",
        )
        assert done.state == "done", f"{job}: {done.reason} {done.faults}"
        assert await self.ask(client, "imports", submit) == import_id
        assert await self.ask(asker, "scheduler", run) == job
        return done

    async def stop(self) -> None:
        """Stop the mesh in order, and wait until it has ended."""
        self._stopping = True
        async with Client.at(self.data) as client:
            await client.stop()
        assert self._hub is not None
        assert await asyncio.wait_for(self._hub.wait(), 120.0) == 0, self._last_words()

    def kill_one(self, chance: random.Random) -> None:
        """Kill any one process of the mesh, now."""
        hub = self._hub
        if hub is None or hub.returncode is not None:
            return
        try:
            children = psutil.Process(hub.pid).children()
        except psutil.NoSuchProcess:
            return
        victims = [("hub", hub.pid), *(("child", child.pid) for child in children)]
        victims += [("recorder", recorder.pid) for recorder in self._recorders[-1:]]
        kind, pid = chance.choice(victims)
        if kind == "child":
            kind = "executor" if "executor" in _name(self.data, pid) else "inspector"
        line = msgspec.json.encode(Killed(-1, "any moment", "", kind, pid, time.time()))
        with self._log.open("ab") as log:
            log.write(line + b"\n")
        # A child that was shot a moment ago may be gone by now.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    # -- keeping things up ------------------------------------------------------------------------

    async def _keep_up(self, up: asyncio.Event) -> None:
        try:
            while not self._stopping:
                began = time.monotonic()
                with (self._folder / "hub.out").open("ab") as output:
                    self._hub = await asyncio.create_subprocess_exec(
                        sys.executable,
                        str(Path(__file__).with_name("mesh_that_dies.py")),
                        *map(str, (self.data, self._plan_file, self._log, self._recorders_file)),
                        *([] if self._at is None else [str(self._at.file)]),
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        env=self._environment,
                    )
                self.hub_pids.add(self._hub.pid)
                ending = asyncio.create_task(self._hub.wait())
                answering = asyncio.create_task(self._answers())
                await asyncio.wait([ending, answering], return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    answering.result()
                    self.comebacks_s.append(time.monotonic() - began)
                    up.set()
                code = await ending
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
                if code == -signal.SIGKILL:
                    self.n_hub_kills += 1
                elif not self._stopping:
                    raise AssertionError(f"the mesh ended with {code}: {self._last_words()}")
        except (AssertionError, MeshError, TimeoutError, OSError) as error:
            if not self._broken.done():
                self._broken.set_exception(AssertionError(f"the mesh does not stay up: {error!r}"))
            raise

    async def _answers(self) -> None:
        """Return once a client that dials anew has an answer."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                try:
                    async with Client.at(self.data) as client:
                        await client.status()
                        return
                except (NodeMissing, PeerGone, AskTimedOut, FileNotFoundError):
                    await asyncio.sleep(0.02)

    async def _keep_recording(self) -> None:
        while True:
            self._recorders = [recorder for recorder in self._recorders if recorder.poll() is None]
            while len(self._recorders) < N_RECORDERS:
                self._n_recorders += 1
                self._recorders.append(self._start_recorder())
            new = self._recorders_file.with_suffix(".new")
            new.write_bytes(msgspec.json.encode([recorder.pid for recorder in self._recorders]))
            new.replace(self._recorders_file)
            await asyncio.sleep(0.05)

    async def _keep_serving(self, at: OmeroForKills) -> None:
        while True:
            if at.server.has_died():
                self.n_server_kills += 1
                await asyncio.to_thread(at.start_again)
            await asyncio.sleep(0.05)

    def _start_recorder(self) -> subprocess.Popen[bytes]:
        with (self._folder / "recorders.out").open("ab") as output:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "hcs_mesh.viewers.recorder"),
                    *("--data", str(self.data), "--out", str(self._folder / f"recorded-{self._n_recorders}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
            )

    async def _follow(self, ask: Callable[[int], Awaitable[R]], is_over: Callable[[R], bool]) -> R:
        status = await ask(-1)
        while not is_over(status):
            status = await ask(status.revision)  # type: ignore[attr-defined]
        return status

    async def _or_broken(self, work: Awaitable[R]) -> R:
        """The result of ``work``, unless the mesh cannot be kept up."""
        task = asyncio.ensure_future(work)
        await asyncio.wait([task, self._broken], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            self._broken.result()
        return task.result()

    def _last_words(self) -> str:
        return (self._folder / "hub.out").read_text(errors="replace")[-6000:]


def _name(data: Path, pid: int) -> str:
    """The name of a child process of the mesh: that of its log."""
    try:
        return " ".join(Path(file.path).name for file in psutil.Process(pid).open_files() if str(data) in file.path)
    except psutil.NoSuchProcess:
        return ""
