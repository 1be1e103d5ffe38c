"""Planes of 8 MiB from the publisher to a follower in another process on this host: ``python bench/publisher.py``.

All that a viewer's stream goes through: publisher, pump, ring, bridge, an encrypted link, a follower, its
acknowledgements, credits. The pixels come from memory, as those of the references do.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from planes import COPIED, N_CREDITS, N_SLOTS, PLANE_MIB, SHAPE, block_copied_out, memcpy
from rounds import pin
from rows import Row

from hcs_mesh.actors.viewing.plane_history import PlaneHistory
from hcs_mesh.actors.viewing.publisher import Publisher
from hcs_mesh.actors.viewing.ring_keeper import RingKeeper
from hcs_mesh.actors.viewing.viewer_bridge import ViewerBridge
from hcs_mesh.messages.frames import Fact, Frame, PlaneUnreadable
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.messages.viewing import Contents, Subject
from hcs_mesh.plates.model import Image, Plate, build_plate
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Dialer, KeyPair, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.viewers.follower import Follower

N_WARM, N_PLANES = 16, 256
ROUNDS = 5


class _Plates(Actor[GetPlate]):
    """A metadata cache that knows one plate, whose planes lie in one stack."""

    def __init__(self) -> None:
        images = [Image("A01", 1, 0, z, 0, "plane", "stack", z, *SHAPE, "uint16") for z in range(N_WARM + N_PLANES)]
        self._plate = build_plate(images, id=1, name="planes", channels=("DNA",), root="/")

    async def receive(self, message: GetPlate) -> Plate:
        return self._plate


class _NoResults:
    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        return ()


class _Screen:
    """Looks at each plane's corners, and counts from when everything is warm."""

    def __init__(self) -> None:
        self.n_planes = 0
        self.began_s = 0.0
        self.speed = asyncio.get_running_loop().create_future()

    def begin(self, contents: Contents) -> None:
        pass

    def plane(self, frame: Frame, pixels: Any) -> None:
        assert pixels[0, 0] + pixels[-1, -1] == 2
        self.n_planes += 1
        if self.n_planes == N_WARM:
            self.began_s = time.perf_counter()
        elif self.n_planes == N_WARM + N_PLANES:
            self.speed.set_result(N_PLANES * PLANE_MIB / (time.perf_counter() - self.began_s))

    def unreadable(self, report: PlaneUnreadable) -> None:
        raise RuntimeError(report.reason)

    def fact(self, fact: Fact, *, n_waiting: int) -> None:
        pass

    def state(self, text: str) -> None:
        pass


async def _follow(folder: Path, key: KeyPair, server: ServerKey) -> float:
    context: zmq.Context[Any] = zmq.Context()
    screen = _Screen()
    follower = Follower(
        lambda deliver: Dialer(
            context, ipc_endpoint(folder, "front"), deliver, name="follower", key=key, server=server
        ),
        screen,
        kind="recorder",
        subject=Subject(plate_id=1),
    )
    running = asyncio.create_task(follower.run())
    await asyncio.wait([running, screen.speed], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    found: float = screen.speed.result()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    context.term()
    return found


async def _publish(folder: Path) -> float:
    source = np.ones(SHAPE, np.uint16)

    def read(root: str, file: str, page: int = 0, *, out: Any = None, requester: str = "") -> Any:
        np.copyto(out, source)
        return out

    keys, viewer, node = KeyRing(folder / "keys"), new_pair(), Node("hub")
    server = new_pair()
    keys.allow(Principal(name="viewer", role="viewer"), viewer.public)
    node.listen_front(ipc_endpoint(folder, "front"), server, keys)
    rings = RingKeeper(slot_bytes=PLANE_MIB << 20, n_slots=N_SLOTS)
    lives = [
        await node.start_actor("metadata", _Plates),
        await node.start_actor(
            "publisher", lambda: Publisher(rings.renew, PlaneHistory(_NoResults()), n_credits=N_CREDITS, read=read)
        ),
        await node.start_actor("viewers", ViewerBridge),
    ]
    command = [sys.executable, __file__, "--follower", str(folder), viewer.public, viewer.secret, server.public]
    follower = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    told, _ = await follower.communicate()
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()
    rings.close()
    if follower.returncode:
        raise RuntimeError("the follower did not see all planes")
    return float(told)


def _run(work: Any) -> Any:
    import uvloop

    return uvloop.run(work)


def ours() -> float:
    """MiB per second from the publisher to a follower that looks at each plane's corners."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as folder:
        pin(0)
        try:
            found: float = _run(_publish(Path(folder)))
        finally:
            os.sched_setaffinity(0, cores)
    return found


def measure() -> list[Row]:
    """Measure it beside its references, taking turns."""
    rounds = [(memcpy(), block_copied_out(), ours()) for _ in range(ROUNDS)]
    copied, blocks, found = (statistics.median(one[side] for one in rounds) for side in range(3))
    name = "planes: publisher to follower"
    return [
        Row(name=f"{name} / warm memcpy", reference=copied, ours=found, unit="MiB/s", target=0.8),
        Row(name=f"{name} / {COPIED}", reference=blocks, ours=found, unit="MiB/s", target=10.0),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--follower"]:
        folder, public, secret, server = sys.argv[2:]
        pin(1)
        sys.stdout.write(
            str(_run(_follow(Path(folder), KeyPair(public=public, secret=secret), ServerKey(public=server))))
        )
    else:
        for found in measure():
            print(found)
