"""Planes of 8 MiB to another host, over TCP loopback with CURVE, against raw ZMQ: ``python bench/remote_planes.py``.

``--throttled`` needs root: it lays a cable between two network namespaces, slows it down with ``tc tbf`` and
lets it go again, sends noise at the end, and prints when compression switches itself on and off.
"""

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from rounds import CORES, pin
from rows import Row

from hcs_mesh.actors.plane_carrier import PlaneCarrier
from hcs_mesh.messages.frames import Frame, FrameTaken
from hcs_mesh.messages.planes import PlaneAddress, PlaneHeader
from hcs_mesh.transport import (
    Dialer,
    Endpoint,
    KeyPair,
    KeyRing,
    KeyRingAuthenticator,
    Kind,
    Link,
    Listener,
    Principal,
    ServerKey,
    codec,
    new_pair,
    tcp_endpoint,
)
from hcs_mesh.transport.planes import PlaneReader, Ring, default_folder
from hcs_mesh.transport.planes.packing import unpack

SHAPE = (2048, 2048)
PLANE_MIB = 8
N_CREDITS, N_SLOTS = 4, 8
SECONDS = 2.0
ROUNDS = 5
ADDRESSES = "10.213.8.1", "10.213.8.2"
PHASES = (("as it is", ""), ("200 Mbit/s", "200mbit"), ("as it is again", ""))
PHASE_S = 6.0
NOISE_FROM = 0.75
"""From this part of the time on the planes are noise, which compression does not shrink."""


def plane(*, shrinks: bool = False) -> Any:
    """A plane of noise, which no codec helps; or one as a camera makes it, which shrinks to less than half."""
    chance = np.random.default_rng(1)
    return (chance.poisson(100, SHAPE) if shrinks else chance.integers(0, 65536, SHAPE)).astype(np.uint16)


def free_port() -> int:
    """A base port whose data port is most likely free too."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]) % 40_000 + 10_000


class Keys:
    """The keys of both sides; the consumer's process is told its own as arguments."""

    def __init__(self) -> None:
        self.server, self.client = new_pair(), new_pair()

    def words(self, kind: str, host: str, port: int) -> list[str]:
        """The consumer's command line."""
        keys = [self.client.public, self.client.secret, self.server.public]
        return [sys.executable, __file__, "--consumer", kind, host, str(port), *keys]


# -- raw ZMQ ------------------------------------------------------------------------------------------


def raw() -> float:
    """MiB per second of bare sockets: multipart, nothing copied, within the same credits."""
    keys, port, body = Keys(), free_port(), plane()
    context: zmq.Context[Any] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.curve_server = True
    router.curve_publickey, router.curve_secretkey = keys.server.public.encode(), keys.server.secret.encode()
    router.bind(f"tcp://127.0.0.1:{port}")
    with _on_another_core(keys.words("raw", "127.0.0.1", port)):
        identity, _ = router.recv_multipart()
        n_out = n_done = 0
        start = time.perf_counter()
        while time.perf_counter() - start < SECONDS or n_out:
            if n_out < N_CREDITS and time.perf_counter() - start < SECONDS:
                router.send_multipart([identity, b"head", body], copy=False)
                n_out += 1
            else:
                router.recv_multipart()
                n_out -= 1
                n_done += 1
        elapsed_s = time.perf_counter() - start
        router.send_multipart([identity, b"end"])
    context.destroy(linger=200)
    return n_done * PLANE_MIB / elapsed_s


def consume_raw(host: str, port: int, key: KeyPair, server: ServerKey) -> None:
    """Look at each plane's corner and acknowledge it."""
    context: zmq.Context[Any] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.curve_publickey, dealer.curve_secretkey = key.public.encode(), key.secret.encode()
    dealer.curve_serverkey = server.public.encode()
    dealer.connect(f"tcp://{host}:{port}")
    dealer.send(b"ready")
    while len(frames := dealer.recv_multipart(copy=False)) == 2:
        assert np.frombuffer(frames[1].buffer, np.uint16).size == SHAPE[0] * SHAPE[1]
        dealer.send(b"taken")
    context.destroy(linger=0)


# -- ours ---------------------------------------------------------------------------------------------


