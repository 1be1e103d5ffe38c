"""Makes the environment in which bench/peers.py runs what others have built: ray, dask, xoscar, pykka.

    python tools/peers.py .venv-peers

Each peer is installed by itself: one that does not install takes no other along, and the installer's
error is kept in peers.json for the page of measurements. Runs on the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
CONSTRAINTS = CHECKOUT / "constraints-bench.txt"
PEERS = {"xoscar": "xoscar", "pykka": "pykka", "ray": "ray", "dask": "distributed"}
TOLD = "peers.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make or renew the environment; 0 also when a peer could not be installed, which its rows then say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the environment's folder")
    folder = parser.parse_args(arguments).folder.absolute()
    wanted = hashlib.sha256(f"{CONSTRAINTS.read_text()}\0{PEERS}\0{sys.version}\0{folder}".encode()).hexdigest()
    if read(folder).get("made_for") == wanted:
        return 0
    print(f"Making {folder.name}: fetching the peers takes some minutes the first time.", flush=True)
    venv.create(folder, clear=folder.exists(), with_pip=True)
    errors = {peer: install(folder, package) for peer, package in PEERS.items()}
    for peer, error in errors.items():
        if error:
            print(f"{peer} could not be installed: {error}", file=sys.stderr)
    # A peer that failed is tried again next time: the network may have been away.
    told = {"made_for": "" if any(errors.values()) else wanted, "errors": errors}
    (folder / TOLD).write_text(json.dumps(told), encoding="utf-8")
    return 0


def install(folder: Path, package: str) -> str:
    """Install one peer; the installer's last error, or nothing."""
    interpreter = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    words = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "install", "--constraint", str(CONSTRAINTS)]
    done = subprocess.run([*words, package, "uvloop"], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    # Addresses differ from place to place, and tell nothing about the peer.
    return re.sub(r"\w+://\S+", "the index", lines[-1] if lines else f"pip ended with {done.returncode}")


def read(folder: Path) -> dict[str, object]:
    """What the environment was made for, and which peers it lacks; empty when it is absent."""
    try:
        told = json.loads((folder / TOLD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
