"""The folders of a mesh at OMERO: what is derived from people's own plates is for no other account of the host."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hcs_mesh.config import OmeroSettings, Settings
from hcs_mesh.home import open_home
from hcs_mesh.layout import DataLayout

pytestmark = pytest.mark.needs("omero")


@pytest.fixture(autouse=True)
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path, host: str) -> dict[str, str]:
    """What the folders of a mesh may be used for, with a server or without."""
    layout = DataLayout(folder)
    with ExitStack() as stack:
        open_home(Settings(omero=OmeroSettings(host=host)), layout, stack.callback)
    found = (layout.omero_results, layout.logs, layout.certificates)
    return {one.name: stat.filemode(one.stat().st_mode) for one in found if one.is_dir()}


@pytest.mark.parametrize("made_before", [True, False])
def test_results_logs_and_certificates_are_for_the_account_of_the_mesh(tmp_path: Path, *, made_before: bool) -> None:
    for name in ("omero-results", "logs") if made_before else ():
        (tmp_path / name).mkdir()
    assert modes(tmp_path, "omero.example.org") == {
        "omero-results": "drwx------",
        "logs": "drwx------",
        "certificates": "drwx------",
    }


def test_without_omero_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    assert modes(tmp_path, "") == {"logs": "drwxr-xr-x"}
