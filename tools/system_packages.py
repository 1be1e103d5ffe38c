"""Sees to the Debian packages that the tests need: a screen for napari, a browser, Java, strace and tmux.

As root it installs what is missing; otherwise it prints the one line that does, and fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PACKAGES = (
    "chromium",
    "default-jre-headless",
    "libdbus-1-3",
    "libegl1",
    "libgl1",
    "libgl1-mesa-dri",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxkbcommon-x11-0",
    "strace",
    "systemd",
    "tmux",
    "xauth",
    "xfsprogs",
    "xvfb",
)


def main() -> int:
    """0 when every package is there, or this is no Debian and they cannot be asked for."""
    if shutil.which("dpkg-query") is None:
        print("Not a Debian system: the tests need Xvfb, OpenGL and XCB, Chromium, Java, and strace.")
        return 0
    missing = [package for package in PACKAGES if not is_installed(package)]
    if not missing:
        return 0
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        print(f"The tests need Debian packages that are missing; run: sudo {' '.join(install)}", file=sys.stderr)
        return 1
    print(f"Installing {len(missing)} Debian packages: {' '.join(missing)}", flush=True)
    # A fresh machine knows no package lists yet: then they are fetched, and the packages asked for again.
    result = apt_get(*install[1:])
    if result.returncode != 0 and apt_get("update").returncode == 0:
        result = apt_get(*install[1:])
    if result.returncode != 0:
        print(result.stdout, file=sys.stderr)
    return result.returncode


def apt_get(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run apt-get without questions; its output is kept, and shown only when it matters."""
    return subprocess.run(
        ["apt-get", *arguments],
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_installed(package: str) -> bool:
    """Whether dpkg holds the package, whole."""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package]
    return subprocess.run(query, check=False, capture_output=True, text=True).stdout == "installed"


if __name__ == "__main__":
    sys.exit(main())
