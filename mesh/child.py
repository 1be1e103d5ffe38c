"""What a child process of the mesh runs: one actor on a node of its own, which ends with its parent."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import msgspec

from .actors.nodes.node_desk import NodeDesk
from .config import LogSettings, start_logging
from .config.format_settings import BioformatsSettings
from .plates.java_machine import use_bioformats
from .plates.omero.address import OmeroReading
from .supervisors import Actor, Node
from .supervisors.child import Exit
from .supervisors.lifeline import end_with_parent
from .transport import Endpoint, Kind
from .vitals import NODE_DESK, sign_of_life

BEAT_S = 0.5


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a parent writes to its child's stdin, as one line of JSON."""

    role: Literal["inspector", "executor"]
    name: str
    endpoint: Endpoint
    log_file: str
    log: LogSettings = LogSettings()
    device: str = "cpu"
    n_threads: int = 1
    message_bytes: int = 64 << 20
    bioformats: BioformatsSettings = BioformatsSettings()
    omero: OmeroReading | None = None
    """Where planes at OMERO are; in whose session they are read, the hub is asked."""


def main() -> None:
    """Run the child that stdin describes, and exit with 0 after an ordered stop."""
    spec = msgspec.json.decode(end_with_parent(), type=ChildSpec)
    start_logging(spec.log, file=Path(spec.log_file))
    use_bioformats(spec.bioformats)
    ended = asyncio.run(_run(spec)) if sys.platform == "win32" else _run_on_uvloop(spec)
    sys.exit(0 if ended.reason in ("shutdown", "normal") else 1)


def _run_on_uvloop(spec: ChildSpec) -> Exit:
    import uvloop

    ended: Exit = uvloop.run(_run(spec))
    return ended


def _actor(spec: ChildSpec) -> Actor[Any]:
    # Imported for the role alone: the inspector needs no OpenCV, and starts in half the time.
    if spec.role == "inspector":
        from .actors.inspector import Inspector

        return Inspector()
    from .actors.analysis.executor import Executor

    return Executor(spec.device, n_threads=spec.n_threads)


async def _run(spec: ChildSpec) -> Exit:
    with ExitStack() as reading:
        node = Node(spec.name)
        if spec.omero is not None:
            # Imported where it is wanted: most meshes have their plates elsewhere.
            from .omero_planes import lent_planes

            reading.enter_context(lent_planes(spec.omero, node))
        return await _run_node(spec, node)


async def _run_node(spec: ChildSpec, node: Node) -> Exit:
    actor = _actor(spec)
    life = await node.start_actor(spec.name, lambda: actor)
    await node.start_actor(NODE_DESK, lambda: NodeDesk(node))
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(life.stop()))
    # Dialled last: by the time the parent hears hello, the actor answers.
    dialer = node.dial_parent(spec.endpoint, max_message_bytes=spec.message_bytes)

    async def beat() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(BEAT_S)
            lag_s = max(0.0, loop.time() - before - BEAT_S)
            dialer.link.say(Kind.BEAT, body=sign_of_life(node, spec.name, spec.device, loop_lag_s=lag_s))

    beating, living = loop.create_task(beat()), loop.create_task(life.wait())
    try:
        await asyncio.wait((beating, living), return_when=asyncio.FIRST_COMPLETED)
        if beating.done():
            # Without a sign of life it would be killed as hung: rather it ends now, with what befell the beat.
            beating.result()
        return await living
    finally:
        beating.cancel()
        await node.close()


if __name__ == "__main__":
    main()
