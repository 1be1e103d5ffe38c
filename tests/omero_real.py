"""A real OMERO.server that the environment names, and who of it plays which of the tests' people."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple


class RealServer(NamedTuple):
    """A server that nobody here has started, or may confuse."""

    host: str
    port: int
    certificate: Path | None
    """What its certificate is checked with; without it, it is not checked, as by OMERO's own clients."""
    people: dict[str, tuple[str, str]]
    """The name and the password at the server of each of ``ada`` and ``grace``."""


def real_server() -> RealServer | None:
    """The server of OMERO_HOST; None where it names none.

    OMERO_PEOPLE names a file of JSON, ``{"ada": ["NAME", "PASSWORD"], "grace": [...]}``: two users without privileges
    whose usual group is a private one. Without it OMERO_USER and OMERO_PASSWORD play ada, and the tests that take
    somebody else fail. OMERO_PORT (4064) and OMERO_CA_FILE say the rest.
    """
    host = os.environ.get("OMERO_HOST")
    if not host:
        return None
    certificate = os.environ.get("OMERO_CA_FILE")
    return RealServer(
        host,
        int(os.environ.get("OMERO_PORT", "4064")),
        Path(certificate) if certificate else None,
        _people(),
    )


def _people() -> dict[str, tuple[str, str]]:
    if path := os.environ.get("OMERO_PEOPLE"):
        said = json.loads(Path(path).read_text(encoding="utf-8"))
        return {role: (str(name), str(password)) for role, (name, password) in said.items()}
    return {"ada": (os.environ["OMERO_USER"], os.environ["OMERO_PASSWORD"])}
