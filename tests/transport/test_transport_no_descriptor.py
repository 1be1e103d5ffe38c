"""A peer is dialled while the process may open next to nothing."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import zmq
from waiting import eventually

from hcs_mesh.transport import Dialer, Envelope, Link, PeerGone, ServerKey, new_pair, tcp_endpoint
from hcs_mesh.transport.contexts import end_context

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc"),
]

N_ENOUGH = 12
"""More than a dialer takes."""


def open_now() -> list[int]:
    return [int(one.name) for one in Path("/proc/self/fd").iterdir()]


@contextmanager
def only_free(n: int) -> Iterator[None]:
    """Leave this process so few descriptors."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_now()) + 2 * N_ENOUGH, limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(n):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for one in taken:
            os.close(one)


def never(link: Link, envelope: Envelope) -> None:
    raise AssertionError("nobody is there")


async def test_who_has_too_few_descriptors_to_dial_is_told_so_and_leaves_none_open() -> None:
    context = zmq.Context()
    # The first socket starts libzmq's threads, which have descriptors too.
    context.socket(zmq.PAIR).close(0)
    pair, server = new_pair(), ServerKey(public=new_pair().public)
    before = len(open_now())
    refused, told = [], []
    for n_free in range(N_ENOUGH + 1):
        with only_free(n_free):
            try:
                Dialer(context, tcp_endpoint("127.0.0.1", 1), never, name="one", key=pair, server=server).close()
            except PeerGone as error:
                refused.append(n_free)
                told.append(error.hint)
        await eventually(lambda: len(open_now()) <= before, 30.0, f"the end of what was opened of {n_free}")
    # Two sockets and what watches them: the line is somewhere between.
    assert refused == list(range(len(refused)))
    assert 2 <= len(refused) < N_ENOUGH
    assert all("descriptor" in hint for hint in told)
    await asyncio.wait_for(end_context(context), 30.0)
