"""What a class of actors takes in is kept once for the class, as long as there is one."""

import gc
import weakref

import pytest

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.inbox import inbox_of
from hcs_mesh.transport import BadMessage, Request

pytestmark = pytest.mark.anyio


class Ask(Request[int], frozen=True, kw_only=True, tag="inboxes.ask"):
    pass


class AskMore(Request[int], frozen=True, kw_only=True, tag="inboxes.ask_more"):
    pass


def made() -> type[Actor[Ask]]:
    class Made(Actor[Ask]):
        async def receive(self, message: Ask) -> int:
            return 1

    return Made


async def test_a_class_that_nobody_needs_any_more_is_not_kept() -> None:
    classes = []
    for number in range(3):
        kind, node = made(), Node("n")
        life = await node.start_actor(f"actor{number}", kind)
        assert await node.find(f"actor{number}").ask(Ask()) == 1
        assert inbox_of(kind) is inbox_of(kind)
        await life.stop()
        await life.wait()
        await node.close()
        classes.append(weakref.ref(kind))
    del kind, life, node
    gc.collect()
    assert [one() for one in classes] == [None] * 3


async def test_a_class_that_takes_something_else_from_now_on_does() -> None:
    class Growing(Actor[Ask]):
        async def receive(self, message: Ask | AskMore) -> int:
            return 2 if isinstance(message, AskMore) else 1

    node = Node("n")
    first = await node.start_actor("first", Growing)
    with pytest.raises(BadMessage):
        await node.find("first").ask(AskMore())
    Growing.inbox = (Ask, AskMore)
    second = await node.start_actor("second", Growing)
    assert await node.find("second").ask(AskMore()) == 2
    for life in (first, second):
        await life.stop()
        await life.wait()
    await node.close()
