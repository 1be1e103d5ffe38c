"""Looking into a journal from outside, as plain values, without changing it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .errors import JournalDamaged
from .recovery import Contents, read_folder


def show(folder: Path | str) -> Iterator[dict[str, Any]]:
    """Yield each record that would be replayed, with its place: sequence, tag, file, offset, record.

    Records of a snapshot have no sequence of their own and are given 0.

    Raises:
        JournalDamaged: something that was durable is missing or changed.
    """
    contents = _read_beside_a_writer(Path(folder))
    for is_log, (file, found) in [(0, f) for f in contents.snapshot] + [(1, f) for f in contents.log]:
        for i, payload in enumerate(found.payloads):
            sequence = (found.first_sequence + i) * is_log
            if sequence > contents.through or not is_log:
                yield {
                    "sequence": sequence,
                    "tag": found.tags[i].decode(errors="replace"),
                    "file": file,
                    "offset": found.offsets[i],
                    "record": msgspec.msgpack.decode(payload),
                }


def check(folder: Path | str) -> dict[str, Any]:
    """Return whether a journal is whole: state is clean, torn or damaged, with the file, offset and reason.

    A journal that is being written may look torn for a moment.
    """
    try:
        contents = _read_beside_a_writer(Path(folder))
    except JournalDamaged as error:
        return {"state": "damaged", "file": error.file, "offset": error.offset, "reason": error.reason}
    found: dict[str, Any] = {
        "state": "torn" if contents.torn else "clean",
        "n_records": contents.n_records,
        "n_segments": len(contents.log),
        "last_sequence": contents.next_sequence - 1,
        "snapshot_through": contents.through,
    }
    if contents.torn:
        found |= msgspec.to_builtins(contents.torn)
    return found


def _read_beside_a_writer(folder: Path) -> Contents:
    """What the folder says, although its journal may be open: a checkpoint takes files away that are being read."""
    while True:
        there = _names(folder)
        try:
            return read_folder(folder)
        except (JournalDamaged, FileNotFoundError) as error:
            if _names(folder) != there:
                continue
            if isinstance(error, JournalDamaged):
                raise
            raise JournalDamaged(str(error.filename), 0, "it is listed, and cannot be found") from error


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
