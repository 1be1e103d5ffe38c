"""Runs the stand-in: python serve.py FOLDER [--port N] [--control-port N] [--kill-at OPERATION]."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path

STOPS = {signal.SIGTERM, signal.SIGINT}
# Before any library starts a thread, so that only the wait below sees them.
signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
sys.path[0] = str(Path(__file__).resolve().parents[1])

from omero_server.server import Server  # noqa: E402


def main() -> None:
    """Serve until told to stop; the first line says where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--kill-at", default="", help="end with nothing said when this operation is first called")
    asked = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    asked.folder.mkdir(parents=True, exist_ok=True)
    server = Server(asked.folder.resolve(), asked.port, asked.control_port)
    if asked.kill_at:
        server.control.do_kill_at(asked.kill_at)
    where = {
        "host": "127.0.0.1",
        "port": server.adapter.port,
        "control": server.control.port,
        "pid": os.getpid(),
        "certificate": str(server.certificate.public),
        "managed": str(server.managed),
    }
    print(json.dumps(where), flush=True)
    signal.sigwait(STOPS)
    server.close()


if __name__ == "__main__":
    main()
