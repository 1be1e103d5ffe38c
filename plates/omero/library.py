"""The one place where omero-py is loaded: when it is first needed, for it takes half a second and may be absent."""

from __future__ import annotations

import importlib.util
import threading
import warnings
from functools import cache
from typing import Any, NamedTuple

from .errors import OmeroMissing


class OmeroPy(NamedTuple):
    """The modules of omero-py and of Ice beneath it; they have no types."""

    omero: Any
    rtypes: Any
    ice: Any


_loading = threading.Lock()


def omero_py() -> OmeroPy:
    """Return omero-py.

    Raises:
        OmeroMissing: it is not installed.
    """
    with _loading:
        return _loaded()


def must_be_installed() -> None:
    """Promise that omero-py is there, without loading it.

    Raises:
        OmeroMissing: it is not installed.
    """
    for module in ("Ice", "omero"):
        if importlib.util.find_spec(module) is None:
            raise _missing(module)


def _missing(what: str) -> OmeroMissing:
    return OmeroMissing(
        f"Plates in OMERO need omero-py, which is not installed ({what}).",
        hint="pip install 'hcs-mesh[omero]'; docs/omero.md says how zeroc-ice is had where it does not install.",
    )


@cache
def _loaded() -> OmeroPy:
    try:
        with warnings.catch_warnings():
            # zeroc-ice imports the module imp.
            warnings.simplefilter("ignore", DeprecationWarning)
            import Ice
            import omero.callbacks
            import omero.clients
            import omero.cmd
            import omero.grid
            import omero.model
            import omero.rtypes
            import omero.sys
    except ImportError as error:
        raise _missing(error.name or str(error)) from error
    return OmeroPy(omero, omero.rtypes, Ice)