class _Stream:
    """The mesh's side of one stream: a ring, a carrier, a listener."""

    viewer: ClassVar[str] = "v"

    def __init__(self, ring: Ring, endpoint: Endpoint, keys: Keys, folder: Path) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        allowed = KeyRing(folder)
        allowed.allow(Principal(name="viewer", role="viewer"), keys.client.public)
        self.authenticator = KeyRingAuthenticator(self.context, allowed)
        self.authenticator.start()
        self.listener = Listener(self.context, endpoint, self._hear, key=keys.server, ring=allowed)
        self.ready: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.ring = ring
        self.carrier: Any = None
        self.n_done = 0
        self.stirred = asyncio.Event()

    def _hear(self, link: Link, envelope: codec.Envelope) -> None:
        if envelope.kind != Kind.TELL:
            return
        taken: FrameTaken = codec.decode(envelope.body, codec.decoder(FrameTaken))
        if taken.sequence == 0:
            self.ready.set_result(link)
            return
        self.carrier.taken(taken)
        self.n_done += 1
        self.stirred.set()

    def close(self) -> None:
        self.listener.close()
        self.authenticator.stop()
        self.context.term()


async def _stream(
    endpoint: Endpoint,
    command: list[str],
    keys: Keys,
    *,
    seconds: float,
    watch: Any = None,
    prefix: tuple[str, ...] = (),
) -> float:
    """MiB per second of planes through ring, carrier, link and viewer."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Ring(default_folder(), slot_bytes=PLANE_MIB << 20, n_slots=N_SLOTS) as ring,
    ):
        stream = _Stream(ring, endpoint, keys, Path(folder))
        header = PlaneHeader(
            address=PlaneAddress(well="A01", field=1), kind="image", height=SHAPE[0], width=SHAPE[1], dtype="uint16"
        )
        refs = [ring.put(plane(shrinks=watch is not None)) for _ in range(N_CREDITS)]
        noise = ring.put(plane())
        with _on_another_core([*prefix, *command]):
            link = await stream.ready
            stream.carrier = PlaneCarrier(link, PlaneReader(default_folder()))
            running = asyncio.create_task(stream.carrier.run())
            n_sent = 0
            start = time.perf_counter()
            while (elapsed_s := time.perf_counter() - start) < seconds or stream.n_done < n_sent:
                if elapsed_s < seconds and n_sent - stream.n_done < N_CREDITS:
                    n_sent += 1
                    ref = noise if elapsed_s > NOISE_FROM * seconds else refs[n_sent % N_CREDITS]
                    stream.carrier.put(Frame(viewer="v", sequence=n_sent, plate_id=1, job="", header=header, ref=ref))
                    continue
                stream.stirred.clear()
                await stream.stirred.wait()
                if watch is not None:
                    watch(stream.carrier, stream.n_done)
            elapsed_s = time.perf_counter() - start
            stream.carrier.close()
            await running
            link.tell("viewer", FrameTaken(viewer="end", sequence=0))
            link.flush()
        stream.close()
        return stream.n_done * PLANE_MIB / elapsed_s


def ours() -> float:
    """MiB per second through the mesh's own path."""
    keys, port = Keys(), free_port()
    endpoint = tcp_endpoint("127.0.0.1", port)
    return _run(_stream(endpoint, keys.words("ours", "127.0.0.1", port), keys, seconds=SECONDS))


async def consume_ours(host: str, port: int, key: KeyPair, server: ServerKey) -> None:
    """As a viewer does: take each plane, unpack it if it is packed, acknowledge it."""
    ended = asyncio.Event()
    union = codec.union_decoder((Frame, FrameTaken))

    def hear(link: Link, envelope: codec.Envelope) -> None:
        message = codec.decode(envelope.body, union)
        if isinstance(message, FrameTaken):
            ended.set()
            return
        began_s = time.monotonic()
        pixels = unpack(link.attached[0], message.codec, message.ref)
        assert pixels.shape == SHAPE
        held_s = time.monotonic() - began_s
        link.tell("publisher", FrameTaken(viewer="v", sequence=message.sequence, held_s=held_s))

    context: zmq.Context[Any] = zmq.Context()
    dialer = Dialer(context, tcp_endpoint(host, port), hear, name="viewer", key=key, server=server)
    # Its hello on the data channel has to be there before the first plane is sent.
    await asyncio.sleep(0.5)
    dialer.link.tell("publisher", FrameTaken(viewer="v", sequence=0))
    await ended.wait()
    dialer.close()
    context.term()


