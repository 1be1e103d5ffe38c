"""A context ends, whatever happens to whoever waits for it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zmq

from hcs_mesh.transport.contexts import end_context

pytestmark = pytest.mark.anyio


async def test_a_context_ends_though_the_wait_is_cancelled_before_a_thread_is_free() -> None:
    context: zmq.Context[Any] = zmq.Context()
    free = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    busy = loop.run_in_executor(None, free.wait)
    ending = asyncio.create_task(end_context(context))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert not context.closed
    free.set()
    await busy
    await loop.run_in_executor(None, lambda: None)
    assert context.closed
