"""Files of a workstation, over TCP loopback with CURVE, beside raw ZMQ and the least that does the same.

``python bench/agent_transfer.py``
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from remote_stream import Keys, free_port
from rounds import medians
from rows import Row

from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.imports.agent_line import AgentLine
from hcs_mesh.actors.imports.agent_reader import N_AHEAD, AgentReader
from hcs_mesh.actors.imports.serving_agents import ServingAgents
from hcs_mesh.messages.agents import CHUNK_BYTES
from hcs_mesh.plates.local import FolderReader, LocalRepository
from hcs_mesh.plates.repository import SourceFile, SourceReader, never
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.life import Life
from hcs_mesh.transport import KeyPair, KeyRing, Principal, ServerKey, tcp_endpoint
from hcs_mesh.transport.keys import save_pair

MIB = 1 << 20
N_FILES, FILE_MIB = 8, 32
ROUNDS = 3


class Bare:
    """Bare sockets between two processes: chunks of a file, as many ahead as the agent's reader asks for."""

    def __init__(self, source: Path) -> None:
        self.keys, port = Keys(), free_port()
        self.context: zmq.Context[Any] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.curve_server = True
        self.router.curve_publickey = self.keys.server.public.encode()
        self.router.curve_secretkey = self.keys.server.secret.encode()
        self.router.bind(f"tcp://127.0.0.1:{port}")
        words = self.keys.words(__file__, "127.0.0.1", port)
        self.process = subprocess.Popen([*words, str(source)])
        self.identity = self.router.recv_multipart()[0]

    def close(self) -> None:
        self.router.send_multipart([self.identity, b"", b"end"])
        self.process.wait(10)
        self.context.destroy(linger=200)

    def read(self, file: str, *, hashed: bool) -> Iterator[memoryview]:
        """The chunks of one file; ``hashed`` by the other side before they are sent."""
        n_asked, n_chunks = 0, FILE_MIB * MIB // CHUNK_BYTES
        for n_came in range(n_chunks):
            while n_asked < min(n_chunks, n_came + N_AHEAD):
                question = b"read" if hashed else b"send"
                self.router.send_multipart([self.identity, question, file.encode(), str(n_asked).encode()])
                n_asked += 1
            yield self.router.recv_multipart(copy=False)[1].buffer


def produce(host: str, port: int, key: KeyPair, server: ServerKey, source: Path) -> None:
    """Answer: with bytes that are at hand, or with those of a file, read and hashed."""
    context: zmq.Context[Any] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.curve_publickey, dealer.curve_secretkey = key.public.encode(), key.secret.encode()
    dealer.curve_serverkey = server.public.encode()
    dealer.connect(f"tcp://{host}:{port}")
    dealer.send(b"ready")
    at_hand = os.urandom(CHUNK_BYTES)
    digest, descriptors = hashlib.sha1(usedforsecurity=False), {}
    while (frames := dealer.recv_multipart())[-1] != b"end":
        question, name, number = frames
        if question == b"send":
            dealer.send(at_hand, copy=False)
            continue
        if name not in descriptors:
            descriptors[name] = os.open(source / name.decode(), os.O_RDONLY)
        data = os.pread(descriptors[name], CHUNK_BYTES, int(number) * CHUNK_BYTES)
        digest.update(data)
        dealer.send(data, copy=False)
    context.destroy(linger=0)


def raw(source: Path, files: list[str]) -> list[float]:
    """MiB/s of bytes that nobody reads, hashes or writes."""
    bare = Bare(source)
    start = time.perf_counter()
    n_bytes = sum(len(chunk) for file in files for chunk in bare.read(file, hashed=False))
    elapsed_s = time.perf_counter() - start
    bare.close()
    return [n_bytes / MIB / elapsed_s]


def floor(source: Path, files: list[str], target: Path) -> list[float]:
    """MiB/s of the same work by bare sockets: read and hashed there, hashed and written durably here."""
    target.mkdir()
    bares = [Bare(source) for _ in range(2)]

    def take(some: list[str], bare: Bare) -> None:
        for file in some:
            digest = hashlib.sha1(usedforsecurity=False)
            with (target / file).open("wb", buffering=0) as writer:
                for chunk in bare.read(file, hashed=True):
                    digest.update(chunk)
                    writer.write(chunk)
                os.fsync(writer.fileno())

    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(take, (files[::2], files[1::2]), bares))
    elapsed_s = time.perf_counter() - start
    for bare in bares:
        bare.close()
    return [len(files) * FILE_MIB / elapsed_s]


