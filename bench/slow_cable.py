"""Planes over a cable that is slowed down and let go again, as root: ``python bench/slow_cable.py``.

A veth cable between two network namespaces, slowed by ``tc tbf``. A stream runs over it all the while, and the cable's
speed is changed once compression has done what it should: off, on, off, on.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import remote_stream
from remote_stream import PLANE_MIB, Keys, run, stream
from rows import Row

from hcs_mesh.actors.viewing.compression import Compression
from hcs_mesh.actors.viewing.plane_carrier import PlaneCarrier
from hcs_mesh.transport import tcp_endpoint

HERE, THERE = "10.213.8.1", "10.213.8.2"
PORT = 7777
SPEED = "200mbit"
PHASES = ((False, False), (True, True), (False, False), (True, True))
"""Whether the cable is slow, and whether planes are compressed then."""
SHORT_S, LONG_S, PATIENCE_S = 1.0, 8.0, 60.0
"""How long compression has to stay as it should be, in a test and to be measured, and how long until then at most."""
TOLD_EVERY_S = 0.1
N_FACTOR, BACK_S = 1.5, 10.0


class Found(NamedTuple):
    """What one phase came to."""

    slow: bool
    compressed: bool
    after_s: float
    mib_per_s: float


class Never(Compression):
    """Sends every plane as it is."""

    def next_is_packed(self) -> bool:
        """No."""
        return False


class Cable:
    """Two namespaces and what connects them."""

    def __init__(self) -> None:
        self.ends = f"hcsp{os.getpid()}", f"hcsq{os.getpid()}"

    def slow_down(self, slow: bool) -> None:
        """Let through no more than ``SPEED``, or whatever comes."""
        there = ["tc", "-n", self.ends[0], "qdisc"]
        if slow:
            bucket = ["tbf", "rate", SPEED, "burst", "1mbit", "latency", "50ms"]
            subprocess.run([*there, "replace", "dev", "q", "root", *bucket], check=True)
        else:
            subprocess.run([*there, "del", "dev", "q", "root"], check=False, capture_output=True)


@contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable, and take it away again."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    made = Cable()
    try:
        for name in made.ends:
            ip("netns", "add", name)
        ip("link", "add", "q", "netns", made.ends[0], "type", "veth", "peer", "name", "p", "netns", made.ends[1])
        for name, device, address in zip(made.ends, ("q", "p"), (HERE, THERE), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        yield made
    finally:
        for name in made.ends:
            subprocess.run(["ip", "netns", "del", name], check=False)


@contextmanager
def stream_over(made: Cable, *, compression: str) -> Iterator[Iterator[tuple[float, int, bool]]]:
    """Stream over the cable: when, how many planes arrived by then, and whether they are being compressed."""
    command = ["ip", "netns", "exec", made.ends[0], sys.executable, __file__, "--producer", made.ends[1], compression]
    producer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert producer.stdin is not None
    assert producer.stdout is not None
    lines = producer.stdout
    try:
        yield (tuple(json.loads(line)) for line in iter(lines.readline, ""))
    finally:
        producer.stdin.close()
        lines.read()
        producer.wait(60)
        lines.close()


def produce(namespace: str, compression: str) -> None:
    """Stream to a viewer in another namespace and say how it goes, until nobody wants to know any more."""
    keys = Keys()
    command = ["ip", "netns", "exec", namespace, *keys.words(remote_stream.__file__, HERE, PORT)]
    told_s = 0.0

    def watch(carrier: PlaneCarrier, n_done: int) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= TOLD_EVERY_S:
            told_s = now_s
            print(json.dumps([now_s, n_done, carrier.compression.on]), flush=True)

    work = stream(
        tcp_endpoint(HERE, PORT),
        command,
        keys,
        goes_on=lambda elapsed_s: not select.select([sys.stdin], [], [], 0)[0],
        shrinks=True,
        compression=Never() if compression == "never" else None,
        watch=watch,
    )
    run(work)


def phases(slow_for_s: float) -> Iterator[Found]:
    """Each phase, once compression has been as it should be for a while.

    Raises:
        TimeoutError: it does not come to be so.
        RuntimeError: the stream ends before.
    """
    with cable() as made, stream_over(made, compression="as measured") as news:
        for slow, wanted in PHASES:
            made.slow_down(slow)
            began_s, since = time.monotonic(), None
            for now_s, n_done, on in news:
                if on != wanted:
                    since = None
                elif since is None:
                    since = now_s, n_done
                elif now_s - since[0] >= (slow_for_s if slow else SHORT_S):
                    rate = (n_done - since[1]) * PLANE_MIB / (now_s - since[0])
                    yield Found(slow, on, max(0.0, since[0] - began_s), rate)
                    break
                if now_s - began_s > PATIENCE_S:
                    raise TimeoutError(f"compressed={wanted} did not come about in {PATIENCE_S:g} s (slow={slow})")
            else:
                raise RuntimeError("the stream ended")


def as_they_are() -> float:
    """MiB per second over the slow cable when nothing is compressed."""
    with cable() as made:
        made.slow_down(True)
        with stream_over(made, compression="never") as news:
            first_s, n_first, _ = next(news)
            for now_s, n_done, _ in news:
                if now_s - first_s >= LONG_S:
                    return (n_done - n_first) * PLANE_MIB / (now_s - first_s)
    raise RuntimeError("the stream ended")


def measure() -> list[Row]:
    """What compression gains on a slow cable, and how soon it is gone on a fast one."""
    gained, gone = f"planes: over {SPEED[:-4]} Mbit/s: as they are", "planes: compression off on a fast link: a bound"
    if os.geteuid() != 0 or shutil.which("tc") is None:
        return [Row(name=name, unmeasured="namespaces and tc take root and iproute2") for name in (gained, gone)]
    _, slow, fast, again = phases(LONG_S)
    compressed = min(slow.mib_per_s, again.mib_per_s)
    return [
        Row(name=gained, reference=as_they_are(), ours=compressed, unit="MiB/s", target=N_FACTOR),
        Row(name=gone, reference=BACK_S, ours=fast.after_s, unit="s", target=1.0, higher_is_better=False),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--producer", namespace, compression]:
            produce(namespace, compression)
        case ["--phases"]:
            for one in phases(SHORT_S):
                print(json.dumps(one._asdict()), flush=True)
        case _:
            for row in measure():
                print(row)
