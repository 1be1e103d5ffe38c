"""Commands that let the mesh act for a person at OMERO, and keep it from doing so."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from ..client import Client
from ..config import MeshError, Settings, load_settings
from ..plates.omero.address import Password, SessionKey, address_of
from ..plates.omero.connection import Connection, close_quietly, end_quietly
from ..plates.omero.secret import Secret
from .asking import Question
from .errors import CommandFailed
from .omero_instance import NOT_SET
from .printing import print_json

OWN = "[omero] host names a server, in the settings of a mesh with a data folder of its own; hcs-mesh down, then up"
GIVEN_BACK = (
    "the mesh begins nothing more in that session, and its executors let go of it within two minutes; "
    "an upload that has begun in it goes on to its end"
)


def login(question: Question, config: Path | None, *, user: str, by_session: bool) -> None:
    """Hand a session over to the mesh: one that is there, or one that is opened with a password.

    Raises:
        ConfigError: a setting is wrong.
        CommandFailed: there is nobody to ask for a password, or no server to give it to.
        OmeroError: the server does not let the person in, or cannot be reached.
        MeshError: no mesh is up, or it does not take the session.
    """

    async def look(mesh: Client) -> tuple[str, str]:
        return (await mesh.who_am_i()).name, (await mesh.status()).repository

    # Whoever is to type a password first hears what would make that useless.
    name, repository = question.ask(look)
    if not repository.startswith("omero"):
        raise CommandFailed(f"the mesh that is up keeps its plates in: {repository}, and not in OMERO", hint=OWN)
    user = user or name
    if by_session:
        _hand_in(question, _session_key(), user)
        return
    settings = load_settings(config, data=question.data).settings
    if not settings.omero.host:
        raise CommandFailed("no OMERO.server is set: omero.host is empty", hint=NOT_SET)
    connection = Connection(address_of(settings.omero), Password(user=user, password=_password(settings, user)))
    try:
        _hand_in(question, connection.key, user)
    except MeshError:
        # Nobody would ever use it.
        end_quietly(connection)
        raise
    close_quietly(connection)


def logout(question: Question, *, user: str) -> None:
    """Take a session back.

    Raises:
        MeshError: no mesh is up, or it refuses.
    """
    had = question.ask(lambda mesh: mesh.take_back_session(user=user))
    if question.as_json:
        print_json({"taken_back": had})
    else:
        print(GIVEN_BACK if had else "the mesh had no session of that person")


def _hand_in(question: Question, key: SessionKey, user: str) -> None:
    held = question.ask(lambda mesh: mesh.hand_in_session(key.uuid.reveal(), user=user))
    if question.as_json:
        print_json({"user": held.user, "server": held.server})
    else:
        print(f"the mesh acts as {held.user} at OMERO {held.server} from now on")


def _password(settings: Settings, user: str) -> Secret:
    if not sys.stdin.isatty():
        raise CommandFailed(
            f"the password of {user} at OMERO is asked for at a terminal, and there is none",
            hint="--session reads the key of a session from standard input instead",
        )
    return Secret(getpass.getpass(f"Password of {user} at OMERO {settings.omero.host}: "))


def _session_key() -> SessionKey:
    prompt = "Key of the session: "
    line = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    if not line.strip():
        raise CommandFailed(
            "no key of a session came by standard input",
            hint="omero sessions key | hcs-mesh omero login --session",
        )
    return SessionKey(uuid=Secret(line.strip()))
