"""The end of a libzmq context, off the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq


async def end_context(context: zmq.Context[Any]) -> None:
    """End a context whose sockets are closed; it ends also where whoever waits for that is cancelled.

    Sockets that linger may hold it for a moment: that wait is not for the loop.
    """
    # A future and no task: what is cancelled before a thread is free for it would never be done.
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, context.term))
