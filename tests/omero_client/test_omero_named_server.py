"""The tests of any server go to the one that the environment names, as the people who are somebody there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omero_server.running import running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

PEOPLE = {"ada": ["a.byron", "secret 1"], "grace": ["g.hopper", "secret 2"]}
SETUP = {
    "groups": [{"name": "lovelace", "permissions": "rw----"}],
    "users": [{"name": name, "password": word, "groups": ["lovelace"]} for name, word in PEOPLE.values()],
}
CORE = Path(__file__).with_name("test_omero_any_server.py")


def test_the_server_that_the_environment_names_is_the_one_that_is_tested(tmp_path: Path) -> None:
    people = tmp_path / "people.json"
    people.write_text(json.dumps(PEOPLE))
    with running_server(tmp_path / "omero", SETUP) as server:
        named = {
            "OMERO_HOST": server.host,
            "OMERO_PORT": str(server.port),
            "OMERO_CA_FILE": str(server.certificate),
            "OMERO_PEOPLE": str(people),
        }
        words = ["-q", "-p", "no:cacheprovider", "-k", "somebody_else or files_and_the_record", str(CORE)]
        run = subprocess.run(
            [sys.executable, "-m", "pytest", f"--basetemp={tmp_path / 'within'}", *words],
            env=os.environ | named,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
        assert "2 passed" in run.stdout
        counts = server.control.counts()
    assert counts["ManagedRepository.importFileset"] == 2
    assert counts["IUpdate.saveArray"] > 0
