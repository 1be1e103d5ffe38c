"""A docker program for tests: it keeps what it was asked in a folder, and its "server" container is the stand-in.

    FAKE_DOCKER=FOLDER python fake_docker.py compose --project-name P --file F --env-file E up --detach

FOLDER/setup.json, all keys optional: ``refuses`` {command: what it says on standard error}, ``holds`` (a command that
waits until FOLDER/release is there, and says so by FOLDER/held), ``server`` ("silent" listens and never speaks, "ends"
is over at once with ``log``, in which ROOTPASS is the password), ``compose`` (false: it has none). FOLDER/calls holds
one line of JSON for each call.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(os.environ["FAKE_DOCKER"])
SERVE = Path(__file__).resolve().parent / "omero_server" / "serve.py"
SERVICES = ("database", "server", "web")
SILENT = "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\nwhile True: s.accept()"
ENDS = "import sys; print(sys.argv[1]); sys.exit(3)"


def main() -> int:
    """Do as docker would, as far as anybody here asks it."""
    words = sys.argv[1:]
    with (HOME / "calls").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(words) + "\n")
    # What would take the place of the file of settings, in any shell that has it.
    assert not [name for name in os.environ if name.startswith(("COMPOSE_", "HCS_MESH_OMERO_"))], "whose settings?"
    setup = json.loads((HOME / "setup.json").read_text()) if (HOME / "setup.json").exists() else {}
    if words[0] != "compose" or not setup.get("compose", True):
        print("unknown flag: --project-name", file=sys.stderr)
        return 125
    options, command, rest = taken_apart(words[1:])
    if (said := setup.get("refuses", {}).get(command)) is not None:
        print(said, file=sys.stderr)
        return 1
    if setup.get("holds") == command:
        (HOME / "held.new").write_text(str(os.getpid()))
        (HOME / "held.new").replace(HOME / "held")
        while not (HOME / "release").exists():
            time.sleep(0.02)
    return {"up": up, "ps": ps, "logs": logs, "exec": run_inside, "down": down}[command](options, rest, setup)


def taken_apart(words: list[str]) -> tuple[dict[str, str], str, list[str]]:
    """Options of compose, its command, and what follows."""
    options = {}
    while words[0].startswith("--"):
        name, value, *words = words
        options[name] = value
    return options, words[0], words[1:]


def up(options: dict[str, str], rest: list[str], setup: dict[str, Any]) -> int:
    assert rest == ["--detach"], rest
    assert Path(options["--file"]).read_text().startswith("# The OMERO.server")
    lines = Path(options["--env-file"]).read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines)
    containers = known(options)
    if "server" in containers and is_alive(containers["server"]["pid"]):
        return 0
    port = int(given["HCS_MESH_OMERO_PORT"])
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            said = f"Error response from daemon: Bind for 127.0.0.1:{port} failed: port is already allocated"
            print(said, file=sys.stderr)
            return 1
    containers |= {service: {"pid": 0} for service in SERVICES}
    containers["server"]["pid"] = start_server(options, port, given, setup)
    keep(options, containers)
    # Last: whoever asked may be dead, which does not keep a daemon from doing what it was asked for.
    for service in SERVICES:
        print(f" Container {options['--project-name']}-{service}-1  Started", file=sys.stderr, flush=True)
    return 0


def start_server(options: dict[str, str], port: int, given: dict[str, str], setup: dict[str, Any]) -> int:
    volume = volume_of(options)
    volume.mkdir(exist_ok=True)
    # As the images do: another certificate at each start of the container.
    for name in ("server.crt", "server.key"):
        (volume / name).unlink(missing_ok=True)
    told = volume / "setup.json"
    if not told.exists():
        told.write_text(json.dumps({"root_password": given["HCS_MESH_OMERO_ROOT_PASSWORD"]}))
    command = {
        "silent": ["-c", SILENT, str(port)],
        "ends": ["-c", ENDS, setup.get("log", "").replace("ROOTPASS", given["HCS_MESH_OMERO_ROOT_PASSWORD"])],
    }.get(setup.get("server", ""), [str(SERVE), str(volume), "--port", str(port)])
    with (HOME / "server.log").open("wb") as log, (HOME / "server.out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", *command], stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True
        )
    return process.pid


def ps(options: dict[str, str], rest: list[str], setup: dict[str, Any]) -> int:
    assert rest == ["--all", "--format", "json"], rest
    for service, one in known(options).items():
        runs = service != "server" or is_alive(one["pid"])
        told = {"Service": service, "State": "running" if runs else "exited", "ExitCode": 0 if runs else 3}
        print(json.dumps(told))
    return 0


def logs(options: dict[str, str], rest: list[str], setup: dict[str, Any]) -> int:
    assert rest[-1] == "server"
    sys.stdout.write((HOME / "server.out").read_text())
    return 0


def run_inside(options: dict[str, str], rest: list[str], setup: dict[str, Any]) -> int:
    assert rest == ["-T", "server", "cat", "/OMERO/certs/server.pem"], rest
    certificate = volume_of(options) / "server.crt"
    if not certificate.exists():
        print("cat: /OMERO/certs/server.pem: No such file or directory", file=sys.stderr)
        return 1
    # With what must not be kept, should a server have it in the same file.
    sys.stdout.write("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n" + certificate.read_text())
    return 0


def down(options: dict[str, str], rest: list[str], setup: dict[str, Any]) -> int:
    assert rest in ([], ["--volumes"]), rest
    for one in known(options).values():
        if one["pid"]:
            end(one["pid"])
    keep(options, {})
    if rest:
        shutil.rmtree(volume_of(options), ignore_errors=True)
    return 0


def end(pid: int) -> None:
    """End a container's process, and come back when it is gone."""
    if is_alive(pid):
        os.kill(pid, signal.SIGTERM)
    while is_alive(pid):
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and that nobody has asked for runs no more."""
    try:
        return pid > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        # It has gone before it was looked at, or between the two steps of that.
        return False


def volume_of(options: dict[str, str]) -> Path:
    return HOME / f"{options['--project-name']}_omero"


def known(options: dict[str, str]) -> dict[str, Any]:
    file = HOME / f"{options['--project-name']}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def keep(options: dict[str, str], containers: dict[str, Any]) -> None:
    # Whole at every moment: tests look into it while docker is at work.
    kept = HOME / f"{options['--project-name']}.json"
    new = kept.with_name(f"{kept.name}.new")
    new.write_text(json.dumps(containers))
    new.replace(kept)


if __name__ == "__main__":
    sys.exit(main())
