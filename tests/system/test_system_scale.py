"""Many actors and many nodes start, answer and stop; bench/scale.py measures the thousand and what they weigh."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import PeerRef, Request, ipc_endpoint

pytestmark = pytest.mark.anyio

N_ACTORS = 300
N_NODES = 6

CHILD = """
import asyncio, sys
from pathlib import Path
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Request, ipc_endpoint


class Answer(Request[int], frozen=True, kw_only=True, tag="scale.answer"):
    number: int


class Echo(Actor[Answer]):
    async def receive(self, message):
        return message.number


async def main(name, folder):
    node = Node(name)
    life = await node.start_actor("echo", Echo)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    node.dial_parent(ipc_endpoint(Path(folder), "inner"))
    await over.wait()
    await life.stop()
    await life.wait()
    await node.close()


asyncio.run(main(*sys.argv[1:]))
"""


class Answer(Request[int], frozen=True, kw_only=True, tag="scale.answer"):
    number: int


class Echo(Actor[Answer]):
    async def receive(self, message: Answer) -> int:
        return message.number


async def ask_s(node: Node, n_asks: int = 3_000) -> float:
    """The seconds of an ask, the quickest of a few passes."""
    ask, passes = node.find("first").ask, []
    for _ in range(5):
        start = time.perf_counter()
        for number in range(n_asks // 5):
            await ask(Answer(number=number))
        passes.append((time.perf_counter() - start) / (n_asks // 5))
    return min(passes)


async def test_hundreds_of_actors_answer_and_make_no_message_dearer() -> None:
    node = Node("many")
    first = await node.start_actor("first", Echo)
    alone_s = await ask_s(node)
    lives = [await node.start_actor(f"actor{number}", Echo) for number in range(N_ACTORS)]
    refs = [node.find(f"actor{number}") for number in range(N_ACTORS)]
    answers = await asyncio.gather(*(ref.ask(Answer(number=number)) for number, ref in enumerate(refs)))
    assert answers == list(range(N_ACTORS))
    # Not a measurement, which is bench/scale.py's to make: a cost that grew with the actors would be a hundredfold.
    assert await ask_s(node) < 30 * alone_s
    for life in (*lives, first):
        await life.stop()
    ends = await asyncio.gather(*(life.wait() for life in (*lives, first)))
    assert {end.reason for end in ends} == {"shutdown"}
    await node.close()


async def test_several_nodes_of_one_actor_each_answer_at_once_and_end_with_their_parents_pipe(tmp_path: Path) -> None:
    node = Node("parent")
    node.listen_inner(ipc_endpoint(tmp_path, "inner"))
    names = [f"node{number}" for number in range(N_NODES)]
    expected = [node.expect(name) for name in names]
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, name, str(tmp_path), stdin=asyncio.subprocess.PIPE
        )
        for name in names
    ]
    try:
        links = await asyncio.wait_for(asyncio.gather(*expected), 150.0)
        asks = [PeerRef(link, "echo").ask(Answer(number=number)) for number, link in enumerate(links)]
        assert await asyncio.gather(*asks) == list(range(N_NODES))
        for child in children:
            assert child.stdin is not None
            child.stdin.close()
        assert await asyncio.wait_for(asyncio.gather(*(child.wait() for child in children)), 60.0) == [0] * N_NODES
        # Their processes may be gone before what they said last is heard.
        await eventually(lambda: not node.child_links(), what="the end of the links")
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
                await child.wait()
        await node.close()
