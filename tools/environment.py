"""Brings a virtual environment up to date with this checkout: the package as a wheel, what it needs as pinned.

    python tools/environment.py .venv-test --extras test,lint,napari,web,omero

Runs on the standard library alone. An environment that is up to date is left as it is, so that the
second run takes no time; one whose making was cut short is made anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zeroc_ice

CHECKOUT = Path(__file__).resolve().parent.parent
CONSTRAINTS = CHECKOUT / "constraints.txt"
STAMP = "hcs-mesh-stamp.json"
# Wheels that no index has, where somebody keeps them beside the checkout.
WHEELS = CHECKOUT.parent / "shared" / "wheels"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make or renew the environment that the arguments name; 0 when it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the environment's folder")
    parser.add_argument("--extras", default="", help="extras of the package, between commas")
    parser.add_argument("--alone", default="", help="what is wanted without its own needs, between commas")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    if WHEELS.is_dir():
        look_also_in(WHEELS)
    wanted = {"needs": needs_digest(options.extras, options.alone), "package": package_digest()}
    present = read_stamp(folder)
    try:
        if present.get("needs") != wanted["needs"]:
            install_needs(folder, options.extras, options.alone)
            write_stamp(folder, {"needs": wanted["needs"]})
        if present != wanted:
            install_package(folder)
            write_stamp(folder, wanted)
    except subprocess.CalledProcessError as error:
        print(error.stdout, file=sys.stderr)
        print(f"{folder.name} is not up to date: the step above failed.", file=sys.stderr)
        return 1
    return 0


def install_needs(folder: Path, extras: str, alone: str) -> None:
    """Make the environment anew with everything that the package and its extras need.

    Raises:
        subprocess.CalledProcessError: When something cannot be fetched; its stdout says why.
    """
    print(f"Making {folder.name}: fetching what the package needs takes some minutes the first time.", flush=True)
    venv.create(folder, clear=folder.exists(), with_pip=True)
    if "omero" in extras.split(","):
        extras = see_to_zeroc_ice(folder, extras)
    build_needs = read_project()["build-system"]["requires"]
    pip(folder, "install", "--constraint", str(CONSTRAINTS), *build_needs, *package_needs(extras))
    if alone:
        pip(folder, "install", "--constraint", str(CONSTRAINTS), "--no-deps", *alone.split(","))


def see_to_zeroc_ice(folder: Path, extras: str) -> str:
    """Have pip find the one need of the extra "omero" that must be built; the extras without it where it cannot be."""
    try:
        wheels = zeroc_ice.wheel_folder(interpreter(folder))
    except zeroc_ice.Unavailable as error:
        # What is left is a whole environment: the tests of OMERO alone fail, and say why.
        left_out = f"{folder.name} is made without the extra omero; after 'make clean' it is tried again."
        print(f"{error}\n{left_out}", file=sys.stderr, flush=True)
        return ",".join(extra for extra in extras.split(",") if extra != "omero")
    if wheels is not None:
        look_also_in(wheels)
    return extras


def look_also_in(wheels: Path) -> None:
    """Let every pip that is run from now on find the wheels of a folder."""
    # As an address: pip parts folders at blanks.
    os.environ["PIP_FIND_LINKS"] = f"{os.environ.get('PIP_FIND_LINKS', '')} {wheels.as_uri()}".strip()


def install_package(folder: Path) -> None:
    """Put this checkout's wheel in the place of the one that is there.

    Raises:
        subprocess.CalledProcessError: When the wheel cannot be built; its stdout says why.
    """
    print(f"Installing this checkout into {folder.name}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-wheel-") as scratch:
        wheel = build_wheel(folder, Path(scratch))
        pip(folder, "install", "--no-deps", "--force-reinstall", str(wheel))


def package_needs(extras: str) -> list[str]:
    """What the package asks for, with the extras named between commas."""
    project = read_project()["project"]
    optional = [need for extra in filter(None, extras.split(",")) for need in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *optional]


def build_wheel(folder: Path, scratch: Path) -> Path:
    """Build the wheel from a copy of the sources, so that nothing that was deleted is found in it again."""
    source = scratch / "source"
    for path in package_files():
        copy = source / path.relative_to(CHECKOUT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    pip(folder, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(scratch), str(source))
    (wheel,) = scratch.glob("*.whl")
    return wheel


def package_files() -> Iterator[Path]:
    """Every file that goes into the wheel or decides what does."""
    yield from (CHECKOUT / name for name in ("pyproject.toml", "README.md", "LICENSE"))
    rooms = {Path(folder).parts[0] for folder in read_project()["tool"]["setuptools"]["package-dir"].values()}
    n_above = len(CHECKOUT.parts)
    for room in sorted(rooms):
        yield from (
            path
            for path in sorted((CHECKOUT / room).rglob("*"))
            if path.is_file() and not any(part == "__pycache__" or part[0] == "." for part in path.parts[n_above:])
        )


def package_digest() -> str:
    """A digest that changes with every file of the package."""
    digest = hashlib.sha256()
    for path in package_files():
        digest.update(f"{path.relative_to(CHECKOUT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def needs_digest(extras: str, alone: str) -> str:
    """A digest that changes with what the environment must hold beside the package."""
    parts = [
        CONSTRAINTS.read_text(encoding="utf-8"),
        json.dumps(package_needs(extras)),
        alone,
        sys.version,
        str(CHECKOUT),  # a virtual environment cannot be moved
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def write_stamp(folder: Path, stamp: dict[str, str]) -> None:
    """Note what the environment now holds."""
    (folder / STAMP).write_text(json.dumps(stamp), encoding="utf-8")


def read_stamp(folder: Path) -> dict[str, str]:
    """What the environment was made for; empty when it is absent or was left half made."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def pip(folder: Path, *arguments: str) -> None:
    """Run the environment's own pip, silent unless it fails.

    Raises:
        subprocess.CalledProcessError: When pip fails.
    """
    command = [str(interpreter(folder)), "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def interpreter(folder: Path) -> Path:
    """The environment's Python."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


if __name__ == "__main__":
    sys.exit(main())
