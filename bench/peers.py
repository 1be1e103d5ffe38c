"""Ask, tell and planes beside the actors of xoscar, pykka, ray and dask: ``python bench/peers.py``.

The peers run in an environment of their own, which ``make peers`` builds; HCS_MESH_PEERS names another.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import ask
import publisher
import tell
from rounds import pin
from rows import Row

HERE = Path(__file__).parent
ENVIRONMENT = Path(os.environ.get("HCS_MESH_PEERS", HERE.parent / ".venv-peers"))
PEERS = {"xoscar": 3, "pykka": 3, "ray": 1, "dask": 1}
"""In how many rounds each is measured: those that start slowly and come nowhere near a target, in one."""
PEER_S = 90
TARGETS = {("xoscar", "two_many"): 8.0, ("xoscar", "tell"): 30.0}
"""Where the design sets one; elsewhere we are to be no slower than anybody."""
SCALES = {
    "one_us": ("ask, one process", "us"),
    "one_many": ("ask, one process, 64 callers", "/s"),
    "one_tell": ("tell, one process", "/s"),
    "two_us": ("ask, two processes, p50", "us"),
    "two_many": ("ask, two processes, 64 callers", "/s"),
    "tell": ("tell, two processes", "/s"),
    "planes": ("planes of 8 MiB, two processes", "MiB/s"),
}
CANNOT = {("pykka", "planes"): "its actors are threads of one process, and are handed a plane by reference"}


def peer(name: str) -> dict[str, float]:
    """What one peer reaches, started anew.

    Raises:
        RuntimeError: it did not run to its end; the last line says why.
    """
    python = ENVIRONMENT / "bin" / "python"
    try:
        # Their own processes, too, look for the load beside them.
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        words = [str(python), str(HERE / f"peer_{name}.py")]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PEER_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no numbers within {PEER_S} s") from error
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def ours() -> dict[str, float]:
    """The same of hcs-mesh."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as folder:
        servers = []
        try:
            pin(0)
            one = ask.our_one_process()
            one_tell = tell.our_rate_here()
            for module, place in ((ask, "ask"), (tell, "tell")):
                Path(folder, place).mkdir(mode=0o700)
                servers.append(subprocess.Popen([sys.executable, module.__file__, "ours", f"{folder}/{place}"]))
            two = ask.our_two_processes(f"{folder}/ask")
            (rate,) = tell.our_rate(f"{folder}/tell")
        finally:
            for server in servers:
                server.kill()
                server.wait()
            # The peers inherit what this process may use.
            os.sched_setaffinity(0, cores)
    return {
        "one_us": one[0],
        "one_many": one[1],
        "one_tell": one_tell,
        "two_us": two[0],
        "two_many": two[1],
        "tell": rate,
        # As an actor's argument a plane never travels here: what a viewer gets from the publisher is the nearest.
        "planes": publisher.ours(),
    }


def measure() -> list[Row]:
    """Measure us and every peer in turns; a peer that is not there or fails has a row that says so."""
    told = ENVIRONMENT / "peers.json"
    lacking = json.loads(told.read_text())["errors"] if told.exists() else {}
    absent = "its environment was not built: make peers"
    failed = {name: lacking.get(name, "" if told.exists() else absent) for name in PEERS}
    mine: list[dict[str, float]] = []
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PEERS}
    for n in range(max(PEERS.values())):
        mine.append(ours())
        for name, rounds in PEERS.items():
            if n < rounds and not failed[name]:
                try:
                    found[name].append(peer(name))
                except RuntimeError as error:
                    failed[name] = str(error)
    rows = []
    for name in PEERS:
        if failed[name]:
            rows.append(Row(name=f"ask and tell: {name}", unmeasured=failed[name]))
            continue
        for key, (what, unit) in SCALES.items():
            if (name, key) in CANNOT:
                rows.append(Row(name=f"{what}: {name}", unmeasured=CANNOT[name, key]))
            if key in found[name][0]:
                rows.append(
                    Row(
                        name=f"{what}: {name}",
                        reference=statistics.median(one[key] for one in found[name]),
                        ours=statistics.median(one[key] for one in mine),
                        unit=unit,
                        target=TARGETS.get((name, key), 1.0),
                        higher_is_better=unit != "us",
                    )
                )
    return rows


if __name__ == "__main__":
    for row in measure():
        print(row)
