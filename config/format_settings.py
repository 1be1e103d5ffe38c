"""The settings of formats that are read by somebody else's library (pure)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .errors import ConfigError
from .section import TEBIBYTE, Section


class BioformatsSettings(Section, frozen=True, kw_only=True):
    """Bio-Formats, where the user has its jar: it reads czi, lif, nd2, vsi and their like."""

    jar: str = ""
    """The path of bioformats_package.jar on every host that reads images; empty means that there is none."""
    memory_mib: Annotated[int, Meta(ge=64, le=TEBIBYTE // 2**20)] = 512
    """The Java heap (-Xmx) of each process that reads; the inspector's own limit must leave room for it."""


BESIDE_JAVA_MIB = 1024
"""What an inspector needs beside the Java heap: the interpreter, its libraries, and what Java reserves for itself."""


def check_java_memory(settings: BioformatsSettings, inspector_mib: int) -> None:
    """Refuse a Java heap for which the inspector has no room.

    Raises:
        ConfigError: A jar is set, and heap and interpreter together pass the inspector's limit.
    """
    if settings.jar and settings.memory_mib + BESIDE_JAVA_MIB > inspector_mib:
        raise ConfigError(
            f"bioformats.memory_mib ({settings.memory_mib}) and {BESIDE_JAVA_MIB} MiB beside it do not fit into "
            f"inspector.memory_mib ({inspector_mib}).",
            hint="Raise inspector.memory_mib or lower bioformats.memory_mib.",
        )
