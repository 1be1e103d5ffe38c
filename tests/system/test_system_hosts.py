"""Several hosts, each a network namespace of this machine: join, compute, stream, a partition, a key revoked.

Both "hosts" see one file system, as two hosts that mount the data folder at the same path do.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hcs_mesh.client import Client
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.console import InspectActor
from hcs_mesh.plates.synthetic import Recipe, write_plate

NUCLEI = Path(__file__).parents[2] / "examples" / "pipelines" / "nuclei.py"
RECIPE = Recipe(name="Hosts", n_rows=2, n_columns=2, n_fields=1, size_px=256)
A, B = "10.213.7.1", "10.213.7.2"
PORT = 7777
N_MORE = 2

pytestmark = [pytest.mark.needs("root"), pytest.mark.timeout(420)]


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


class Hosts(NamedTuple):
    """Two namespaces with a cable between them."""

    a: str
    b: str

    def plug(self, state: str) -> None:
        """Pull the cable ("down") or plug it in again ("up")."""
        ip("-n", self.b, "link", "set", "toa", state)
        if state == "up":
            ip("-n", self.b, "route", "replace", "10.213.7.0/24", "dev", "toa", check=False)

    def answers(self, state: str) -> None:
        """Let what the mesh says to the other host get "lost" on its way, while it hears it, or be "heard" again."""
        ip("-n", self.a, "route", "add" if state == "lost" else "del", "blackhole", f"{B}/32", check=state == "lost")


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    assert shutil.which("ip") is not None, "network namespaces need iproute2's ip: apt-get install iproute2"
    made = Hosts(f"hcsa{os.getpid()}", f"hcsb{os.getpid()}")
    try:
        for name in made:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "tob", "netns", made.a, "type", "veth", "peer", "name", "toa", "netns", made.b)
        for name, device, address in ((made.a, "tob", A), (made.b, "toa", B)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        yield made
    finally:
        for name in made:
            ip("netns", "del", name, check=False)


class Host:
    """Commands in one namespace."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.namespace = namespace
        self.folder = folder
        self.environment = {
            **os.environ,
            "HCS_MESH_DATA": str(folder),
            "HCS_MESH__DEVICES__CPU_SLOTS": "1",
            "HCS_MESH__DEVICES__GPU": '"off"',
            "HCS_MESH__IMPORTS__SETTLE_S": "0.1",
            # How an import makes way for other tests is none of these.
            "HCS_MESH__GUEST__BACK_OFF": "false",
        }

    def command(self, *words: object) -> list[str]:
        return [
            "ip",
            "netns",
            "exec",
            self.namespace,
            sys.executable,
            "-P",
            "-m",
            "hcs_mesh",
            *map(str, words),
            "--json",
        ]

    def __call__(self, *words: object) -> Any:
        code, told = self.attempt(*words)
        assert code == 0, told
        return told

    def attempt(self, *words: object) -> tuple[int, Any]:
        done = subprocess.run(self.command(*words), env=self.environment, capture_output=True, text=True, timeout=150)
        said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
        return done.returncode, json.loads(said[-1]) if said else None


class Meshes(NamedTuple):
    """The mesh of host A, and the node of it that host B is."""

    a: Host
    b: Host
    hosts: Hosts
    card: Path
    plate: int


@pytest.fixture(scope="module")
def meshes(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meshes]:
    folder = tmp_path_factory.mktemp("hosts")
    a, b = Host(hosts.a, folder / "mesh"), Host(hosts.b, folder / "node")
    write_plate(folder / "plate", RECIPE)
    a("up", "--detach", "--listen", f"{A}:{PORT}")
    try:
        card = folder / "mesh.toml"
        shown = a("keys", "show")
        card.write_text(f"address = '{shown['address']}'\npublic = '{shown['public']}'\n", encoding="utf-8")
        for name, role in (("hostb", "node"), ("eva", "user"), ("rec", "viewer")):
            a("keys", "new", name, "--role", role, "--out", folder / f"{name}.secret")
        (plate,) = a("import", folder / "plate", "--wait")["plates"]
        b("up", "--detach", "--join", card, "--key", folder / "hostb.secret")
        yield Meshes(a, b, hosts, card, plate)
    finally:
        b.attempt("down")
        a.attempt("down")


PATIENCE_S = 120.0
"""For what takes a few seconds where nobody else wants the computer."""


