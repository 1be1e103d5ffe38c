"""Messages that are looked at while they are received: their time, and the trace that they belong to."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..config.tracing import TRACE
from .actor import Deferred
from .cell import Cell
from .letters import Letter, TracedLetter

Receive = Callable[[Any], Awaitable[Any]]


async def watched(cell: Cell, receive: Receive, letter: Letter) -> Any:
    """Receive a message with a clock running, and with its trace where somebody follows it."""
    began_s = time.perf_counter()
    result = await (_followed(cell, receive, letter) if isinstance(letter, TracedLetter) else receive(letter.message))
    if result.__class__ is not Deferred:
        cell.took(time.perf_counter() - began_s)
    return result


async def _followed(cell: Cell, receive: Receive, letter: TracedLetter) -> Any:
    letter.hop = hop = cell.traces.begin(letter.trace, cell.name, str(letter.message.__struct_config__.tag))
    token = TRACE.set(hop.trace)
    try:
        result = await receive(letter.message)
    except BaseException as error:
        hop.end(f"{type(error).__name__}: {error}")
        raise
    finally:
        TRACE.reset(token)
    if result.__class__ is not Deferred:
        hop.end("answered" if letter.answer is not None else "taken in")
    return result
