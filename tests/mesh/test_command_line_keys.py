"""Keys by the command line: what is asked for is done, also where a file beside it is no key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcs_mesh.command_line import keys
from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.layout import DataLayout
from hcs_mesh.transport import KeyFileError, KeyRing, Principal, Role
from hcs_mesh.transport.keys import new_pair


def let_in(data: Path, name: str) -> str:
    public = new_pair().public
    KeyRing(DataLayout(data).allowed_keys).allow(Principal(name=name, role="user"), public)
    return public


def damaged(data: Path) -> Path:
    file = DataLayout(data).allowed_keys / "broken.toml"
    file.write_text("not = [a key", encoding="utf-8")
    return file


def test_a_key_is_revoked_beside_a_damaged_file_which_is_told_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    let_in(tmp_path, "anna")
    let_in(tmp_path, "bert")
    damaged(tmp_path)
    with pytest.raises(KeyFileError, match=r"broken\.toml"):
        keys.revoke(tmp_path, "anna", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "anna", "role": "user"}
    assert [one.name for one, _ in KeyRing(DataLayout(tmp_path).allowed_keys, lenient=True).allowed()] == ["bert"]


def test_keys_are_listed_beside_a_damaged_file_which_is_told_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = let_in(tmp_path, "anna")
    damaged(tmp_path)
    with pytest.raises(KeyFileError, match=r"broken\.toml"):
        keys.list_all(tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"name": "anna", "role": "user", "public": public}]


def test_a_new_key_is_kept_and_let_in_beside_a_damaged_file(tmp_path: Path) -> None:
    let_in(tmp_path, "anna")
    damaged(tmp_path)
    with pytest.raises(KeyFileError, match=r"broken\.toml"):
        keys.new(tmp_path, "bert", role="viewer", out=tmp_path / "bert.secret", as_json=True)
    with pytest.raises(KeyFileError, match=r"broken\.toml"):
        keys.allow(tmp_path, "carl", new_pair().public, role="viewer", as_json=True)
    assert (tmp_path / "bert.secret").exists()
    ring = KeyRing(DataLayout(tmp_path).allowed_keys, lenient=True)
    assert [one.name for one, _ in ring.allowed()] == ["anna", "bert", "carl"]


@pytest.mark.parametrize("role", [None, "viewer"], ids=["no role", "a role"])
@pytest.mark.parametrize("name", ["../../x", "a/b", "/x", "", ".hidden", "a'b", "a\nb", "x" * 65])
def test_a_name_that_could_not_be_let_in_gets_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, role: Role | None
) -> None:
    here = tmp_path / "deep" / "er"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    with pytest.raises(KeyFileError, match="no name for a key") as refused:
        keys.new(tmp_path / "data", name, role=role, out=None, as_json=False)
    assert "letters, digits" in refused.value.hint
    assert not list(tmp_path.rglob("*.secret"))
    assert capsys.readouterr().out == ""


def test_nobody_s_key_goes_by_the_name_of_the_mesh_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for role in (None, "user"):
        with pytest.raises(KeyFileError, match="'mesh' is no name for a key"):
            keys.new(tmp_path / "data", "mesh", role=role, out=None, as_json=False)  # type: ignore[arg-type]
    with pytest.raises(KeyFileError, match="'mesh' is no name for a key"):
        let_in(tmp_path, "mesh")
    let_in(tmp_path, "anna")
    ring = DataLayout(tmp_path).allowed_keys
    file = ring / "anna.toml"
    file.write_text(file.read_text().replace("'anna'", "'mesh'"))
    with pytest.raises(KeyFileError, match="the mesh itself goes by the name 'mesh'"):
        KeyRing(ring)
    assert not KeyRing(ring, lenient=True).allowed()


def test_who_is_not_found_beside_a_damaged_file_is_told_with_it(tmp_path: Path) -> None:
    let_in(tmp_path, "anna")
    file = damaged(tmp_path)
    with pytest.raises(KeyFileError, match="no key of the name 'eve'") as refused:
        keys.revoke(tmp_path, "eve", as_json=True)
    assert str(file) in refused.value.hint


def test_a_key_file_that_was_copied_under_another_name_goes_with_its_original(tmp_path: Path) -> None:
    let_in(tmp_path, "anna")
    folder = DataLayout(tmp_path).allowed_keys
    (folder / "annas copy.toml").write_text((folder / "anna.toml").read_text(encoding="utf-8"), encoding="utf-8")
    keys.revoke(tmp_path, "anna", as_json=True)
    assert list(folder.iterdir()) == []


def test_a_new_key_takes_nobodys_name(tmp_path: Path) -> None:
    public = let_in(tmp_path, "anna")
    with pytest.raises(CommandFailed, match="anna is let in already") as refused:
        keys.new(tmp_path, "anna", role="viewer", out=tmp_path / "anna.secret", as_json=True)
    assert "keys revoke anna" in refused.value.hint
    assert not (tmp_path / "anna.secret").exists()
    ring = KeyRing(DataLayout(tmp_path).allowed_keys)
    assert ring.allowed() == ((Principal(name="anna", role="user"), public),)


@pytest.mark.parametrize("command", ["allow", "new"])
def test_a_name_that_two_take_at_the_same_moment_is_one_key_s_and_the_other_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    taken: list[str] = []

    def look(ring: KeyRing, name: str) -> None:
        check_free(ring, name)
        # Another one found it free as well.
        taken.append(let_in(tmp_path, name))

    def take() -> None:
        if command == "allow":
            keys.allow(tmp_path, "anna", new_pair().public, role="user", as_json=False)
        else:
            keys.new(tmp_path, "anna", role="user", out=tmp_path / "anna.secret", as_json=False)

    check_free = keys._check_free
    monkeypatch.setattr(keys, "_check_free", look)
    with pytest.raises(KeyFileError, match="the name anna has just been taken") as refused:
        take()
    assert "keys revoke anna" in refused.value.hint
    assert not (tmp_path / "anna.secret").exists()
    assert capsys.readouterr().out == ""
    ring = KeyRing(DataLayout(tmp_path).allowed_keys)
    assert [(one.name, public) for one, public in ring.allowed()] == [("anna", taken[0])]


def test_a_role_and_a_damaged_file_are_mended_by_letting_the_key_in_again(tmp_path: Path) -> None:
    public = let_in(tmp_path, "anna")
    keys.allow(tmp_path, "anna", public, role="viewer", as_json=True)
    damaged(tmp_path)
    other = new_pair().public
    keys.allow(tmp_path, "broken", other, role="user", as_json=True)
    ring = KeyRing(DataLayout(tmp_path).allowed_keys)
    assert [(one.name, one.role, public) for one, public in ring.allowed()] == [
        ("anna", "viewer", public),
        ("broken", "user", other),
    ]


def test_the_owners_name_takes_no_other_key(tmp_path: Path) -> None:
    public = let_in(tmp_path, "owner")
    with pytest.raises(CommandFailed, match="made by the mesh"):
        keys.new(tmp_path, "owner", role="viewer", out=tmp_path / "owner.secret", as_json=True)
    with pytest.raises(CommandFailed, match="made by the mesh"):
        keys.allow(tmp_path, "owner", new_pair().public, role="administrator", as_json=True)
    assert [one for _, one in KeyRing(DataLayout(tmp_path).allowed_keys).allowed()] == [public]
