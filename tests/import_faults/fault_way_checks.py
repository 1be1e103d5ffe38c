"""What must hold of each way on which an import comes in, beside what holds for all of them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fault_source import FaultSource, sha1
from fault_ways import WATCH

from hcs_mesh.plates.errors import NoLongerAsImported
from hcs_mesh.plates.link_records import recorded
from hcs_mesh.plates.linked_file import open_linked

if TYPE_CHECKING:
    from fault_director import Play

Records = list[dict[str, Any]]


def is_refusal(play: Play, state: str) -> bool:
    """Whether an import failed since its files had come in with another, where there may be another."""
    return play.plan.twice and " holds the files of import-" in state


def handed_over(play: Play, by_import: dict[str, Records]) -> Iterator[str]:
    """What is wrong with the imports that there are, and those that there should be."""
    accepted = [one for records in by_import.values() for one in records if one["tag"] == "import.accepted"]
    keys = Counter(one["key"] for one in accepted)
    yield from (f"order {key} was accepted {n} times" for key, n in keys.items() if n > 1)
    for key in play.going.keys:
        if not keys[key]:
            yield f"order {key} was never accepted"
        if play.acknowledged.get(key) not in by_import:
            yield f"order {key} was acknowledged as {play.acknowledged.get(key)}, which no journal knows"
    if play.plan.way == WATCH:
        yield from _watched(play, accepted)


def _watched(play: Play, accepted: Records) -> Iterator[str]:
    """Each plate of the watched folder was found, and imported once; only what failed and changed is tried again."""
    of = Counter(one["order"]["path"] for one in accepted)
    for path, source in play.world.sources.items():
        if not of[path]:
            yield f"{path} was never imported"
        # A name or a size that is another one is what the watch goes by, of an import that failed.
        if of[path] > 1 + source.n_changes:
            yield f"{path} was handed over {of[path]} times, and changed {source.n_changes} times"
    ids = {one["import_id"]: one["order"]["path"] for one in accepted}
    done = Counter(ids[one] for one, end in play.outcome.ends.items() if end.startswith("done") and one in ids)
    yield from (f"{path} was imported {n} times" for path, n in done.items() if n > 1)
    yield from (f"{path} is no plate of the watched folder" for path in of.keys() - play.world.sources.keys())


def linked_files(
    play: Play, source: FaultSource, folder: Path, import_id: str, expected: dict[str, str]
) -> Iterator[str]:
    """What is wrong with an import in place: its links, what is known of them, and what they lead to."""
    there = {str(one.relative_to(folder)): one for one in folder.rglob("*") if not one.is_dir()}
    if there.keys() != expected.keys():
        yield f"{import_id} has the links {sorted(there)} and should have {sorted(expected)}"
    for path, checksum in expected.items():
        if checksum not in source.versions.get(path, ()):
            yield f"{path} of {import_id} is no version that the source ever had"
        if path not in there:
            continue
        if not there[path].is_symlink() or str(there[path].readlink()) != f"{play.going.plate}/{path}":
            yield f"{path} of {import_id} is no link to its source"
            continue
        record = recorded(folder, path)
        if record is None:
            yield f"{path} of {import_id} is linked, and nothing tells to what"
            continue
        seen = (source.folder / path).stat()
        same = (seen.st_size, seen.st_mtime_ns, seen.st_ino) == (record.size, record.mtime_ns, record.inode)
        changed_late = source.changes[play.proving.get(import_id, 0) :]
        # Since it was proven it is its owner's to change: that is told to whoever opens it.
        if path not in changed_late and (not same or sha1(source.contents[path]) != checksum):
            yield f"{path} of {import_id} was changed before it was proven, and is taken for what it was"
        try:
            with open_linked(str(there[path]), record) as descriptor:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    yield f"{path} of {import_id} is opened as something else than a file"
                if not same:
                    yield f"{path} of {import_id} has changed, and is opened as if it had not"
        except NoLongerAsImported as error:
            if same:
                yield f"{path} of {import_id} is as it was imported, and is not opened: {error}"


def deletion_told(play: Play, import_id: str, records: Records) -> Iterator[str]:
    """What is wrong with what an import that is done says of its source's deletion."""
    ordered = any(one["order"].get("delete_source") for one in records if one["tag"] == "import.accepted")
    told = [one for one in records if one["tag"] == "import.source_deleted"]
    if len(told) != ordered:
        yield f"{import_id} told {len(told)} times whether its source was deleted"
    stored = {file["path"] for one in records if one["tag"] == "import.stored" for file in one["files"]}
    for one in told:
        left = stored - play.world.source.missing()
        if not one.get("note") and left:
            yield f"{import_id} says that its source was deleted, and {sorted(left)} are there"