def _run(work: Any) -> Any:
    import uvloop

    return uvloop.run(work)


@contextlib.contextmanager
def _on_another_core(command: list[str]) -> Any:
    process = subprocess.Popen(command)
    if len(CORES) > 1:
        os.sched_setaffinity(process.pid, {CORES[1]})
    pin(0)
    try:
        yield process
        process.wait(20)
    finally:
        process.kill()
        os.sched_setaffinity(0, set(CORES))


# -- a slow cable -------------------------------------------------------------------------------------


def throttled() -> None:
    """Print how a stream goes over a cable that is slowed down and let go again."""
    names = f"hcsp{os.getpid()}", f"hcsq{os.getpid()}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    def tc(speed: str) -> None:
        there = ["tc", "-n", names[0], "qdisc"]
        if speed:
            bucket = ["tbf", "rate", speed, "burst", "1mbit", "latency", "50ms"]
            subprocess.run([*there, "replace", "dev", "q", "root", *bucket], check=True)
        else:
            subprocess.run([*there, "del", "dev", "q", "root"], check=False, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "q", "netns", names[0], "type", "veth", "peer", "name", "p", "netns", names[1])
        for name, device, address in zip(names, ("q", "p"), ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        command = ["ip", "netns", "exec", names[0], sys.executable, __file__, "--producer", names[1]]
        producer = subprocess.Popen(command)
        for _, speed in PHASES:
            tc(speed)
            time.sleep(PHASE_S)
        producer.wait(60)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def produce(namespace: str) -> None:
    """Stream to a viewer in another namespace, and print what compression does."""
    keys = Keys()
    port = 7777
    command = keys.words("ours", ADDRESSES[0], port)
    start = time.monotonic()
    told: list[Any] = [0.0, 0, False]

    def watch(carrier: PlaneCarrier, n_done: int) -> None:
        now_s, compression = time.monotonic() - start, carrier.compression
        if now_s - told[0] >= 1.0 or compression.on != told[2]:
            rate = (n_done - told[1]) * PLANE_MIB / max(now_s - told[0], 1e-3)
            print(
                f"{now_s:5.1f} s  {rate:7.1f} MiB/s of planes  link {compression.link_bytes_per_s / 2**20:7.1f} MiB/s  "
                f"codec {compression.codec_bytes_per_s / 2**20:6.0f} MiB/s  ratio {compression.ratio:.2f}  "
                f"gain {compression.gain:.2f}  {'compressed' if compression.on else 'as it is'}",
                flush=True,
            )
            told[:] = [now_s, n_done, compression.on]

    prefix = ("ip", "netns", "exec", namespace)
    seconds = PHASE_S * len(PHASES) - 2.0
    endpoint = tcp_endpoint(ADDRESSES[0], port)
    _run(_stream(endpoint, command, keys, seconds=seconds, watch=watch, prefix=prefix))


def measure() -> list[Row]:
    """Measure both, taking turns."""
    rounds = [(raw(), ours()) for _ in range(ROUNDS)]
    reference, found = (statistics.median(one[side] for one in rounds) for side in (0, 1))
    name = "planes: to another host, CURVE / raw ZMQ with CURVE"
    return [Row(name=name, reference=reference, ours=found, unit="MiB/s", target=0.9)]


def main() -> None:
    """Be the producer, the consumer, or the measurement."""
    match sys.argv[1:]:
        case ["--consumer", kind, host, port, public, secret, server]:
            key, whose = KeyPair(public=public, secret=secret), ServerKey(public=server)
            if kind == "raw":
                consume_raw(host, int(port), key, whose)
            else:
                _run(consume_ours(host, int(port), key, whose))
        case ["--producer", namespace]:
            produce(namespace)
        case ["--throttled"]:
            throttled()
        case _:
            for found in measure():
                print(found)


if __name__ == "__main__":
    main()
