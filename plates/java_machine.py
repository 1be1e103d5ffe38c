"""The Java machine of this process: started when Bio-Formats is first asked for something."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config.format_settings import BioformatsSettings
from .errors import ReaderUnavailable, UnreadableImage

_starting = threading.Lock()
_chosen = BioformatsSettings()


def use_bioformats(settings: BioformatsSettings) -> None:
    """Let this process read with Bio-Formats from now on; nothing is started yet."""
    global _chosen  # noqa: PLW0603 - a process has one Java machine, and it cannot be started twice
    _chosen = settings


def bioformats_in_use() -> bool:
    """Whether this process was given a jar."""
    return bool(_chosen.jar)


def loci() -> Any:
    """The Java package that Bio-Formats is, in a machine that runs.

    Raises:
        ReaderUnavailable: no jar was chosen, it is not there, or Java or JPype is not installed.
    """
    jar = _jar()
    try:
        import jpype
    except ImportError as error:
        raise ReaderUnavailable(
            "Bio-Formats needs JPype, which is not installed", hint="pip install 'hcs-mesh[bioformats]'"
        ) from error
    with _starting:
        if not jpype.isJVMStarted():
            _start(jpype, jar)
    return jpype.JPackage("loci")


@contextmanager
def told_as_unreadable(file: str) -> Iterator[None]:
    """Turn whatever Java throws into an error that names the file.

    Raises:
        UnreadableImage: the block failed.
    """
    import jpype

    try:
        yield
    except jpype.JException as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UnreadableImage(
            f"{file} cannot be read with Bio-Formats: {reason}",
            hint="Does the file open in Bio-Formats' own viewer? If memory is short, raise bioformats.memory_mib.",
        ) from error


def _jar() -> Path:
    if not _chosen.jar:
        raise ReaderUnavailable(
            "this process has no reader for the file: no Bio-Formats jar is set",
            hint='Set jar = "/path/bioformats_package.jar" under [bioformats] in the settings.',
        )
    jar = Path(_chosen.jar)
    if not jar.is_file():
        raise ReaderUnavailable(f"there is no Bio-Formats jar at {jar}", hint="Correct bioformats.jar in the settings.")
    return jar


def _start(jpype: Any, jar: Path) -> None:
    options = (
        f"-Xmx{_chosen.memory_mib}m",
        # The process has a limit of address space: what Java merely reserves counts, so it reserves little.
        "-XX:+UseSerialGC",
        "-XX:CompressedClassSpaceSize=64m",
        "-XX:ReservedCodeCacheSize=64m",
        "-XX:TieredStopAtLevel=1",
        # Signals are the mesh's: Java takes none.
        "-Xrs",
        "-Djava.awt.headless=true",
    )
    try:
        jpype.startJVM(*options, classpath=[str(jar)], convertStrings=True)
    except (RuntimeError, OSError, ValueError) as error:
        raise ReaderUnavailable(
            f"Java cannot be started for Bio-Formats: {str(error).splitlines()[0]}",
            hint="Install a Java runtime (Debian: default-jre-headless), or lower bioformats.memory_mib.",
        ) from error
    # Its readers tell of every guess they make, on standard output.
    jpype.JPackage("loci").common.DebugTools.setRootLevel("ERROR")
