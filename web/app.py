"""The web application, made for one mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .client import MeshClient
from .errors import WebMissing

if TYPE_CHECKING:
    from starlette.applications import Starlette

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def create_app(client: MeshClient, *, allowed_hosts: Sequence[str] = LOCAL_HOSTS) -> Starlette:
    """Build the application that shows the mesh behind ``client``; it owns neither loop nor socket.

    Requests that name another host are refused: without that, any web page could read the mesh
    through its visitor's browser (DNS rebinding).

    Raises:
        WebMissing: Starlette is not installed.
    """
    try:
        from .routes import build
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "starlette":
            raise
        raise WebMissing(
            "the web pages need Starlette, which is not installed",
            hint="Install the extra: pip install 'hcs-mesh[web]'",
        ) from error
    return build(client, allowed_hosts)
