"""Planes of 8 MiB to another host, over TCP loopback with CURVE, against raw ZMQ: ``python bench/remote_planes.py``."""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parent))

import remote_stream
from remote_stream import N_CREDITS, PLANE_MIB, SHAPE, Keys, free_port, on_another_core, plane, run, stream
from rows import Row

from hcs_mesh.transport import KeyPair, ServerKey, tcp_endpoint

SECONDS = 2.0
ROUNDS = 11
N_PARTS = 8
"""As many frames as our planes of 8 MiB travel in; nothing is put together again on the bare socket's other side."""


def raw(n_parts: int) -> float:
    """MiB per second of bare sockets: a plane in so many frames, nothing copied, within the same credits."""
    keys, port, pixels = Keys(), free_port(), plane().reshape(-1)
    parts = np.split(pixels, n_parts)
    context: zmq.Context[Any] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.curve_server = True
    router.curve_publickey, router.curve_secretkey = keys.server.public.encode(), keys.server.secret.encode()
    router.bind(f"tcp://127.0.0.1:{port}")
    with on_another_core(keys.words(__file__, "127.0.0.1", port)):
        identity, _ = router.recv_multipart()
        n_out = n_done = 0
        start = time.perf_counter()
        while (going := time.perf_counter() - start < SECONDS) or n_out:
            if going and n_out < N_CREDITS:
                router.send_multipart([identity, b"head", *parts], copy=False)
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
    while len(frames := dealer.recv_multipart(copy=False)) > 1:
        assert sum(np.frombuffer(frame.buffer, np.uint16).size for frame in frames[1:]) == SHAPE[0] * SHAPE[1]
        dealer.send(b"taken")
    context.destroy(linger=0)


def ours() -> float:
    """MiB per second through the mesh's own path."""
    keys, port = Keys(), free_port()
    command = keys.words(remote_stream.__file__, "127.0.0.1", port)
    endpoint = tcp_endpoint("127.0.0.1", port)
    found: float = run(stream(endpoint, command, keys, goes_on=lambda elapsed_s: elapsed_s < SECONDS))
    return found


def measure() -> list[Row]:
    """Measure both, taking turns."""
    rounds = [(raw(1), raw(N_PARTS), ours()) for _ in range(ROUNDS)]
    whole, in_parts, found = (statistics.median(one[side] for one in rounds) for side in range(3))
    name = "planes: to another host, CURVE / raw ZMQ with CURVE"
    return [
        Row(name=name, reference=whole, ours=found, unit="MiB/s", target=0.9),
        Row(name=f"{name}, in {N_PARTS} frames", reference=in_parts, ours=found, unit="MiB/s", target=0.9),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--consumer"]:
        host, port, public, secret, server = sys.argv[2:]
        consume_raw(host, int(port), KeyPair(public=public, secret=secret), ServerKey(public=server))
    else:
        for found in measure():
            print(found)
