"""Orders of imports that can come to no good end are refused whoever gives them, before anything is looked at."""

import msgspec
import pytest

from hcs_mesh.config import MeshError
from hcs_mesh.config.mail_address import NoAddress
from hcs_mesh.messages.import_orders import BadOrder, check_order
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.errors import PatternError

GOOD = ImportOrder(
    path="/data/plate",
    name="Kinase 2 – Zürich 試料",
    screen="S",
    tags=("DAPI", "👩‍🔬"),
    key_values=(("cells", ""), ("protocol", "first\nthen")),
    description="two\nlines",
    pattern="{well}_{_}.tif",
    exclude=("*.db",),
    depth=1,
    mail="ada@example.org",
)

WRONG: dict[str, tuple[type[MeshError], str, dict[str, object]]] = {
    "pattern": (PatternError, "{nix} is no name", {"pattern": "{nix}"}),
    "exclude": (PatternError, "excludes nothing", {"exclude": ("/abs",)}),
    "mail": (NoAddress, "nobody", {"mail": "nobody"}),
    "files and pattern": (BadOrder, "means nothing", {"as_files": True}),
    "in place and deleted": (BadOrder, "is not deleted", {"mode": "in-place", "delete_source": True}),
    "in place elsewhere": (BadOrder, "does not see its disk", {"mode": "in-place", "agent": "pc3"}),
    "depth below": (BadOrder, "the depth is -1", {"depth": -1}),
    "depth above": (BadOrder, "the depth is 1001", {"depth": 1_001}),
    "path": (BadOrder, "the path has 32768 characters", {"path": "/" * 32_768}),
    "path with NUL": (BadOrder, "'/a\\x00b' is no path", {"path": "/a\0b"}),
    "only, empty": (BadOrder, "'' is not the name of a file", {"only": ("a.tif", "")}),
    "only, a path": (BadOrder, "'sub/a.tif' is not the name", {"only": ("sub/a.tif",)}),
    "only, above": (BadOrder, "'..' is not the name", {"only": ("..",)}),
    "only, NUL": (BadOrder, "'a\\x00b' is not the name", {"only": ("a\0b",)}),
    "names": (BadOrder, "2 names have 10000001 characters", {"only": ("x" * 10_000_000, "y")}),
    "long name": (BadOrder, "the name has 200000 characters, and no more than 255", {"name": "x" * 200_000}),
    "escape": (BadOrder, "the name holds characters that would not show: 'a\\x1b[2J'", {"name": "a\x1b[2J"}),
    "lines of a name": (BadOrder, "'a\\nb'", {"dataset": "a\nb"}),
    "NUL": (BadOrder, "the comment holds characters", {"comment": "a\0"}),
    "group": (BadOrder, "the group has 256 characters", {"group": "x" * 256}),
    "turned round": (BadOrder, "'\\u202egpj'", {"screen": "\u202egpj"}),
    "no text": (BadOrder, "the project holds characters", {"project": "\udcff"}),
    "long comment": (BadOrder, "20001 characters", {"comment": "x" * 20_001}),
    "tag": (BadOrder, "a tag holds characters", {"tags": ("DAPI", "a\x07")}),
    "empty tag": (BadOrder, "a tag is empty", {"tags": (" ",)}),
    "tags": (BadOrder, "10000 tags are more than the 1000", {"tags": tuple(map(str, range(10_000)))}),
    "empty key": (BadOrder, "a key is empty", {"key_values": (("", "HeLa"),)}),
    "key": (BadOrder, "a key holds characters", {"key_values": (("a\nb", "HeLa"),)}),
    "value": (BadOrder, "the value of 'cells' holds characters", {"key_values": (("cells", "\x1b"),)}),
    "pairs": (BadOrder, "1001 key-values", {"key_values": (("k", "v"),) * 1_001}),
}


def test_what_people_write_is_taken() -> None:
    check_order(GOOD)
    check_order(msgspec.structs.replace(GOOD, pattern="", as_files=True))
    check_order(msgspec.structs.replace(GOOD, mode="in-place"))
    check_order(msgspec.structs.replace(GOOD, agent="pc3", delete_source=True))
    check_order(msgspec.structs.replace(GOOD, only=("a.tif", "..b c 試料.tif")))


@pytest.mark.parametrize(("kind", "said", "changes"), WRONG.values(), ids=WRONG)
def test_what_none_can_mean_is_refused_with_its_reason(
    kind: type[MeshError], said: str, changes: dict[str, object]
) -> None:
    with pytest.raises(kind) as told:
        check_order(msgspec.structs.replace(GOOD, **changes))
    assert said in str(told.value)
    assert len(str(told.value)) < 400
