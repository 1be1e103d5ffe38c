"""A child process that can give no sign of life ends by itself, before it is taken for hung."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.child import ChildSpec
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.launch import start_process
from hcs_mesh.supervisors.process import ProcessChild, ProcessSpec
from hcs_mesh.transport import ipc_endpoint

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="children are reached by Unix sockets"),
]

ON_A_LOST_CARD = """
import sys
from types import ModuleType, SimpleNamespace


def lost(number):
    raise RuntimeError("the card has fallen off the bus")


sys.modules["cupy"] = cupy = ModuleType("cupy")
cupy.cuda = SimpleNamespace(Device=lost)
from hcs_mesh.child import main

main()
"""


async def test_a_child_whose_beat_fails_ends_with_what_befell_it(tmp_path: Path) -> None:
    node = Node("hub")
    endpoint = ipc_endpoint(tmp_path, "inner")
    node.listen_inner(endpoint)
    up = node.expect("inspector")

    async def ready(child: ProcessChild) -> None:
        await up

    spec = ChildSpec(
        role="inspector", name="inspector", endpoint=endpoint, log_file=str(tmp_path / "log"), device="cuda:0"
    )
    try:
        child = await start_process(
            ProcessSpec(
                argv=(sys.executable, "-c", ON_A_LOST_CARD), spec=msgspec.json.encode(spec), log=tmp_path / "out"
            ),
            ready=ready,
        )
        ended = await asyncio.wait_for(child.wait(), 30.0)
        assert (ended.reason, ended.exit_code) == ("failed", 1)
        assert "the card has fallen off the bus" in ended.error
    finally:
        await node.close()