@contextmanager
def agent(folder: Path, source: Path) -> Iterator[AgentLine]:
    """An agent in a process of its own, as the command line starts it, and the line to it."""
    loop, port, agents = uvloop.new_event_loop(), free_port(), ServingAgents()
    keys = Keys()
    save_pair(folder / "scope.secret", keys.client)
    ring = KeyRing(folder / "allowed")
    ring.allow(Principal(name="scope", role="agent"), keys.client.public)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> tuple[Node, Life]:
        node = Node("bench")
        life = await node.start_actor("agents", lambda: AgentDesk(agents, hang_up=node.hang_up))
        node.listen_front(tcp_endpoint("127.0.0.1", port), keys.server, ring)
        return node, life

    async def close(node: Node) -> None:
        await life.stop()
        await life.wait()
        await node.close()

    node, life = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    words = [sys.executable, "-P", "-m", "hcs_mesh", "--mesh", f"tcp://127.0.0.1:{port}"]
    words += ["--mesh-key", keys.server.public, "--key", str(folder / "scope.secret"), "agent", "--quiet"]
    # Both ends share a disk here: what the mesh writes would be made way for.
    settings = folder / "agent.toml"
    settings.write_text('[guest]\nnice = 0\nio_class = "none"\nback_off = false\n', encoding="utf-8")
    words += ["--serve", f"plates={source}", "--data", str(folder / "agent"), "--config", str(settings)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        while "scope" not in agents.agents or not agents.agents["scope"].here:
            time.sleep(0.01)
        yield AgentLine(agents.agents["scope"], loop)
    finally:
        process.terminate()
        process.wait(20)
        asyncio.run_coroutine_threadsafe(close(node), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def transfer(reader: SourceReader, source: Path, files: list[str], data: Path) -> list[float]:
    """MiB/s of a transfer into a repository, durable at its end."""
    repository = LocalRepository(data)
    wanted = [SourceFile(path=file, size=(source / file).stat().st_size) for file in files]
    start = time.perf_counter()
    repository.transfer("bench", reader, wanted)
    elapsed_s = time.perf_counter() - start
    repository.close()
    return [sum(file.size for file in wanted) / MIB / elapsed_s]


def measure() -> list[Row]:
    """Measure all, taking turns."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        files = [f"image{number}.bin" for number in range(N_FILES)]
        for file in files:
            (source / file).write_bytes(os.urandom(FILE_MIB * MIB))
        numbers = count()
        with agent(folder, source) as line:
            reader = AgentReader(
                line,
                import_id="bench",
                root=str(source),
                held=None,
                algorithm="sha1",
                begun=lambda path: folder / "nothing",
                cancelled=never,
            )
            bare, least, local, ours = medians(
                lambda: raw(source, files),
                lambda: floor(source, files, folder / f"floor{next(numbers)}"),
                lambda: transfer(FolderReader(source), source, files, folder / f"local{next(numbers)}"),
                lambda: transfer(reader, source, files, folder / f"ours{next(numbers)}"),
                rounds=ROUNDS,
            )
    unit = "MiB/s"
    return [
        Row(name="agent: transfer / raw ZMQ with CURVE", reference=bare[0], ours=ours[0], unit=unit, target=0.8),
        Row(name="agent: transfer / the same by bare sockets", reference=least[0], ours=ours[0], unit=unit, target=0.8),
        Row(name="agent: transfer / import on this host", reference=local[0], ours=ours[0], unit=unit, target=0.2),
    ]


if __name__ == "__main__":
    if "--consumer" in sys.argv:
        host, port, public, secret, server, at = sys.argv[2:]
        produce(host, int(port), KeyPair(public=public, secret=secret), ServerKey(public=server), Path(at))
    else:
        for row in measure():
            print(row)
