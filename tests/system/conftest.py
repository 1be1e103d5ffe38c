"""A mesh in processes of its own, and the command line beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SETTINGS = """
[devices]
cpu_slots = 2
gpu = "off"

[imports]
settle_s = 0.1
# Test data were written whenever they were fetched: a pause between that and a file made by a test is no rhythm.
longest_patience_s = 10
first_retry_s = 0.1
longest_retry_s = 0.4
max_attempts = 3
"""

PATIENCE_S = 240.0
"""For a test that says nothing else: a command takes half a second, and seconds on a computer that is busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that their processes take."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


class Answer(NamedTuple):
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """What a machine reads; the command must have succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one message of a command that failed as it should: an error and a hint, and no traceback."""
        assert self.code == 1, (self.code, self.out, self.err)
        assert "Traceback" not in self.out + self.err
        (line,) = self.err.strip().splitlines()
        told = json.loads(line)
        assert set(told) == {"error", "hint"}
        assert told["error"], told
        assert told["hint"], told
        return f"{told['error']}\n{told['hint']}"


class MeshOnData:
    """Commands against the mesh on one data folder."""

    def __init__(
        self,
        data: Path,
        environment: dict[str, str],
        *,
        prefix: tuple[str, ...] = (),
        person: tuple[str, Path] | None = None,
    ) -> None:
        self.data = data
        self.environment = environment
        self._prefix = prefix
        self._person = person

    def asked_by(self, name: str, key: Path) -> "MeshOnData":
        """The same mesh for somebody with a key; what is imported is handed over by the mesh's owner.

        A person imports what an account of that name may read, and there is none on a computer that runs tests.
        """
        return MeshOnData(self.data, self.environment, prefix=self._prefix, person=(name, key))

    def __call__(self, *words: object, timeout_s: float = 100) -> Answer:
        """Run one command to its end."""
        if self._person is not None:
            name, key = self._person
            words = (*words, "--for", name) if words[0] == "import" else (*words, "--key", key)
        command = [*self._prefix, sys.executable, "-P", "-m", "hcs_mesh", *map(str, words), "--json"]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout_s)
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def imported(self, source: Path, *words: object, timeout_s: float = 100) -> int:
        """Import a source that holds one plate, imported before or not, and return the plate's id."""
        told = self("import", source, "--wait", "--force", *words, timeout_s=timeout_s).value
        assert told["state"] == "done"
        (plate,) = told["plates"]
        return int(plate)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The supervision tree by name."""
        return {row["name"]: row for row in self("ps").value}


@pytest.fixture(scope="session")
def mesh_up(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Bring a mesh up as a user does, and down at the end."""

    @contextmanager
    def up(data: Path | None = None, *, more_settings: str = "", prefix: tuple[str, ...] = ()) -> Iterator[MeshOnData]:
        folder = tmp_path_factory.mktemp("mesh")
        config = folder / "settings.toml"
        config.write_text(SETTINGS + more_settings, encoding="utf-8")
        folder.chmod(0o755)
        data = data or folder / "data"
        environment = {**os.environ, "HCS_MESH_CONFIG": str(config), "HCS_MESH_DATA": str(data)}
        mesh = MeshOnData(data, environment, prefix=prefix)
        assert mesh("up", "--detach").code == 0, mesh("status")
        try:
            yield mesh
        finally:
            down = mesh("down")
        assert down.code == 0, down.err

    return up


@pytest.fixture(scope="module")
def mesh(mesh_up: Callable[..., Any]) -> Iterator[MeshOnData]:
    """One mesh for all tests of a module."""
    with mesh_up() as up:
        yield up
