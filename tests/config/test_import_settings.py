"""Settings of imports and watched folders: what could never work is refused before the mesh is up."""

from pathlib import Path

import pytest

from hcs_mesh.config import ConfigError, GuestSettings, Settings, WatchSettings, load_settings
from hcs_mesh.config.hours import parse_hours

WATCHED = """
[[imports.roots]]
path = "/data"
delete_source = true
[[imports.roots]]
path = "/data/kept"
[[watch]]
path = "/data/scope"
mail = "ada@example.org"
"""


def refused(folder: Path, text: str) -> str:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_settings(path, environ={})
    return f"{refusal.value} {refusal.value.hint}"


@pytest.mark.parametrize(
    "hours", ["banana", "24:00-07:00", "18:60-07:00", "18:00-07:00,", "18:00-24:30", "18:00-25:00", "18-07"]
)
def test_hours_that_are_none_are_refused_where_they_are_set(tmp_path: Path, hours: str) -> None:
    assert "18:00-07:00" in refused(tmp_path, f'[guest]\nhours = "{hours}"\n').partition("Write it as")[2]
    with pytest.raises(ConfigError, match=r"guest\.hours"):
        GuestSettings(hours=hours)


@pytest.mark.parametrize("hours", ["", "18:00-07:00", "0:00-24:00", " 12:00-13:00 , 18:00 - 07:00"])
def test_hours_that_are_some_are_kept_as_they_were_written(hours: str) -> None:
    assert GuestSettings(hours=hours).hours == hours
    parse_hours(hours)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("/data/scope", "/elsewhere", "lies below none of imports.roots"),
        ("/data/scope", "/data/../elsewhere", "lies below none of imports.roots"),
        ("/data/scope", "/database", "lies below none of imports.roots"),
        ('"/data/scope"', '"/data/kept/scope"\ndelete_source = true', "sources below '/data/kept' are not deleted"),
        ("ada@example.org", "ada", "watch.mail is 'ada'"),
    ],
)
def test_a_watched_folder_of_which_nothing_could_be_imported_is_refused(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert said in refused(tmp_path, WATCHED.replace(before, after))


def test_a_watched_folder_below_a_root_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    for text in (WATCHED, WATCHED.replace("/data/scope", "/data"), WATCHED + "delete_source = true\n"):
        path.write_text(text, encoding="utf-8")
        assert load_settings(path, environ={}).settings.watch
    # Without roots it is the mesh's own word that counts.
    assert Settings(watch=(WatchSettings(path="/elsewhere"),))
    with pytest.raises(ConfigError, match="where no root is set"):
        Settings(watch=(WatchSettings(path="/elsewhere", delete_source=True),))


def test_a_number_out_of_its_bounds_is_refused_with_both_of_them(tmp_path: Path) -> None:
    assert "a number above 0 and at most 1" in refused(tmp_path, "[guest]\nleast_share = 2\n")


@pytest.mark.parametrize("again", ["/data/kept", "/data/kept/", "/data/other/../kept"])
def test_two_roots_of_one_folder_are_refused(tmp_path: Path, again: str) -> None:
    twice = f'{WATCHED}[[imports.roots]]\npath = "{again}"\nusers = ["ada"]\n'
    assert f"imports.roots has '{again}' twice" in refused(tmp_path, twice)


def test_a_first_patience_above_the_longest_is_refused(tmp_path: Path) -> None:
    assert "above imports.longest_patience_s (5)" in refused(
        tmp_path, "[imports]\npending_patience_s = 6\nlongest_patience_s = 5\n"
    )
