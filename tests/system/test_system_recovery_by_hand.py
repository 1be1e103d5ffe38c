"""What the page on operations says a person can do, done literally."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hcs_mesh.plates.synthetic import Recipe, write_plate

TINY = Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64)


def test_without_its_journal_the_proxy_imports_on_beside_what_is_there(
    mesh_up: Callable[..., Any], tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        write_plate(tmp_path / name, TINY)
    with mesh_up() as mesh:
        before = [mesh("import", tmp_path / name, "--wait", "--force").value for name in ("one", "two")]
        data = mesh.data
    (data / "journal" / "imports").rename(tmp_path / "imports.aside")
    with mesh_up(data) as mesh:
        told = mesh("import", tmp_path / "three", "--wait", "--force").value
        assert told["state"] == "done"
        assert told["import"] not in {one["import"] for one in before}
        plates = {plate["id"] for plate in mesh("plates").value}
    assert plates == {*told["plates"], *(plate for one in before for plate in one["plates"])}
    assert len(plates) == 3
