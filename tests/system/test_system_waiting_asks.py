"""One key asks to wait for a job, tens of thousands of times and for a day each; the others are answered meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from free_ports import free_port
from waiting import eventually

from hcs_mesh.actors.analysis import job_records as records
from hcs_mesh.actors.analysis.scheduler import Scheduler
from hcs_mesh.messages.compute import AwaitJob, GetJob
from hcs_mesh.supervisors import MailboxLimits, Node
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.supervisors.shares import SHARES
from hcs_mesh.transport import (
    Dialer,
    KeyRing,
    Kind,
    Principal,
    ServerKey,
    codec,
    new_pair,
    tcp_endpoint,
)

pytestmark = pytest.mark.anyio

N_ASKS = 30_000
BATCH = 500
A_DAY_S = 86_000.0
MAX_WAITS = MailboxLimits().max_deferred // SHARES
MEMORY_MIB = 25
"""What so many waits may cost, at about 4 KiB each."""
SERVER = new_pair()
JOB = "job-0001"


class OpenMesh:
    """A real scheduler behind a real port, one well-behaved peer of it, and a socket of one that is not."""

    def __init__(self, node: Node, ring: KeyRing) -> None:
        self.node = node
        self.ring = ring
        self.endpoint = tcp_endpoint("127.0.0.1", free_port())
        node.listen_front(self.endpoint, SERVER, ring, silence_s=4.0)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.honest = Dialer(
            self.context,
            self.endpoint,
            lambda link, envelope: None,
            name="honest",
            key=self.key("honest"),
            server=ServerKey(public=SERVER.public),
        )
        self.flooder = self.context.socket(zmq.DEALER)
        self.flooder.setsockopt(zmq.LINGER, 0)
        key = self.key("flooder")
        self.flooder.curve_publickey, self.flooder.curve_secretkey = key.public.encode(), key.secret.encode()
        self.flooder.curve_serverkey = SERVER.public.encode()
        self.flooder.connect(self.endpoint.control)

    @property
    def statistics(self) -> dict[str, Any]:
        return self.node.cells["scheduler"].statistics()

    def key(self, name: str) -> Any:
        pair = new_pair()
        self.ring.allow(Principal(name=name, role="user"), pair.public)
        return pair

    async def flood(self, answers: Counter[str]) -> None:
        """Ask all of it, and count what is answered by its kind."""
        one = AwaitJob(job=JOB, revision=await self.revision(), wait_s=A_DAY_S)
        for first in range(1, N_ASKS, BATCH):
            asks = [codec.seal(Kind.ASK, first + n, "scheduler", A_DAY_S, one) for n in range(BATCH)]
            self.flooder.send(codec.join(asks))
            await self.revision()
            self.hear(answers)

    def hear(self, answers: Counter[str]) -> None:
        while self.flooder.poll(0):
            for envelope in codec.split(self.flooder.recv()):
                failed = envelope.kind == Kind.FAIL
                answers[codec.decode(envelope.body, codec.decoder(dict))["kind"] if failed else "status"] += 1

    async def revision(self) -> int:
        """What the honest peer is told, however much others ask."""
        return (await self.honest.link.ask("scheduler", GetJob(job=JOB), timeout_s=60.0)).revision


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[OpenMesh]:
    journal = tmp_path / "journal"
    async with await Journal.open(journal, record_type=records.Record) as written:
        submitted = records.Submitted(
            job=JOB,
            at_unix_s=time.time(),  # a job that ended long ago would be forgotten
            key="k",
            plate_id=1,
            plate_name="P",
            pipeline="counting",
            source="",
            source_name="",
            owner="ada",
            wells=("A01",),
        )
        ended = records.Ended(job=JOB, at_unix_s=time.time())
        await written.append_all([submitted, records.Cancelled(job=JOB, at_unix_s=time.time(), by="ada"), ended])
    (tmp_path / "keys").mkdir()
    node = Node("hub")
    life = await node.start_actor("scheduler", lambda: Scheduler(None, journal))  # type: ignore[arg-type]
    found = OpenMesh(node, KeyRing(tmp_path / "keys"))
    yield found
    found.honest.close()
    found.context.destroy(linger=0)
    await life.stop()
    await life.wait()
    await node.close()


def memory_mib() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss / 2**20)


async def test_a_flood_of_asks_that_wait_is_bounded_and_ends_with_its_asker(
    mesh: OpenMesh, tell: Callable[[str], None]
) -> None:
    answers: Counter[str] = Counter()
    await mesh.revision()
    before_mib = memory_mib()
    await mesh.flood(answers)
    n_refused = N_ASKS - MAX_WAITS

    def all_refused() -> bool:
        mesh.hear(answers)
        return answers.total() >= n_refused

    await eventually(all_refused, within_s=120.0, what="the refusals")
    assert answers == {"MailboxFull": n_refused}
    assert mesh.statistics["deferred"] == MAX_WAITS
    grown_mib = memory_mib() - before_mib
    assert grown_mib < MEMORY_MIB
    revision = await mesh.revision()
    wait = AwaitJob(job=JOB, revision=revision, wait_s=0.1)
    assert (await mesh.honest.link.ask("scheduler", wait)).job == JOB, "there is room for the waits of others"
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    mesh.flooder.close()
    await eventually(lambda: mesh.statistics["deferred"] == 0, within_s=30.0, what="the end of the waits")
    tell(
        f"waiting asks: of {N_ASKS:,} by one key {MAX_WAITS:,} waited and cost {grown_mib:.0f} MiB; gone "
        f"{loop.time() - began_s:.1f} s after it hung up"
    )
    assert (await mesh.honest.link.ask("scheduler", AwaitJob(job=JOB, revision=revision, wait_s=0.0))).job == JOB
