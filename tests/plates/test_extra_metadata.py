"""A facility's own reader of metadata: an installed distribution whose entry point names it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from installed_package import install

from hcs_mesh.plates import Plate, plan
from hcs_mesh.plates.extra_metadata import MAX_ENTRIES, MAX_VALUE

READER = '''
"""The barcode that a robot leaves beside the images."""
from collections.abc import Mapping

from hcs_mesh.plates import Plate
from hcs_mesh.plates.planners import Fileset, Folder


def read_barcode(folder: Folder, fileset: Fileset, plate: Plate) -> Mapping[str, str]:
    if "barcode.txt" not in folder.files:
        return {}
    return {"barcode": folder.text("barcode.txt").strip(), "wells": str(len(plate.wells))}
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    name = f"p_A01_s1_w1{1:08X}-0000-4000-8000-00000000000A.tif"
    tifffile.imwrite(folder / name, np.zeros((6, 8), np.uint16))
    return folder


def install_code(site: Path, name: str, code: str, function: str) -> None:
    """Install a module whose function is a handler of metadata."""
    module = f"{name}_of_a_lab"
    (site / f"{module}.py").write_text(code)
    install(site, "hcs_mesh.plate_metadata", name, f"{module}:{function}")


def planned(source: Path) -> Plate:
    (fileset,) = plan(source).filesets
    (plate,) = fileset.plates
    return plate


def test_what_an_installed_reader_says_is_the_plates(site: Path, source: Path) -> None:
    assert planned(source).metadata == ()
    install_code(site, "barcode", READER, "read_barcode")
    assert planned(source).metadata == ()
    (source / "barcode.txt").write_text("HCS-0042\n")
    assert planned(source).metadata == (("barcode", "HCS-0042"), ("wells", "1"))


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("absent", "", "AttributeError"),
        ("falls", "def read(folder, fileset, plate): return {'a': folder.text('none.txt')}", "failed"),
        ("counts", "def read(folder, fileset, plate): return {'a': 1}", "both must be texts"),
        ("talks", f"def read(folder, fileset, plate): return {{'a': 'x' * {MAX_VALUE + 1}}}", "over 10000 characters"),
        (
            "parses",
            "import xml.etree.ElementTree as ET\ndef read(folder, fileset, plate): ET.fromstring('<a>')",
            "ParseError",
        ),
        ("unpacks", "import struct\ndef read(folder, fileset, plate): struct.unpack('<I', b'')", "unpack requires"),
        ("raises", "def read(folder, fileset, plate): raise RuntimeError('no barcode')", "no barcode"),
        ("fails", "class Mine(Exception): pass\ndef read(folder, fileset, plate): raise Mine('its own')", "its own"),
        ("lists", f"def read(folder, fileset, plate): return {{str(n): '' for n in range({MAX_ENTRIES + 1})}}", "201"),
    ],
)
def test_a_reader_that_fails_is_named_and_holds_up_nothing(
    site: Path, source: Path, name: str, body: str, told: str
) -> None:
    install_code(site, name, body, "read")
    install_code(site, f"well_{name}", f"# {name}\ndef read(folder, fileset, plate): return {{'sound': 'yes'}}", "read")
    plate = planned(source)
    assert plate.n_images == 1
    (note,) = [note for note in plate.notes if "metadata reader" in note]
    assert f"'{name}' failed" in note
    assert told in note
    assert plate.metadata == (("sound", "yes"),)
