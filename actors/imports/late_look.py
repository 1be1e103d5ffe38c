"""The look for late files: what came since a source had settled is no failure, and nobody else would say so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from ...config import MeshError, get_logger
from ...plates.errors import BadSourceName, NothingToImport, SourceNotFound
from ...plates.local.errors import TransferCancelled
from .life import ImportLife
from .means import ImportMeans
from .notes import late_files
from .records import CameLate
from .serving_agents import AgentAway

log = get_logger(__name__)

MAX_NAMED = 20
"""Late files that are kept by name."""

UNNAMED = "one whose name is not UTF-8"
"""What stands for a late file that no message can name."""


async def look_for_late(means: ImportMeans, life: ImportLife) -> str:
    """Name what came since the source had settled, and return why nobody can tell; empty where that is known.

    A source that cannot be looked at any more is none's fault.

    Raises:
        AgentAway: the source of a workstation is to be deleted, which is not there now.
        TransferCancelled: it is to look no further.
    """
    # A workstation has its whole folder looked at for this: only where it is to delete what came is that worth it.
    if life.source_deleted or (life.order.agent and not life.order.delete_source):
        return ""
    try:
        late = await _late(means, life)
    except BadSourceName:
        # It hides the others that came, and must not hide that one did.
        late = (UNNAMED,)
    except (SourceNotFound, NothingToImport):
        # It was taken away as soon as it was held: nothing came late.
        return ""
    except (AgentAway, TransferCancelled):
        raise
    except MeshError as error:
        # What is stored and certified is done, whatever is the matter with the source now.
        log.warning("nobody looked for late files", import_id=life.import_id, reason=str(error))
        return str(error)
    if late:
        await means.ledger.write(
            CameLate(import_id=life.import_id, at_unix_s=time.time(), n_files=len(late), files=late[:MAX_NAMED])
        )
    return ""


async def _late(means: ImportMeans, life: ImportLife) -> tuple[str, ...]:
    source = means.open_source(life)
    now: Iterable[tuple[str, int]]
    if _is_folder(life):
        scan = await source.scan()
        now = ((path, size) for path, (size, _, _) in scan.files.items())
    elif life.plan.n_files == 1 and not life.plan.pending:
        # Beside a single file others come and go as they like.
        return ()
    else:
        # Of a set those count that its metadata name by now.
        plan = await source.plan(lambda reason: None)
        now = ((file.path, file.n_bytes) for fileset in plan.filesets for file in fileset.files)
    # In a thread: it looks at each of a hundred thousand files, and the others go on meanwhile.
    return await means.threads.run(lambda: late_files(life.plan, now))


def _is_folder(life: ImportLife) -> bool:
    """Whether a folder was handed over, and not one file of those that lie in it."""
    if life.order.agent:
        # Its path may begin with what the workstation calls a folder, and its root is where that lies.
        name = Path(life.order.path).name
        return all(file.path != name for fileset in life.plan.filesets for file in fileset.files)
    return Path(life.plan.root) == Path(life.order.path)
