"""What docker's words mean: its errors, and its list of containers (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from .life import Kind, Problem

_HINTS: dict[Kind, str] = {
    "docker-missing": "Ask the administrator to install Docker Engine with its compose plugin; or set omero.host to a "
    "server elsewhere.",
    "docker-down": "Ask the administrator to start the docker service, or start docker in rootless mode.",
    "docker-denied": "Ask the administrator to add you to the group docker (then log in again), or run docker in "
    "rootless mode. Nothing here is run as root for you.",
    "taken": "Stop what listens there, or set another omero.port; --web-port moves OMERO.web.",
    "docker-failed": "hcs-mesh omero down stops what was started; then once more.",
}
_IMAGES = "The images come from Docker's registry: check the network, or a proxy in docker's settings."
_DISK = "Make room on the disk that docker keeps its data on."

# The first that is found tells it. The words of docker's versions 20 to 29, in small letters.
_WORDS: tuple[tuple[tuple[str, ...], Kind, str], ...] = (
    (("permission denied while trying to connect to the docker",), "docker-denied", ""),
    (("dial unix", "permission denied"), "docker-denied", ""),
    (("cannot connect to the docker daemon",), "docker-down", ""),
    (("failed to connect to the docker api",), "docker-down", ""),
    (("is the docker daemon running",), "docker-down", ""),
    (("error during connect",), "docker-down", ""),
    (("'compose' is not a docker command",), "docker-missing", ""),
    (("unknown command: docker compose",), "docker-missing", ""),
    (("unknown flag: --project-name",), "docker-missing", ""),
    (("port is already allocated",), "taken", ""),
    (("address already in use",), "taken", ""),
    (("ports are not available",), "taken", ""),
    (("no space left on device",), "docker-failed", _DISK),
    (("manifest unknown",), "docker-failed", _IMAGES),
    (("pull access denied",), "docker-failed", _IMAGES),
    (("failed to resolve reference",), "docker-failed", _IMAGES),
    (("no such host",), "docker-failed", _IMAGES),
    (("i/o timeout",), "docker-failed", _IMAGES),
    (("tls handshake timeout",), "docker-failed", _IMAGES),
)
_MEANS: dict[Kind, str] = {
    "docker-missing": "Docker has no compose",
    "docker-down": "The docker daemon does not run",
    "docker-denied": "This account may not use docker",
    "taken": "A port that OMERO needs is taken",
    "docker-failed": "Docker could not do it",
}


def problem_of(said: str) -> Problem:
    """What it means that docker failed with these words."""
    small = said.lower()
    kind, hint = next(
        ((kind, hint) for words, kind, hint in _WORDS if all(word in small for word in words)), ("docker-failed", "")
    )
    return Problem(kind, f"{_MEANS[kind]} ({_telling_line(said)}).", hint or _HINTS[kind])


def no_program(why: str) -> Problem:
    """That there is no docker program to run."""
    return Problem("docker-missing", f"There is no docker program here ({why}).", _HINTS["docker-missing"])


class Container(NamedTuple):
    """One line of docker's list."""

    service: str
    state: str
    exit_code: int

    @property
    def has_ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self.state in ("exited", "dead", "removing")


def containers_in(listing: str) -> tuple[Container, ...]:
    """The containers of ``docker compose ps --format json``: one object a line, or one list in older versions.

    Raises:
        ValueError: it is no such list.
    """
    return tuple(
        Container(str(one["Service"]), str(one["State"]).lower(), int(one.get("ExitCode") or 0))
        for one in _objects(listing)
    )


def ended(container: Container, log: str) -> Problem:
    """That a container has ended, with the last that it said."""
    told = log.strip()
    said = f"; the last that it said:\n{told}" if told else ", and said nothing"
    return Problem(
        "container-ended",
        f"The container '{container.service}' has ended with exit code {container.exit_code}{said}",
        "Mend what it says; hcs-mesh omero up starts it again, hcs-mesh omero down removes it.",
    )


def _objects(listing: str) -> Iterator[dict[str, Any]]:
    for line in listing.splitlines():
        if not line.strip():
            continue
        found = json.loads(line)
        for one in found if isinstance(found, list) else [found]:
            if not isinstance(one, dict) or not {"Service", "State"} <= one.keys():
                raise ValueError("not a list of containers")
            yield one


def _telling_line(said: str) -> str:
    """The line that tells most: one that says it is an error, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [
        line for line in lines if "error" in line.lower() or "denied" in line.lower() or "cannot" in line.lower()
    ]
    return (telling or lines or ["it said nothing"])[-1][:300].rstrip(".")
