"""What the zarr library is given of an array: its owner may exchange the files while they are read."""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zarr
from linked_plates import PIXELS, adopted, write_sharded_zarr, write_zarr
from numcodecs import pickles

from hcs_mesh.plates import Plate, UnreadableImage, plan, read_image
from hcs_mesh.plates.local import FolderReader, LocalRepository
from hcs_mesh.plates.repository import SourceFile, StoredFileset

WITNESS = "HCS_MESH_TEST_WITNESS"
HOW = ("from its source", "from a copy", "in place")


class Stranger:
    """A pickle of it says so in the environment of whoever unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, (f"__import__('os').environ.__setitem__('{WITNESS}', 'ran') or bytes(8192)",))


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def stored(repository: LocalRepository, source: Path, how: str) -> tuple[Plate, Path]:
    """The plate that a folder holds, and where it is read from."""
    if how == "in place":
        return adopted(repository, source), source
    (fileset,) = plan(source).filesets
    if how == "from its source":
        return msgspec.structs.replace(fileset.plates[0], root=str(source)), source
    files = [SourceFile(path=file.path, size=file.n_bytes) for file in fileset.files]
    copied = repository.transfer("i1", FolderReader(source), files)
    (plate_id,) = repository.register(
        "i1", [StoredFileset(planner=fileset.planner, files=copied, plates=fileset.plates)]
    )
    return repository.plate(plate_id), repository.files_folder("i1")


def padded(metadata: Path, change: dict[str, Any]) -> tuple[bytes, bytes]:
    """The metadata as they are and with a change, both of one length."""
    good = json.loads(metadata.read_text())
    texts = [json.dumps(good), json.dumps({**good, **change})]
    was, becomes = (text.ljust(max(map(len, texts))).encode() for text in texts)
    metadata.write_bytes(was)
    return was, becomes


def exchange_before_the_library_opens(monkeypatch: pytest.MonkeyPatch, file: Path, content: bytes) -> list[Path]:
    """Write into the file after it was checked and before the library asks for it; what was exchanged so far."""
    opens: Callable[..., Any] = zarr.open_array
    exchanged: list[Path] = []

    def exchange_and_open(*args: Any, **options: Any) -> Any:
        before = file.stat()
        assert before.st_size == len(content)
        file.chmod(0o644)
        with file.open("r+b") as stream:
            stream.write(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        exchanged.append(file)
        return opens(*args, **options)

    monkeypatch.setattr(zarr, "open_array", exchange_and_open)
    return exchanged


@pytest.mark.parametrize("how", HOW)
def test_metadata_that_are_exchanged_after_they_were_checked_run_nothing(
    tmp_path: Path, repository: LocalRepository, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    chunk = write_zarr(tmp_path / "source", PIXELS)
    unpickles = {"dtype": "|O", "fill_value": "", "filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}}
    unpickles["chunks"] = [64, 64]
    _, evil = padded(chunk.with_name(".zarray"), unpickles)
    for one in ("0.0", "1.0"):
        chunk.with_name(one).write_bytes(pickle.dumps(Stranger(), 2))
    plate, root = stored(repository, tmp_path / "source", how)
    # As it is in releases of numcodecs that do not ask.
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True)
    monkeypatch.delenv(WITNESS, raising=False)
    exchanged = exchange_before_the_library_opens(monkeypatch, root / "one.zarr/0/.zarray", evil)
    with pytest.raises(UnreadableImage):
        read_image(plate, plate.image(0), follow_links=how == "from its source")
    assert exchanged
    assert WITNESS not in os.environ


@pytest.mark.parametrize("how", HOW)
def test_a_plane_is_what_the_metadata_said_when_they_were_checked(
    tmp_path: Path, repository: LocalRepository, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    chunk = write_zarr(tmp_path / "source", PIXELS)
    _, other = padded(chunk.with_name(".zarray"), {"dtype": ">u2"})
    plate, root = stored(repository, tmp_path / "source", how)
    exchanged = exchange_before_the_library_opens(monkeypatch, root / "one.zarr/0/.zarray", other)
    np.testing.assert_array_equal(read_image(plate, plate.image(0), follow_links=how == "from its source"), PIXELS)
    assert exchanged


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("write", [write_zarr, write_sharded_zarr])
def test_the_library_is_given_chunks_and_the_metadata_that_were_checked(
    tmp_path: Path,
    repository: LocalRepository,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    write: Callable[[Path, np.ndarray], Path],
) -> None:
    write(tmp_path / "source", PIXELS)
    plate, root = stored(repository, tmp_path / "source", how)
    for odd in ("one.zarr/0/.zattrs", "one.zarr/0/extra.json"):
        (root / odd).parent.chmod(0o755)
        (root / odd).write_text("{")
    np.testing.assert_array_equal(read_image(plate, plate.image(0), follow_links=how == "from its source"), PIXELS)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"compressor": {"id": "crc32"}}, "its codec 'crc32'"), ({"shape": [64, 32]}, "for another array")],
)
def test_what_the_library_made_of_the_metadata_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    chunk = write_zarr(tmp_path / "source", PIXELS)
    other = write_zarr(tmp_path / "other", PIXELS).parent
    metadata = json.loads((other / ".zarray").read_text())
    (other / ".zarray").write_text(json.dumps({**metadata, **change}))
    (plate,) = plan(tmp_path / "source").plates
    opens = zarr.open_array
    monkeypatch.setattr(zarr, "open_array", lambda **options: opens(**{**options, "store": str(other)}))
    with pytest.raises(UnreadableImage, match=told):
        read_image(msgspec.structs.replace(plate, root=str(tmp_path / "source")), plate.image(0))
    assert chunk.exists()
