"""Which mesh an agent's own folder serves: what is held there is held for that one's imports, and goes by their ids."""

from __future__ import annotations

from pathlib import Path

from .config import ConfigError
from .plates.local.disk import sync_file, sync_folder
from .plates.local.errors import repository_errors
from .plates.local.names import PART

RECORD = "serves"


def check_mesh(data: Path, public: str) -> bool:
    """Whether an agent's folder is bound to the mesh of this public key; it has served no other.

    Raises:
        ConfigError: it has served another.
        RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    path = data / RECORD
    with repository_errors(path):
        served = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if served and served != public:
            raise ConfigError(
                f"{data} is the folder of an agent of another mesh, whose imports may be held there.",
                hint=f"Give this agent a folder of its own with --data; if it is the same mesh with a new key, "
                f"remove {path} once nothing is imported from here.",
            )
    return bool(served)


def bind_to_mesh(data: Path, public: str) -> None:
    """Have an agent's folder serve the mesh of this public key, which has answered, and no other from now on.

    Raises:
        ConfigError: it has served another.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    if check_mesh(data, public):
        return
    path = data / RECORD
    with repository_errors(path):
        data.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + PART)
        new.write_text(f"{public}\n", encoding="utf-8")
        sync_file(new)
        new.replace(path)
        sync_folder(data)
