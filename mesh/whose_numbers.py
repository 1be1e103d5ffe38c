"""Whose numbers the journals of a data folder speak of: the local repository's, or those of one OMERO.server."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .config import ConfigError
from .layout import DataLayout
from .plates.local import LocalRepository
from .plates.local.disk import sync_file, sync_folder
from .plates.local.errors import repository_errors
from .plates.local.names import PART
from .supervisors.journal import check

RECORD = "home.json"
OWN_FOLDER = "Begin a mesh with a data folder of its own: --data FOLDER, or data.folder in its settings."


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Who has numbered the plates of a data folder, for good."""

    kind: str
    server: str = ""

    def __str__(self) -> str:
        return f"OMERO at {self.server}" if self.server else "its local repository"


LOCAL = Numbers(kind="local")


def claim(layout: DataLayout, wanted: Numbers, repository: LocalRepository) -> None:
    """Promise that every number in the journals is one of ``wanted``, and that it stays so.

    ``repository`` is the local one of the same folder. One process asks at a time.

    Raises:
        ConfigError: the numbers are another's, and plates or imports go by them.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    path = layout.data / RECORD
    written = _read(path)
    if written == wanted:
        return
    if written is not None and written != LOCAL:
        raise ConfigError(
            f"The plates of {layout.data} are those of {written}, and the settings name {wanted}.",
            hint=f"Set omero.host and omero.port to it again. {OWN_FOLDER} "
            f"If it is the same server under another name, say so in {path}.",
        )
    if wanted != LOCAL and (what := _numbered_here(layout, repository)):
        raise ConfigError(
            f"The settings name {wanted}, and {layout.data} holds {what} of its local repository.",
            hint=f"Leave [omero] out for this data folder. {OWN_FOLDER}",
        )
    _write(path, wanted)


def _numbered_here(layout: DataLayout, repository: LocalRepository) -> str:
    """What there is that goes by the numbers of the local repository."""
    n_plates = len(repository.plates())
    if n_plates:
        return f"{n_plates} plate{'s' if n_plates > 1 else ''}"
    if repository.import_ids():
        return "imports under way"
    journal = layout.journal("imports")
    # One that is damaged may have known any.
    if journal.is_dir() and check(journal).get("n_records", 1):
        return "the journal of imports"
    return ""


def _read(path: Path) -> Numbers | None:
    with repository_errors(path):
        if not path.exists():
            return None
        text = path.read_bytes()
    try:
        return msgspec.json.decode(text, type=Numbers)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{path} does not say whose plates this data folder knows: {error}.",
            hint='It is {"kind": "local"}, or {"kind": "omero", "server": "HOST:PORT"}, as it was when the mesh began.',
        ) from error


def _write(path: Path, numbers: Numbers) -> None:
    with repository_errors(path):
        new = path.with_name(path.name + PART)
        new.write_bytes(msgspec.json.encode(numbers) + b"\n")
        sync_file(new)
        new.replace(path)
        # Before the first number is written down anywhere.
        sync_folder(path.parent)
