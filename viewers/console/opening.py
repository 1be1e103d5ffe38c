"""Opens the console, if Textual is there and the key may do what is asked for."""

from __future__ import annotations

import importlib.util

from ..errors import NotInControl, TextualMissing
from .mesh import ConsoleMesh


async def open_app(mesh: ConsoleMesh, *, control: bool) -> None:
    """Show the console until its user leaves it.

    Raises:
        TextualMissing: Textual cannot be imported.
        NotInControl: control is asked for, and the key is no administrator's.
        MeshError: the mesh does not answer.
    """
    if importlib.util.find_spec("textual") is None:
        raise TextualMissing("the console needs Textual, which is not installed", hint="pip install textual")
    principal = await mesh.who_am_i()
    if control and principal.role != "administrator":
        raise NotInControl(
            f"{principal.name} is {principal.role}, and only an administrator's key may control the mesh",
            hint="leave --control out to look, or give an administrator's key with --key",
        )
    from .application import Console

    await Console(mesh, principal=principal, control=control).run_async()
