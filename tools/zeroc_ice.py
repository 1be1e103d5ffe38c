"""Builds the wheel of zeroc-ice that omero-py needs, for the Python that runs this, and prints where it lies.

    python tools/zeroc_ice.py

zeroc-ice 3.6.5 is published as a source alone, and that compiles no longer with Python 3.11 by two lines. The source
is fetched by its name, the two lines are edited, and stock "pip wheel" builds it: some minutes, once for each Python,
for the wheel is kept in the user's cache. Nothing is built where pip finds a ready wheel, in PIP_FIND_LINKS for one.
Runs on the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NEED = "zeroc-ice==3.6.5"
DEBIAN_PACKAGES = "g++ python3-dev libssl-dev libbz2-dev"
# The library is stripped as it is linked, and nothing is made that would have to be stripped: 3 MB instead of 34.
FLAGS = {"CFLAGS": "-g0", "LDFLAGS": "-Wl,-s"} if sys.platform == "linux" else {}
KNOWN_TO_FAIL_FROM = (3, 12)

ABOUT_THE_INTERPRETER = """
import sys, sysconfig
print(*sys.version_info[:2])
print(sys.implementation.cache_tag + "-" + sysconfig.get_platform())
"""


class Unavailable(Exception):
    """There is no wheel of zeroc-ice and none can be built here; the message says why and what helps."""


class Edit(NamedTuple):
    """One line of the source, and what stands there instead."""

    file: str
    old: str
    new: str
    why: str


EDITS = (
    Edit("src/Slice.cpp", "#include <eval.h>\n", "", "Python 3.11 has no such header, and nothing in it was needed"),
    Edit(
        "src/Util.cpp",
        "PyThreadState_GET()->frame",
        "PyThreadState_GetFrame(PyThreadState_GET())",
        "Python 3.11 tells the frame by a call",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the folder that holds the wheel, or that none had to be built; 1 when there can be none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    try:
        folder = wheel_folder(Path(sys.executable))
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    print(folder if folder is not None else f"pip finds a ready wheel of {NEED}.")
    return 0


def wheel_folder(interpreter: Path) -> Path | None:
    """The folder with a wheel for this interpreter, built where it is not there yet; None when pip finds one itself.

    Raises:
        Unavailable: there is no wheel and none can be built.
    """
    version, tag = told_by(interpreter)
    kept = cache_folder() / tag
    if any(kept.glob("zeroc_ice-*.whl")):
        return kept
    if is_offered(interpreter):
        return None
    check_python(version)
    print(f"Building {NEED} for {tag}: some minutes, this once.", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="zeroc-ice-") as scratch:
        wheel = build(interpreter, Path(scratch))
        kept.mkdir(parents=True, exist_ok=True)
        # Under its name only when it is whole: another build may look at the same moment.
        part = kept / f"{wheel.name}.{os.getpid()}"
        shutil.copyfile(wheel, part)
        part.replace(kept / wheel.name)
    return kept


def told_by(interpreter: Path) -> tuple[tuple[int, int], str]:
    """The version of an interpreter, and a name for what its wheels run on."""
    told = subprocess.run([interpreter, "-c", ABOUT_THE_INTERPRETER], check=True, capture_output=True, text=True).stdout
    version, tag = told.split("\n")[:2]
    major, minor = version.split()
    return (int(major), int(minor)), tag


def cache_folder() -> Path:
    """Where wheels are kept between environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hcs-mesh" / "wheels"


def is_offered(interpreter: Path) -> bool:
    """Whether pip finds a ready wheel: in its index, or in the folders of PIP_FIND_LINKS."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = ["--no-deps", "--only-binary", "zeroc-ice", "--dest", scratch, NEED]
        return pip(interpreter, "download", *wanted).returncode == 0


def check_python(version: tuple[int, int]) -> None:
    """Refuse a Python for which the two edits are known not to be enough.

    Raises:
        Unavailable: the Python is too new.
    """
    if version >= KNOWN_TO_FAIL_FROM:
        raise Unavailable(
            f"There is no ready wheel of {NEED} for Python {version[0]}.{version[1]}, and from Python 3.12 on its "
            "source needs more than the edits made here: it imports the module imp, which is gone.\n"
            "Use Python 3.11 (make test PYTHON=python3.11), or name a folder with a wheel in PIP_FIND_LINKS."
        )


def build(interpreter: Path, scratch: Path) -> Path:
    """Fetch, edit and build; the wheel in a folder below ``scratch``.

    Raises:
        Unavailable: the source cannot be fetched, is not what the edits were made for, or does not compile.
    """
    fetched = pip(interpreter, "download", "--no-deps", "--no-binary", "zeroc-ice", "--dest", str(scratch), NEED)
    archives = list(scratch.glob("zeroc*ice-*.tar.gz"))
    if fetched.returncode != 0 or len(archives) != 1:
        raise Unavailable(f"The source of {NEED} cannot be fetched:\n{last_lines(fetched)}")
    source = unpack(archives[0], scratch)
    edit(source)
    into = ["--no-deps", "--no-cache-dir", "--wheel-dir", str(scratch / "wheel")]
    built = pip(interpreter, "wheel", *into, str(source), **FLAGS)
    wheels = list((scratch / "wheel").glob("zeroc_ice-*.whl"))
    if built.returncode != 0 or len(wheels) != 1:
        raise Unavailable(
            f"{NEED} does not build:\n{last_lines(built)}\n"
            f"It needs a C++ compiler and the headers of Python, OpenSSL and bzip2; on Debian: apt-get install "
            f"{DEBIAN_PACKAGES}"
        )
    return wheels[0]


def unpack(archive: Path, scratch: Path) -> Path:
    """The folder of the source."""
    with tarfile.open(archive) as tar:
        # Older patch releases of 3.11 have no filters.
        tar.extractall(scratch, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return scratch / archive.name.removesuffix(".tar.gz")


def edit(source: Path) -> None:
    """Make the edits in an unpacked source; nothing is written unless all of them fit.

    Raises:
        Unavailable: the source is not the one that the edits were made for.
    """
    texts = {one.file: edited(one.file, read_source(source / one.file)) for one in EDITS}
    for file, text in texts.items():
        (source / file).write_text(text, encoding="utf-8", newline="")


def edited(file: str, text: str) -> str:
    """The text of one file of the source with its edits.

    Raises:
        Unavailable: what an edit replaces does not stand there exactly once.
    """
    for one in EDITS:
        if one.file != file:
            continue
        n_found = text.count(one.old)
        if n_found != 1:
            raise Unavailable(
                f"The source of {NEED} is not the one that is known here: {file} holds {one.old.strip()!r} "
                f"{n_found} times, and not once.\n"
                "Name a folder with a ready wheel in PIP_FIND_LINKS, or look at EDITS in tools/zeroc_ice.py."
            )
        text = text.replace(one.old, one.new)
    return text


def read_source(path: Path) -> str:
    """The text of a file of the source; empty where it is absent, which no edit fits."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return lines.read()
    except FileNotFoundError:
        return ""


def pip(interpreter: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter's pip; what it says is kept."""
    return subprocess.run(
        [interpreter, "-m", "pip", "--disable-pip-version-check", *arguments],
        check=False,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def last_lines(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what pip said, where the reason stands."""
    return "\n".join(done.stdout.splitlines()[-15:])


if __name__ == "__main__":
    sys.exit(main())
