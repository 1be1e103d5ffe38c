"""Which paths a requester may name, and which files he may have imported."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcs_mesh.config import ConfigError
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.plates.access import (
    Allowed,
    NoSuchAccount,
    PathNotAllowed,
    account_named,
    accounts_count,
    check_readable,
    reach_below,
    refuse_own_data,
    resolve_allowed,
)
from hcs_mesh.plates.errors import NotForReader, SourceNotFound
from hcs_mesh.plates.opening import open_for
from hcs_mesh.plates.permissions import Account
from hcs_mesh.plates.reach import EVERYTHING, Reach
from hcs_mesh.plates.repository import SourceFile

ANNA = Account("anna", 4001, (4001,))


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    folder = tmp_path / "microscope" / "plate"
    folder.mkdir(parents=True)
    (folder / "A01.tif").write_bytes(b"plane")
    return folder


def allowed(path: Path, *roots: RootSettings, requester: str = "anna", administrator: bool = False) -> Allowed:
    return resolve_allowed(path, roots, requester=requester, administrator=administrator)


def test_a_path_below_a_root_is_followed_to_where_it_leads(plate: Path) -> None:
    root = RootSettings(path=str(plate.parent))
    (plate.parent / "newest").symlink_to(plate)
    assert allowed(plate.parent / "newest", root) == Allowed(plate, root)


@pytest.mark.parametrize("way", ["link", "dots", "beside"])
def test_a_path_that_leads_out_of_the_roots_is_refused(plate: Path, way: str) -> None:
    outside = plate.parent.with_name("microscope-2")
    outside.mkdir()
    (plate / "link").symlink_to(outside)
    path = {"link": plate / "link", "dots": plate / ".." / ".." / "microscope-2", "beside": outside}[way]
    with pytest.raises(PathNotAllowed, match="anna may not import") as refused:
        allowed(path, RootSettings(path=str(plate.parent)))
    assert str(plate.parent) in refused.value.hint


def test_what_is_outside_is_refused_in_the_same_words_whether_it_exists_or_not(tmp_path: Path, plate: Path) -> None:
    root = RootSettings(path=str(plate.parent))
    told = []
    for path in (tmp_path, tmp_path / "never"):
        with pytest.raises(PathNotAllowed) as refused:
            allowed(path, root)
        told.append(str(refused.value).replace(str(path), "PATH"))
    assert told[0] == told[1]
    with pytest.raises(SourceNotFound):
        allowed(plate / "never", root)


def test_a_root_that_is_for_others_is_refused_and_not_told(plate: Path) -> None:
    root = RootSettings(path=str(plate.parent), users=("ben",))
    assert allowed(plate, root, requester="ben").root == root
    assert allowed(plate, root, requester="carla", administrator=True).root == root
    with pytest.raises(PathNotAllowed) as refused:
        allowed(plate, root)
    assert str(plate.parent) not in refused.value.hint


def test_the_innermost_root_decides(plate: Path) -> None:
    wide = RootSettings(path=str(plate.parent))
    narrow = RootSettings(path=str(plate), users=("ben",))
    assert allowed(plate, wide, narrow, requester="ben").root == narrow
    with pytest.raises(PathNotAllowed):
        allowed(plate, wide, narrow)


def test_without_roots_administrators_alone_name_paths(plate: Path) -> None:
    assert allowed(plate, administrator=True) == Allowed(plate, None)
    with pytest.raises(PathNotAllowed) as refused:
        allowed(plate)
    assert "[[imports.roots]]" in refused.value.hint


@pytest.mark.parametrize("path", ["plate", "", "/a\0b"])
def test_what_is_no_absolute_path_is_refused(path: str) -> None:
    with pytest.raises(PathNotAllowed, match="no absolute path"):
        resolve_allowed(path, (), requester="anna", administrator=True)


def test_a_root_is_an_absolute_path() -> None:
    with pytest.raises(ConfigError, match="must be an absolute path"):
        RootSettings(path="data")
    with pytest.raises(ConfigError, match="staging"):
        RootSettings(path="/data", staging="held")


def test_permissions_of_the_account_count_where_the_mesh_could_read_everything() -> None:
    runs_as_root = os.geteuid() == 0
    assert accounts_count("auto", administrator=False) is runs_as_root
    assert accounts_count("same-name", administrator=False)
    assert not accounts_count("off", administrator=False)
    assert not accounts_count("same-name", administrator=True)


def test_a_key_whose_name_no_account_has_is_told_so() -> None:
    with pytest.raises(NoSuchAccount, match="no account 'no-such-person'"):
        account_named("no-such-person")


def test_the_account_that_may_read_everything_is_nobodys() -> None:
    with pytest.raises(PathNotAllowed, match="may read everything"):
        account_named("root")


def test_the_groups_of_an_account_are_all_known(monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    anna = pwd.struct_passwd(("anna", "x", 4001, 4001, "", "/", ""))
    monkeypatch.setattr(pwd, "getpwnam", {"anna": anna}.__getitem__)
    monkeypatch.setattr(grp, "getgrall", lambda: [grp.struct_group(("screening", "x", 5000, ["anna"]))])
    monkeypatch.setattr(os, "getgrouplist", lambda _, gid: [gid, 5001])
    assert account_named("anna") == Account("anna", 4001, (4001, 5000, 5001))


def found(folder: Path) -> list[SourceFile]:
    return [
        SourceFile(path=path.name, size=path.stat().st_size, inode=path.stat().st_ino)
        for path in sorted(folder.iterdir())
    ]


def test_a_link_that_leads_out_of_the_source_and_the_roots_is_refused(tmp_path: Path, plate: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (plate / "B01.tif").symlink_to(tmp_path / "secret")
    with pytest.raises(PathNotAllowed, match=r"B01\.tif \(a link leads out"):
        check_readable(plate, found(plate), EVERYTHING)
    check_readable(plate, found(plate), Reach(inside=(str(tmp_path),)))


def test_a_root_inside_of_a_root_is_for_its_own_users_alone(tmp_path: Path) -> None:
    scope, ada = tmp_path / "scope", tmp_path / "scope" / "ada"
    ada.mkdir(parents=True)
    (scope / "common.tif").write_bytes(b"plane")
    (ada / "secret.tif").write_bytes(b"plane")
    roots = [RootSettings(path=str(scope)), RootSettings(path=str(ada), users=("ada",))]
    files = [SourceFile(path="common.tif", size=5), SourceFile(path="ada/secret.tif", size=5)]
    for_bob = reach_below(roots, None, requester="bob", administrator=False)
    with pytest.raises(PathNotAllowed, match=f"what is there .no import from {ada}") as refused:
        check_readable(scope, files, for_bob)
    assert "secret" not in str(refused.value), "what lies in it is no business of his"
    check_readable(scope, files[:1], for_bob)
    check_readable(scope, files, reach_below(roots, None, requester="ada", administrator=False))
    check_readable(scope, files, reach_below(roots, None, requester="bob", administrator=True))
    with pytest.raises(NotForReader):
        open_for(for_bob, ada / "secret.tif")
    os.close(open_for(for_bob, scope / "common.tif"))


@pytest.mark.parametrize("named", ["", "mesh", "mesh/keys"])
def test_the_mesh_s_own_folder_is_no_source(tmp_path: Path, named: str) -> None:
    (tmp_path / "mesh" / "keys").mkdir(parents=True)
    (tmp_path / "plate").mkdir()
    with pytest.raises(PathNotAllowed, match="the mesh's own data folder"):
        refuse_own_data(tmp_path / named, tmp_path / "mesh")
    refuse_own_data(tmp_path / "plate", tmp_path / "mesh")


def test_no_link_leads_into_the_mesh_s_own_folder(tmp_path: Path) -> None:
    plate, keys = tmp_path / "plate", tmp_path / "mesh" / "keys"
    keys.mkdir(parents=True)
    plate.mkdir()
    (keys / "owner.secret").write_text("secret")
    (plate / "a.tif").symlink_to(keys / "owner.secret")
    roots = [RootSettings(path=str(tmp_path))]
    reach = reach_below(roots, None, requester="bob", administrator=False, data=tmp_path / "mesh")
    with pytest.raises(PathNotAllowed, match=f"no import from {tmp_path / 'mesh'}"):
        check_readable(plate, [SourceFile(path="a.tif", size=6)], reach)
    with pytest.raises(NotForReader):
        open_for(reach, plate / "a.tif")


def test_who_has_no_root_reaches_nothing(tmp_path: Path) -> None:
    reach = reach_below([RootSettings(path=str(tmp_path), users=("ada",))], None, requester="bob", administrator=False)
    assert reach.refuses_path("/etc/hostname")
    assert reach.refuses_path(str(tmp_path))


def test_what_lies_in_a_folder_that_is_a_link_out_is_refused_and_every_file_of_it(tmp_path: Path, plate: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (plate / "inside").mkdir()
    for folder in ("elsewhere", "microscope/plate/inside"):
        for name in ("A02.tif", "A03.tif"):
            (tmp_path / folder / name).write_bytes(b"plane")
    (plate / "out").symlink_to(tmp_path / "elsewhere")
    (plate / "in").symlink_to("inside")
    inside, out = (
        [SourceFile(path=f"{one}/{name}", size=5) for name in ("A02.tif", "A03.tif")] for one in ("in", "out")
    )
    check_readable(plate, inside, EVERYTHING)
    with pytest.raises(PathNotAllowed, match=r"out/A02\.tif \(a link leads out.*out/A03\.tif"):
        check_readable(plate, [*inside, *out], EVERYTHING)


def test_a_file_that_was_put_in_the_place_of_the_settled_one_is_refused(plate: Path) -> None:
    files = found(plate)
    (plate / "new").write_bytes(b"other")
    (plate / "new").replace(plate / "A01.tif")
    with pytest.raises(PathNotAllowed, match="not the file that had settled"):
        check_readable(plate, files, EVERYTHING)


def test_a_file_that_went_away_is_named(plate: Path) -> None:
    files = found(plate)
    (plate / "A01.tif").unlink()
    with pytest.raises(SourceNotFound, match=r"A01\.tif"):
        check_readable(plate, files, EVERYTHING)


@pytest.fixture
def open_plate() -> Iterator[Path]:
    """A plate in a folder that any account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-access-"))
    plate = folder / "plate"
    plate.mkdir(parents=True)
    for name in ("A01.tif", "A02.tif"):
        (plate / name).write_bytes(b"plane")
        (plate / name).chmod(0o644)
    folder.chmod(0o755)
    plate.chmod(0o755)
    yield plate
    shutil.rmtree(folder)


def test_what_the_requester_can_read_himself_is_imported_for_him(open_plate: Path) -> None:
    check_readable(open_plate, found(open_plate), Reach(account=ANNA))


def test_a_file_that_the_requester_cannot_read_is_refused_and_named(open_plate: Path) -> None:
    (open_plate / "A02.tif").chmod(0o640)
    with pytest.raises(PathNotAllowed, match=r"anna may not have A02\.tif \(no permission to read it\) imported"):
        check_readable(open_plate, found(open_plate), Reach(account=ANNA))
    check_readable(open_plate, found(open_plate), EVERYTHING)


def test_a_folder_on_the_way_that_he_cannot_enter_is_named(open_plate: Path) -> None:
    open_plate.parent.chmod(0o700)
    with pytest.raises(PathNotAllowed, match=f"no permission to enter {open_plate.parent}") as refused:
        check_readable(open_plate, found(open_plate), Reach(account=ANNA))
    assert "A01" not in str(refused.value), "what lies in it is no business of his"
