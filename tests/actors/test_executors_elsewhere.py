"""The mesh's own side of executors of other hosts, when their branch of the tree is started again."""

import asyncio

import pytest
from host_lab import PLATE, THERE

from hcs_mesh.actors.analysis.executors_elsewhere import ExecutorsElsewhere
from hcs_mesh.actors.nodes.joined_nodes import RemoteNode
from hcs_mesh.messages.compute import CompilePipeline
from hcs_mesh.supervisors import Node, Supervisor
from hcs_mesh.transport import ActorUnknown

pytestmark = pytest.mark.anyio

CHECK = CompilePipeline(source="", source_name="", plate=PLATE, wells=())


async def test_a_branch_that_is_started_again_has_the_executors_that_had_appeared_in_it() -> None:
    node = Node("hub")
    elsewhere = ExecutorsElsewhere(node, Supervisor("executors elsewhere"))
    top = Supervisor("top", [elsewhere.supervisor])
    await top.start()
    try:
        host = RemoteNode("hostb")
        elsewhere.appear(THERE, host)
        elsewhere.appear(THERE, host)
        for _ in range(2):
            with pytest.raises(ActorUnknown, match="the node hostb is away"):
                await asyncio.wait_for(node.find(THERE).ask(CHECK), 20)
            await top.restart_child("executors elsewhere")
    finally:
        await top.stop()
        await node.close()


async def test_an_executor_that_appears_while_its_branch_is_down_comes_up_with_it() -> None:
    node = Node("hub")
    elsewhere = ExecutorsElsewhere(node, Supervisor("executors elsewhere"))
    elsewhere.appear(THERE, RemoteNode("hostb"))
    asked = asyncio.ensure_future(node.find(THERE).ask(CHECK))
    await asyncio.sleep(0)
    await elsewhere.supervisor.start()
    try:
        with pytest.raises(ActorUnknown, match="the node hostb is away"):
            await asyncio.wait_for(asked, 20)
    finally:
        await elsewhere.supervisor.stop()
        await node.close()
