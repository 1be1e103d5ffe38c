"""The web pages of a running mesh, on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from pathlib import Path

from ..client import Client
from ..config.written_out import shown
from .errors import CommandFailed
from .printing import print_json


async def serve_pages(data: Path, *, port: int, key: Path | None = None, as_json: bool = False) -> None:
    """Serve the pages on 127.0.0.1.

    Raises:
        CommandFailed: uvicorn is missing, or the port is taken.
        WebMissing: Starlette is missing.
        NodeMissing: no mesh is up there.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise CommandFailed("the web pages need uvicorn, which is not installed", hint="pip install 'hcs-mesh[web]'")
    import uvicorn

    from ..web.app import create_app

    async with Client.at(data, key=key) as mesh:
        await mesh.status()
        app = create_app(mesh)
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
            except OSError as error:
                raise CommandFailed(
                    f"port {port} is taken: {error.strerror}", hint="choose another with --port"
                ) from error
            port_taken = listening.getsockname()[1]
            url = f"http://127.0.0.1:{port_taken}/"
            if as_json:
                print_json({"url": url, "data": str(data)})
            else:
                print(f"{url} shows the mesh on {shown(str(data))}; Ctrl-C ends this page, not the mesh", flush=True)
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
            await asyncio.shield(server.serve(sockets=[listening]))
