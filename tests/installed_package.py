"""A facility's own package, as an installer leaves it: what an entry point of the project finds."""

from pathlib import Path


def install(site: Path, group: str, name: str, entry_point: str) -> None:
    """Leave the metadata of a distribution with one entry point below ``site``, a folder that is looked into."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {entry_point}\n")
