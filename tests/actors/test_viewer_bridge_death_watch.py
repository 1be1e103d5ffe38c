"""A process's end is noticed, with and without a descriptor for it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from hcs_mesh.actors.viewing import death_watch
from hcs_mesh.actors.viewing.death_watch import DeathWatch

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sleeper() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.mark.parametrize("by_descriptor", [True, False])
async def test_the_end_of_a_process_is_told_once(
    sleeper: asyncio.subprocess.Process, by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_descriptor:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        monkeypatch.setattr(death_watch, "POLL_S", 0.02)
    died = asyncio.Event()
    DeathWatch(sleeper.pid, died.set)
    assert not died.is_set()
    os.kill(sleeper.pid, signal.SIGKILL)
    await asyncio.wait_for(died.wait(), 10)


@pytest.mark.parametrize("by_descriptor", [True, False])
async def test_a_process_that_is_not_there_cannot_be_watched(
    by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_descriptor:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    with pytest.raises(ProcessLookupError):
        DeathWatch(process.pid, lambda: None)


async def test_a_watch_that_was_stopped_says_nothing(sleeper: asyncio.subprocess.Process) -> None:
    died = asyncio.Event()
    watch = DeathWatch(sleeper.pid, died.set)
    watch.stop()
    sleeper.kill()
    await sleeper.wait()
    assert not died.is_set()
