"""The last look at a source: since it was read hours may have gone by, and a certificate lets people delete it."""

from __future__ import annotations

import asyncio
import shlex
import time
from contextlib import suppress

from ...plates.access import NoSuchAccount, PathNotAllowed
from ...plates.local.errors import SourceFailed, SourceMissing, SourceUnreadable
from ...plates.served_folders import NotServed
from ...transport import AskTimedOut
from ..errors import NoCertificate, OutOfHours, SourceSilent
from .life import ImportLife
from .means import ImportMeans
from .notes import N_SHOWN
from .records import Closed
from .serving_agents import AgentAway
from .source import ImportSource

PATIENCE_S = 72 * 3600.0
"""How long after the proof a source that is away is waited for: a workstation may be off over the weekend.

Hours in which it may not be read do not count: between one Friday and the next there are more."""
CLOSED_LOOK_S = 3600.0
"""How often a workstation is asked outside its hours, and so how much of them a crash has counted after all."""


async def refuse_changed(means: ImportMeans, life: ImportLife) -> None:
    """Promise that the names that are left of a source lead to what was stored.

    Raises:
        NoCertificate: they do not, or nobody can say.
    """
    if life.hold is None:
        return
    changed = await _changed(means, life)
    if changed:
        n, shown = len(changed), ", ".join(changed[:N_SHOWN])
        what = f"{n} files have changed since they were" if n > 1 else "1 file has changed since it was"
        more = ", ..." if n > N_SHOWN else ""
        raise NoCertificate(
            f"{what} read: {shown}{more}; hcs-mesh import --force {shlex.quote(life.order.path)} imports it again"
        )


def _left_s(life: ImportLife, source: ImportSource) -> float:
    """For how long yet a source that is away is waited for."""
    since = life.verified_at_unix_s or time.time()
    return since + PATIENCE_S + life.closed_s + source.closed_s(since) - time.time()


async def _wait_for_hours(means: ImportMeans, life: ImportLife, source: ImportSource) -> None:
    """Wait until the source's workstation may read, or for a good while; that is not held against it."""
    began_s = time.time()
    # Then it is asked once more, and what was waited so far is written down.
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSED_LOOK_S):
            await source.reachable()
            await asyncio.sleep(means.settings.first_retry_s)
    now = time.time()
    # A clock that is put back has not waited.
    closed = Closed(import_id=life.import_id, at_unix_s=now, closed_s=max(0.0, now - began_s))
    await means.ledger.write(closed)


async def _changed(means: ImportMeans, life: ImportLife) -> tuple[str, ...]:
    assert life.hold is not None
    settings, source = means.settings, means.open_source(life)
    files = tuple(life.stored[file.path] for file in life.files)
    pause_s, waited = settings.first_retry_s, False

    def say(reason: str) -> None:
        nonlocal waited
        waited = True
        means.waits(life, reason)

    while True:
        try:
            changed = await source.changed(life.hold, files, lambda: means.stopped(life.import_id), say)
        except OutOfHours as closed:
            say(str(closed))
            await _wait_for_hours(means, life, source)
        except (AgentAway, AskTimedOut, SourceSilent, SourceFailed, SourceMissing) as away:
            if _left_s(life, source) <= 0:
                raise NoCertificate(f"whether the source has changed since it was read is not known: {away}") from away
            say(str(away))
            # Then its time is over, and it is looked at for the last time.
            with suppress(TimeoutError):
                async with asyncio.timeout(_left_s(life, source)):
                    await source.reachable()
                    await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, settings.longest_retry_s)
        except (SourceUnreadable, NotServed, NoSuchAccount, PathNotAllowed) as error:
            raise NoCertificate(f"whether the source has changed since it was read is not known: {error}") from error
        else:
            if waited:
                await means.enter(life, "annotating")
            return changed
