"""OME-Zarr plates served by HTTP on loopback, by a server that fails as a test asks; run as a program, by a process.

``python served_plates.py FOLDER PORT`` serves a folder until it is killed; port 0 takes a free one, and says which.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import zarr

CHUNKS = (1, 1, 6, 8)
WELLS = ("A/1", "B/2")


class Server(ThreadingHTTPServer):
    """Serves the files of a folder."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        self.asked: Counter[str] = Counter()
        # Each connection is served by a thread of its own.
        self.counting = threading.Lock()
        self.faults: dict[str, Iterator[str]] = {}
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, path: str, *how: str) -> None:
        """Fail so at the next questions for a file, one after the other."""
        self.faults[path] = iter(how)

    def fail_always(self, path: str, how: str) -> None:
        self.faults[path] = itertools.repeat(how)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        """Go as a process goes: every connection ends."""
        super().server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that breaks off is what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        path = unquote(self.path).lstrip("/")
        with self.server.counting:
            self.server.asked[path] += 1
        fault = next(self.server.faults.get(path, iter(())), "")
        file = self.server.folder / path
        if fault.isdecimal():
            self._answer(int(fault), b"")
        elif fault.startswith("to "):
            self._answer(302, b"", Location=fault.removeprefix("to "))
        elif not file.is_file():
            self._answer(404, b"")
        else:
            self._file(file.read_bytes(), fault)

    def _file(self, content: bytes, fault: str) -> None:
        match fault:
            case "huge":
                self._answer(200, content, n_bytes=1 << 40)
            case "endless":
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                while True:
                    self.wfile.write(bytes(1 << 20))
            case "truncated":
                self._answer(200, content[: len(content) // 2], n_bytes=len(content))
                self.close_connection = True
            case "stuck":
                self._answer(200, content[:-1], n_bytes=len(content))
                # Until the client breaks off, or the test ends.
                with suppress(OSError):
                    self.connection.recv(1)
            case "packed":
                self._answer(200, content, **{"Content-Encoding": "gzip"})
            case _:
                self._part(content, fault)

    def _part(self, content: bytes, fault: str) -> None:
        wanted = self.headers.get("Range", "")
        if not wanted or fault == "whole":
            self._answer(200, content)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        end = int(last) + 1 if first and last else len(content)
        end = min(end, len(content))
        told = f"bytes {start}-{end - 1}/{len(content)}"
        self._answer(206, content[start:end], **{"Content-Range": told})

    def _answer(self, code: int, content: bytes, *, n_bytes: int | None = None, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if n_bytes is None else n_bytes))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Server]:
    """A server in a thread of this process."""
    server = Server(folder, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_group(folder: Path, ome: dict[str, Any], zarr_format: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if zarr_format == 2:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(ome))
    else:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **ome}}}
        (folder / "zarr.json").write_text(json.dumps(group))


def write_served_plate(folder: Path, zarr_format: int, *, shards: tuple[int, ...] | None = None) -> None:
    """Wells A/1 and B/2 with two fields each, of two channels and three z (C, Z, Y, X) of 12 x 16."""
    plate = {
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "wells": [{"path": well, "rowIndex": n, "columnIndex": n} for n, well in enumerate(WELLS)],
    }
    write_group(folder, {"plate": plate}, zarr_format)
    for well in WELLS:
        write_group(folder / well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, zarr_format)
        for field in range(2):
            write_field(folder / well / str(field), served_pixels(well, field), zarr_format, shards=shards)


def write_field(
    folder: Path, pixels: np.ndarray, zarr_format: int, *, shards: tuple[int, ...] | None = None, **options: Any
) -> None:
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in "czyx"]
    omero = {"channels": [{"label": "DNA"}, {"label": "actin"}]}
    multiscale = {"axes": axes, "datasets": [{"path": "0"}]}
    write_group(folder, {"multiscales": [multiscale], "omero": omero}, zarr_format)
    array = zarr.create_array(
        folder / "0",
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=CHUNKS,
        shards=shards,
        zarr_format=zarr_format,
        chunk_key_encoding={"name": "v2", "separator": "/"} if zarr_format == 2 else None,
        **options,
    )
    array[...] = pixels


def served_pixels(well: str, field: int) -> np.ndarray:
    return np.random.default_rng([WELLS.index(well), field]).integers(1, 60_000, (2, 3, 12, 16), dtype=np.uint16)


if __name__ == "__main__":
    alone = Server(Path(sys.argv[1]), int(sys.argv[2]))
    print(alone.server_port, flush=True)
    alone.serve_forever()
