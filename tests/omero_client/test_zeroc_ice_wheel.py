"""The wheel that omero-py needs: the source is edited only when it is the known one, and built only when it must be."""

import importlib
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SLICE = "#include <compile.h>\n#include <eval.h>\n\nusing namespace std;\n"
UTIL = "    PyFrameObject *f = PyThreadState_GET()->frame;\n"


@pytest.fixture
def zeroc_ice(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(checkout / "tools"))
    return importlib.import_module("zeroc_ice")


@pytest.fixture
def environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(checkout / "tools"))
    return importlib.import_module("environment")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any index, and with a cache of its own."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def source(folder: Path, *, slice_cpp: str = SLICE, util_cpp: str = UTIL) -> Path:
    (folder / "src").mkdir()
    (folder / "src" / "Slice.cpp").write_text(slice_cpp)
    (folder / "src" / "Util.cpp").write_text(util_cpp)
    return folder


def ready_wheel(folder: Path) -> Path:
    """A folder with a wheel that pip takes for zeroc-ice."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "zeroc_ice-3.6.5-py3-none-any.whl", "w") as wheel:
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: zeroc-ice\nVersion: 3.6.5\n"),
            ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            wheel.writestr(f"zeroc_ice-3.6.5.dist-info/{name}", text)
    return folder


def test_the_two_lines_that_python_3_11_lacks_are_edited(zeroc_ice: ModuleType, tmp_path: Path) -> None:
    zeroc_ice.edit(source(tmp_path))
    assert (tmp_path / "src" / "Slice.cpp").read_text() == "#include <compile.h>\n\nusing namespace std;\n"
    assert (tmp_path / "src" / "Util.cpp").read_text() == (
        "    PyFrameObject *f = PyThreadState_GetFrame(PyThreadState_GET());\n"
    )


@pytest.mark.parametrize(
    ("slice_cpp", "util_cpp", "said"),
    [
        (SLICE, UTIL + UTIL, r"src/Util.cpp holds 'PyThreadState_GET\(\)->frame' 2 times"),
        (SLICE, "", r"src/Util.cpp holds .* 0 times"),
        ("using namespace std;\n", UTIL, r"src/Slice.cpp holds '#include <eval.h>' 0 times"),
    ],
)
def test_another_source_is_refused_and_left_as_it_is(
    zeroc_ice: ModuleType, tmp_path: Path, slice_cpp: str, util_cpp: str, said: str
) -> None:
    source(tmp_path, slice_cpp=slice_cpp, util_cpp=util_cpp)
    with pytest.raises(zeroc_ice.Unavailable, match=said):
        zeroc_ice.edit(tmp_path)
    assert (tmp_path / "src" / "Slice.cpp").read_text() == slice_cpp
    assert (tmp_path / "src" / "Util.cpp").read_text() == util_cpp


def test_a_source_without_the_files_is_refused(zeroc_ice: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(zeroc_ice.Unavailable, match="not the one that is known"):
        zeroc_ice.edit(tmp_path)


def test_a_python_for_which_two_edits_are_not_enough_is_refused(zeroc_ice: ModuleType) -> None:
    zeroc_ice.check_python((3, 11))
    with pytest.raises(zeroc_ice.Unavailable, match="PIP_FIND_LINKS"):
        zeroc_ice.check_python((3, 12))


@pytest.mark.usefixtures("offline")
def test_nothing_is_built_where_pip_finds_a_wheel(
    zeroc_ice: ModuleType, environment: ModuleType, tmp_path: Path
) -> None:
    environment.look_also_in(ready_wheel(tmp_path / "wheels beside the checkout"))
    assert zeroc_ice.wheel_folder(Path(sys.executable)) is None


@pytest.mark.usefixtures("offline")
def test_a_wheel_that_was_built_before_is_taken_from_the_cache(zeroc_ice: ModuleType) -> None:
    _, tag = zeroc_ice.told_by(Path(sys.executable))
    kept = zeroc_ice.cache_folder() / tag
    kept.parent.mkdir(parents=True)
    ready_wheel(kept)
    assert zeroc_ice.wheel_folder(Path(sys.executable)) == kept


@pytest.mark.usefixtures("offline")
def test_an_environment_without_the_wheel_leaves_out_omero_alone(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "interpreter", lambda _: Path(sys.executable))
    assert environment.see_to_zeroc_ice(Path("an-environment"), "test,omero,web") == "test,web"
    assert "an-environment is made without the extra omero" in capsys.readouterr().err