def until(condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> float:
    """Wait for something that another process does; returns how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.2)
    return time.monotonic() - began


def states(host: Host) -> dict[str, str]:
    return {row["name"]: row["state"] for row in host("ps")}


def runs_anew(meshes: Meshes, pid: int) -> bool:
    """Whether the mesh sees the joined host's executor run, in another process than this one."""
    row = {row["name"]: row for row in meshes.a("ps")}.get("executor.cpu0@hostb", {})
    return row.get("state") == "running" and row["pid"] not in (None, pid)


def n_refusals(host: Host) -> int:
    """How often a host was not let in, as its log tells."""
    return sum(log.read_text().count("cannot join the mesh") for log in (host.folder / "logs").glob("*.log*"))


def n_elsewhere(job: Any) -> int:
    return sum(well["executor"].endswith("@hostb") for well in job["wells"].values())


def test_the_executor_of_a_joined_host_is_an_actor_of_the_mesh(meshes: Meshes) -> None:
    until(lambda: states(meshes.a).get("executor.cpu0@hostb") == "running", "the joined host's executor")


def test_a_joined_hosts_tree_is_in_that_of_the_mesh_and_can_be_reached_into(meshes: Meshes) -> None:
    until(lambda: "node@hostb" in states(meshes.a), "the joined host's tree")
    rows = {row["name"]: row for row in meshes.a("ps")}
    assert rows["node@hostb"]["parent"] == "joining"
    assert rows["executor.cpu0@hostb"]["parent"] == "slot.cpu0@hostb"
    own = {row["name"]: row for row in meshes.b("ps")}
    assert rows["executor.cpu0@hostb"]["pid"] == own["executor.cpu0"]["pid"]
    assert meshes.a("pause", "executor.cpu0@hostb")["paused"] is True
    until(lambda: states(meshes.a).get("executor.cpu0@hostb") == "paused", "the pause being seen")
    assert meshes.a("resume", "executor.cpu0@hostb")["paused"] is False
    again = meshes.a("restart", "executor.cpu0@hostb")
    assert again["pid"] not in (None, rows["executor.cpu0@hostb"]["pid"])
    # Over this one the host leaves the mesh, and is in it again when that is told.
    assert meshes.a("restart", "uplink@hostb")["state"] == "running"
    told = meshes.a("inspect", "executor.cpu0@hostb")
    assert told["row"]["name"] == "executor.cpu0@hostb"
    assert told["incidents"][-1]["child"] == "executor.cpu0@hostb"
    lines = meshes.a("tail", "executor.cpu0@hostb", "--lines", "50")
    assert any("occurrence=started" in line["text"] for line in lines)
    code, told = meshes.a.attempt("inspect", "nobody@hostb")
    assert (code, "nobody" in told["error"]) == (1, True)
    code, told = meshes.a.attempt("restart", "node@hostb")
    assert (code, "node cannot be restarted" in told["error"], "up --join" in told["hint"]) == (1, True, True)


def test_wells_are_computed_on_both_hosts(meshes: Meshes) -> None:
    job = meshes.a("run", meshes.plate, NUCLEI, "--wait")
    assert job["state"] == "done", job
    assert 0 < n_elsewhere(job) < len(job["wells"])
    hops = meshes.a("trace", "compute.submit")
    assert {hop["trace"] for hop in hops} == {hops[0]["trace"]}
    assert "executor.cpu0@hostb" in {hop["node"] for hop in hops}


def test_a_killed_executor_of_a_joined_host_is_back(meshes: Meshes) -> None:
    (pid,) = [row["pid"] for row in meshes.b("ps") if row["name"] == "executor.cpu0"]
    os.kill(pid, 9)
    # Until the mesh itself knows of the new one it may do all that it is asked for on its own host.
    until(lambda: runs_anew(meshes, pid), "another executor")
    job = meshes.a("run", meshes.plate, NUCLEI, "--wait")
    assert job["state"] == "done"
    assert n_elsewhere(job) > 0


def test_a_killed_node_that_is_started_again_at_once_is_in_at_once(meshes: Meshes, tell: Callable[[str], None]) -> None:
    before = {row["name"]: row for row in meshes.a("ps")}["executor.cpu0@hostb"]["pid"]
    n_refused = n_refusals(meshes.b)
    os.kill(meshes.b("status")["pid"], 9)
    meshes.b("up", "--detach", "--join", meshes.card, "--key", meshes.card.parent / "hostb.secret")
    up = {row["name"]: row for row in meshes.b("ps")}["executor.cpu0"]["pid"]
    assert up != before

    def in_again() -> bool:
        row = {row["name"]: row for row in meshes.a("ps")}.get("executor.cpu0@hostb", {})
        return bool(row.get("pid") == up and row["state"] == "running")

    took = until(in_again, "the node being in")
    assert n_refusals(meshes.b) == n_refused, "it was not taken for a second host under its key"
    job = meshes.a("run", meshes.plate, NUCLEI, "--wait")
    assert job["state"] == "done"
    assert n_elsewhere(job) > 0
    tell(f"hosts: a node that was killed and started again was in {took:.1f} s after it was up")


def test_a_node_that_is_killed_over_a_well_has_died_over_it(meshes: Meshes) -> None:
    there = "executor.cpu0@hostb"
    until(lambda: states(meshes.a).get(there) == "running", "the node being in")
    # It has the well in its mailbox, and does not take it.
    meshes.a("pause", there)
    job = meshes.a("run", meshes.plate, NUCLEI)["job"]

    def is_there() -> bool:
        wells = meshes.a("jobs", job)["wells"].values()
        return any(well["executor"] == there and well["state"] == "running" for well in wells)

    until(is_there, "a well on the other host")
    os.kill(meshes.b("status")["pid"], 9)
    meshes.b("up", "--detach", "--join", meshes.card, "--key", meshes.card.parent / "hostb.secret")
    until(lambda: meshes.a("jobs", job)["state"] != "running", "the job's end")
    ended = meshes.a("jobs", job)
    assert ended["state"] == "done", ended
    (fault,) = ended["faults"]
    assert there in fault
    assert "the node hostb died" in fault


def test_commands_and_a_recorder_on_another_host(meshes: Meshes, tmp_path: Path) -> None:
    there = "--mesh", meshes.card, "--key"
    secrets = meshes.card.parent
    assert meshes.b("plates", *there, secrets / "eva.secret")[0]["id"] == meshes.plate
    out = tmp_path / "recording"
    job = meshes.b("run", meshes.plate, NUCLEI, "--wait", *there, secrets / "eva.secret")
    done = subprocess.run(
        [
            *("ip", "netns", "exec", meshes.hosts.b, sys.executable, "-P", "-m", "hcs_mesh.viewers.recorder"),
            *("--mesh", meshes.card, "--key", secrets / "rec.secret", "--job", job["job"], "--out", out, "--once"),
        ],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    planes = [line for line in lines if "path" in line]
    assert len(planes) >= len(job["wells"])
    assert all((out / line["path"]).exists() for line in planes)


def test_a_partition_heals_and_nothing_that_was_acknowledged_is_lost(
    meshes: Meshes, tell: Callable[[str], None]
) -> None:
    meshes.hosts.plug("down")
    try:
        # Nobody knows yet that the cable is pulled: the other host is given a well.
        submitted = meshes.a("run", meshes.plate, NUCLEI)["job"]
        away = until(lambda: _is_away(meshes), "the silence being noticed")
    finally:
        meshes.hosts.plug("up")
    back = until(lambda: not _is_away(meshes), "the node being back")
    until(lambda: meshes.a("jobs", submitted)["state"] != "running", "the job's end")
    job = meshes.a("jobs", submitted)
    assert job["state"] == "done", job
    assert all(well["state"] == "done" for well in job["wells"].values())
    again = meshes.a("run", meshes.plate, NUCLEI, "--wait")
    assert n_elsewhere(again) > 0, "the node takes wells again"
    tell(f"hosts: a partition was noticed after {away:.1f} s, and healed {back:.1f} s after the cable was back")


def test_a_job_that_is_cancelled_in_a_partition_gives_its_executor_back_when_that_heals(meshes: Meshes) -> None:
    there = "executor.cpu0@hostb"
    until(lambda: states(meshes.a).get(there) == "running", "the node being in")
    (pid,) = [row["pid"] for row in meshes.a("ps") if row["name"] == there]
    # It has the well in its mailbox, and heeds nothing.
    meshes.a("pause", there)
    job = meshes.a("run", meshes.plate, NUCLEI)["job"]

    def is_there() -> bool:
        wells = meshes.a("jobs", job)["wells"].values()
        return any(well["executor"] == there and well["state"] == "running" for well in wells)

    until(is_there, "a well on the other host")
    meshes.hosts.plug("down")
    try:
        assert meshes.a("jobs", "cancel", job)["state"] == "cancelled"
        until(lambda: _is_away(meshes), "the silence being noticed")
    finally:
        meshes.hosts.plug("up")
    until(lambda: not _is_away(meshes), "the node being back")
    until(lambda: runs_anew(meshes, pid), "another executor in the place of one that heeds nothing")
    assert n_elsewhere(meshes.a("run", meshes.plate, NUCLEI, "--wait")) > 0
    assert all(well["state"] != "done" for well in meshes.a("jobs", job)["wells"].values() if well["executor"] == there)


BEYOND = """
import asyncio, json, sys
from pathlib import Path

from hcs_mesh.client import Client
from hcs_mesh.messages.compute import SubmitJob
from hcs_mesh.transport import AskTimedOut, PeerGone, load_card

card, key, plate, source, n_first, n_jobs = *sys.argv[1:3], int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:])


async def submit(client, number):
    request = SubmitJob(plate_id=plate, source=Path(source).read_text(), key=f"beyond the cable {number}")
    n_asks, job = 0, ""
    while not job:
        n_asks += 1
        try:
            job = await client.ask("scheduler", request, timeout_s=2.0)
        except (AskTimedOut, PeerGone):
            await asyncio.sleep(0.1)
    print(json.dumps({"job": job, "asks": n_asks}), flush=True)


async def main():
    async with Client.to(load_card(Path(card)), key=Path(key)) as client:
        await asyncio.gather(*(submit(client, number) for number in range(n_first)))
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(submit(client, number) for number in range(n_first, n_jobs)))


asyncio.run(main())
"""
"""A client beyond the cable: some jobs at once, the others when it is told to, each asked for until it is accepted."""


def test_what_a_client_beyond_the_cable_hands_over_in_a_partition_is_accepted_once(
    meshes: Meshes, tell: Callable[[str], None]
) -> None:
    n_first, n_jobs = 2, 6
    known = {job["job"] for job in meshes.a("jobs")}
    words = (meshes.card, meshes.card.parent / "eva.secret", meshes.plate, NUCLEI, n_first, n_jobs)
    client = subprocess.Popen(
        ["ip", "netns", "exec", meshes.hosts.b, sys.executable, "-P", "-c", BEYOND, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdin is not None
        assert client.stdout is not None
        told = [json.loads(client.stdout.readline()) for _ in range(n_first)]
        # First only the way back is cut: what is handed over arrives, and its acknowledgement does not.
        meshes.hosts.answers("lost")
        client.stdin.write("\n")
        client.stdin.flush()
        until(lambda: len(meshes.a("jobs")) == len(known) + n_jobs, "the arrival of what was handed over")
        meshes.hosts.plug("down")
        until(lambda: _is_away(meshes), "the silence being noticed")
        assert client.poll() is None, "nothing was acknowledged over a cable that is cut"
        meshes.hosts.plug("up")
        meshes.hosts.answers("heard")
        out, _ = client.communicate(timeout=150)
    finally:
        meshes.hosts.plug("up")
        meshes.hosts.answers("heard")
        client.kill()
        client.communicate()
    told += map(json.loads, out.splitlines())
    assert client.returncode == 0
    assert all(one["asks"] > 1 for one in told[n_first:])
    accepted = [one["job"] for one in told]
    assert len(set(accepted)) == n_jobs
    assert {job["job"] for job in meshes.a("jobs")} == known | set(accepted), "nothing is lost, and nothing twice"
    for job in accepted:
        until(lambda job=job: meshes.a("jobs", job)["state"] != "running", "the job's end")  # type: ignore[misc]
        ended = meshes.a("jobs", job)
        assert ended["state"] == "done", ended
        assert all(well["state"] == "done" for well in ended["wells"].values())
    until(lambda: not _is_away(meshes), "the node being back")
    n_asks = sum(one["asks"] for one in told[n_first:])
    tell(f"hosts: {n_jobs - n_first} jobs handed over in a partition were asked for {n_asks} times, and made once each")


async def _away(mesh: Client) -> bool:
    told = await mesh.ask("console", InspectActor(actor="nodes"))
    return str({one.name: one.value for one in told.statistics}["away"]) != "0"


def _is_away(meshes: Meshes) -> bool:
    async def ask() -> bool:
        async with Client.at(meshes.a.folder) as mesh:
            return await _away(mesh)

    return asyncio.run(ask())


def test_a_folder_that_is_not_shared_is_refused_with_what_to_do(meshes: Meshes, tmp_path: Path) -> None:
    secret = meshes.card.parent / "hostc.secret"
    meshes.a("keys", "new", "hostc", "--role", "node", "--out", secret)
    node = Host(meshes.hosts.b, tmp_path / "other")
    # A mount namespace in which the mesh's folder is empty: a host that does not mount it.
    script = f"mount -t tmpfs none {meshes.a.folder} && exec " + " ".join(
        map(str, node.command("up", "--join", meshes.card, "--key", secret)[4:])
    )
    done = subprocess.run(
        ["ip", "netns", "exec", meshes.hosts.b, "unshare", "--mount", "sh", "-c", script],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 1
    told = json.loads(done.stderr.splitlines()[-1])
    assert "data folder" in told["error"]
    assert "mount it at" in told["hint"]


def test_a_user_is_no_node(meshes: Meshes, tmp_path: Path) -> None:
    node = Host(meshes.hosts.b, tmp_path / "other")
    code, told = node.attempt("up", "--join", meshes.card, "--key", meshes.card.parent / "eva.secret")
    assert code == 1
    assert "not for eva (user)" in told["error"]


def test_a_node_whose_key_is_revoked_is_out_within_a_second(meshes: Meshes, tell: Callable[[str], None]) -> None:
    file = DataLayout(meshes.a.folder).allowed_keys / "hostb.toml"
    allowed = file.read_bytes()

    async def revoke() -> float:
        """How long after its file was gone the node was out."""
        async with Client.at(meshes.a.folder) as mesh:
            assert not await _away(mesh)
            revoking = asyncio.create_task(asyncio.to_thread(meshes.a, "keys", "revoke", "hostb"))
            while file.exists():
                assert not revoking.done()
                await asyncio.sleep(0.005)
            began_s = time.monotonic()
            while not await _away(mesh):
                assert time.monotonic() < began_s + PATIENCE_S
                await asyncio.sleep(0.01)
            took_s = time.monotonic() - began_s
            await revoking
        return took_s

    took_s = asyncio.run(revoke())
    # A computer that stands still looks at no keys: the quickest of a few counts.
    for _ in range(N_MORE):
        if took_s < 1:
            break
        file.write_bytes(allowed)
        until(lambda: not _is_away(meshes), "the node being back under its key")
        took_s = min(took_s, asyncio.run(revoke()))
    assert took_s < 1
    tell(f"hosts: a node was out {took_s:.2f} s after its key's file was gone")
    job = meshes.a("run", meshes.plate, NUCLEI, "--wait")
    assert job["state"] == "done"
    assert n_elsewhere(job) == 0


def test_a_transfer_from_a_workstation_goes_on_at_its_byte_when_the_cable_is_plugged_in_again(
    meshes: Meshes, tmp_path: Path
) -> None:
    # So slow that there is time to pull the cable in the middle of it.
    limit_mib_s, n_bytes = 4, 24 << 20
    source = tmp_path / "served" / "image.czi"
    source.parent.mkdir()
    source.write_bytes(os.urandom(n_bytes))
    meshes.a("keys", "new", "scope", "--role", "agent", "--out", tmp_path / "scope.secret")
    words = (
        "agent",
        "--quiet",
        "--mesh",
        meshes.card,
        "--key",
        tmp_path / "scope.secret",
        "--data",
        tmp_path / "agent",
    )
    serve = ("--serve", f"plates={source.parent}", "--limit-mib-s", limit_mib_s)
    agent = subprocess.Popen(
        meshes.b.command(*words, *serve), env=meshes.b.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert agent.stdout is not None
        assert agent.stdout.readline()
        until(lambda: any(one["here"] for one in meshes.a("agents")), "the agent's coming")
        order = meshes.a("import", "--agent", "scope", "plates", "--as-files")["import"]
        part = meshes.a.folder / "repository" / "imports" / order / "files" / "image.czi.part"
        until(lambda: part.exists() and part.stat().st_size > 2 << 20, "the first bytes")
        meshes.hosts.plug("down")
        until(lambda: not any(one["here"] for one in meshes.a("agents")), "that it is missed")
        assert part.stat().st_size < n_bytes
        meshes.hosts.plug("up")
        until(lambda: meshes.a("imports", order)["state"] == "done", "the import's end")
        assert part.with_name("image.czi").read_bytes() == source.read_bytes()
        told = meshes.b("inspect", "folders", "--data", tmp_path / "agent")
        assert n_bytes <= told["statistics"]["bytes_sent"] < n_bytes + (8 << 20), "only what was on its way went twice"
    finally:
        meshes.hosts.plug("up")
        agent.terminate()
        agent.wait(60)
        agent.stdout.close()
