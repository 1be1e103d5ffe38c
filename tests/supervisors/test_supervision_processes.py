"""Process children, with real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import uvloop
from waiting import eventually

from hcs_mesh.supervisors.errors import ProcessStartFailed
from hcs_mesh.supervisors.health import Health, HealthLimits
from hcs_mesh.supervisors.launch import process_child, start_process
from hcs_mesh.supervisors.process import GIVEN_UP_S, ProcessSpec
from hcs_mesh.supervisors.supervisor import Supervisor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups are POSIX")

LIFELINE = "from hcs_mesh.supervisors.lifeline import end_with_parent, tell_ready\n"
SERVE = LIFELINE + "import signal\nspec = end_with_parent()\ntell_ready()\nsignal.pause()\n"


def python(code, **fields):
    return ProcessSpec(argv=(sys.executable, "-c", code), **fields)


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 55))


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_reads_its_specification_and_says_when_it_is_ready(tmp_path):
    out = tmp_path / "spec"
    code = LIFELINE + f"import signal\nopen({str(out)!r}, 'wb').write(end_with_parent())\ntell_ready()\nsignal.pause()"

    async def scenario():
        child = await start_process(python(code, spec=json.dumps({"device": "cpu0"}).encode()))
        assert json.loads(out.read_bytes()) == {"device": "cpu0"}
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        await child.stop()
        return child, await child.wait()

    child, exit_ = run(scenario)
    assert exit_.reason == "shutdown"
    assert exit_.signal == "SIGTERM"
    assert gone(child.pid)


@pytest.mark.parametrize(
    ("code", "reason", "exit_code", "signal_name"),
    [
        ("", "normal", 0, ""),
        ("import sys; print('disk on fire'); sys.exit(3)", "failed", 3, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "failed", None, "SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "failed", None, "SIGSEGV"),
    ],
)
def test_every_way_to_end_is_told_apart(code, reason, exit_code, signal_name):
    async def at_once(child):
        return None

    async def scenario():
        return await (await start_process(python(code), ready=at_once)).wait()

    exit_ = run(scenario)
    assert (exit_.reason, exit_.exit_code, exit_.signal) == (reason, exit_code, signal_name)
    assert ("disk on fire" in exit_.error) == ("fire" in code)


def test_a_child_that_dies_before_it_is_ready_says_why():
    with pytest.raises(ProcessStartFailed, match=r"(?s)exit code 1.*no such module: cupy"):
        run(lambda: start_process(python("import sys; sys.exit('no such module: cupy')")))


def test_the_last_words_of_a_child_are_kept_that_ends_before_anybody_looks(monkeypatch):
    start = asyncio.create_subprocess_exec

    async def start_and_look_away(*words, **options):
        process = await start(*words, **options)
        with suppress(ChildProcessError):  # asyncio's own thread may have waited for it already
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - nobody looks meanwhile
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_and_look_away)
    with pytest.raises(ProcessStartFailed, match="no such module: cupy"):
        run(lambda: start_process(python("import sys; sys.exit('no such module: cupy')")))


def test_a_child_that_is_never_ready_is_killed():
    pids = []

    async def late(seconds):
        return None

    async def scenario():
        def never(child):
            pids.append(child.pid)
            return asyncio.Event().wait()

        await start_process(python("import signal; signal.pause()"), ready=never, sleep=late)

    with pytest.raises(ProcessStartFailed, match="not ready within 60 s"):
        run(scenario)
    assert gone(pids[0])


def test_a_program_that_does_not_exist_is_one_clear_error():
    with pytest.raises(ProcessStartFailed, match="/no/such/program cannot be executed"):
        run(lambda: start_process(ProcessSpec(argv=("/no/such/program",))))


def test_a_cancelled_start_leaves_no_process():
    async def scenario():
        seen = asyncio.Queue()

        def never(child):
            seen.put_nowait(child.pid)
            return asyncio.Event().wait()

        starting = asyncio.create_task(start_process(python(SERVE), ready=never))
        pid = await seen.get()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert gone(pid)

    run(scenario)


def test_a_stopped_process_is_hung_and_killed():
    async def scenario():
        limits = HealthLimits(silence_s=0.3, look_every_s=0.02)
        child = await start_process(python(SERVE, health=limits))
        enough_s = time.monotonic() + 0.4

        def beaten():
            child.beat(time.monotonic(), "well B03")
            return time.monotonic() > enough_s

        await eventually(beaten)  # It lives for longer than the limit as long as it beats.
        assert child.health in (Health.ALIVE, Health.BUSY)
        os.kill(child.pid, signal.SIGSTOP)
        exit_ = await child.wait()
        assert exit_.reason == "hung"
        assert exit_.signal == "SIGKILL"
        assert "no heartbeat for 0.3 s" in exit_.error
        assert gone(child.pid)

    run(scenario)


def test_output_goes_to_the_log_and_only_this_lifes_tail_to_the_error(tmp_path):
    log = tmp_path / "executor.log"
    log.write_text("an earlier life\n")
    code = LIFELINE + "end_with_parent(); tell_ready(); raise SystemExit('out of memory')"

    async def scenario():
        async def at_once(child):
            return None

        return await (await start_process(python(code, log=log), ready=at_once)).wait()

    exit_ = run(scenario)
    assert "out of memory" in exit_.error
    assert "earlier" not in exit_.error
    assert log.read_text() == "an earlier life\nout of memory\n"


def test_memory_beyond_the_limit_fails_inside_the_child():
    code = LIFELINE + "end_with_parent()\ntell_ready()\nbytearray(2 << 30)"

    async def scenario():
        return await (await start_process(python(code, memory_bytes=1 << 30))).wait()

    exit_ = run(scenario)
    assert exit_.exit_code == 1
    assert "MemoryError" in exit_.error


def test_what_a_dead_child_had_started_is_killed_with_it(tmp_path):
    note = tmp_path / "pid"
    code = LIFELINE + (
        "import subprocess, sys, signal\nend_with_parent()\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        f"open({str(note)!r}, 'w').write(str(grandchild.pid))\ntell_ready()\nsignal.pause()"
    )

    async def scenario():
        child = await start_process(python(code))
        grandchild = int(note.read_text())
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        await eventually(lambda: gone(grandchild), what="the grandchild's end")

    run(scenario)


def test_a_child_ends_when_only_the_pipe_closes():
    async def scenario():
        child = await start_process(python(SERVE))
        child._process.stdin.close()
        exit_ = await child.wait()
        assert exit_.signal == "SIGTERM"

    run(scenario)


def test_a_child_that_ignores_the_closed_pipe_is_killed_after_the_grace():
    deaf = LIFELINE + (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nend_with_parent(grace_s=0.1)\ntell_ready()\n"
        "while True: signal.pause()"
    )

    async def scenario():
        child = await start_process(python(deaf))
        child._process.stdin.close()
        assert (await child.wait()).signal == "SIGKILL"

    run(scenario)


@pytest.fixture
def frozen_disk(tmp_path):
    """A disk on which whoever writes hangs in the kernel, deaf to every signal."""
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    subprocess.run(["fsfreeze", "--freeze", str(folder)], check=True)
    yield folder
    # A test may have thawed it, for its process to end.
    subprocess.run(["fsfreeze", "--unfreeze", str(folder)], check=False, capture_output=True)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("root")
def test_a_process_that_not_even_sigkill_ends_is_given_up_and_told(frozen_disk):
    code = LIFELINE + f"end_with_parent()\ntell_ready()\nopen({str(frozen_disk / 'result')!r}, 'w')"

    async def scenario():
        child = await start_process(python(code))
        await eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_DISK_SLEEP)
        ended = asyncio.create_task(child.wait())
        await child.kill()
        exit_ = await ended
        assert psutil.pid_exists(child.pid)
        await asyncio.to_thread(subprocess.run, ["fsfreeze", "--unfreeze", str(frozen_disk)], check=True)
        await eventually(lambda: gone(child.pid))

        async def ended_like_any_other():
            return (await child.wait()).signal == "SIGKILL"

        await eventually(ended_like_any_other)
        return child.pid, exit_

    pid, exit_ = run(scenario)
    assert exit_.is_abnormal
    assert f"process {pid} is still there {GIVEN_UP_S:g} s after SIGKILL" in exit_.error


def test_blame_travels_with_the_exit():
    async def scenario():
        child = await start_process(python(SERVE))
        child.charge("well B03")
        os.kill(child.pid, signal.SIGKILL)
        assert (await child.wait()).blame == "well B03"

    run(scenario)


@pytest.mark.parametrize("loop_of", ["asyncio", "uvloop"])
def test_children_live_under_a_loop_in_any_thread(loop_of):
    factory = asyncio.new_event_loop if loop_of == "asyncio" else uvloop.new_event_loop
    exits = []

    def in_thread():
        async def scenario():
            child = await start_process(python(SERVE))
            await child.stop()
            exits.append(await asyncio.wait_for(child.wait(), 20))

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(scenario())

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join(30)
    assert [exit_.reason for exit_ in exits] == ["shutdown"]


def test_a_killed_process_is_noticed_and_started_again_within_a_second_and_comes_back():
    async def scenario():
        reports, n_looks = [], 0

        def is_noticed():
            # Looks of this loop, a hundred in a second and fewer where the computer stands still.
            nonlocal n_looks
            n_looks += 1
            return any(report.occurrence == "restarting" for report in reports)

        children = [process_child("cpu0", python(SERVE))]
        supervisor = await Supervisor("executors", children, reporter=reports.append).start()
        first = supervisor.child("cpu0").pid
        os.kill(first, signal.SIGKILL)
        await eventually(is_noticed, 20.0, "the news of its end")
        (restarting,) = [report for report in reports if report.occurrence == "restarting"]
        assert n_looks / 100 + restarting.delay_s < 1.0
        # How long a program takes until it is ready is not the supervisor's.
        await eventually(
            lambda: supervisor.child("cpu0") and supervisor.child("cpu0").pid != first, 25.0, "the restart"
        )
        (row,) = [row for row in supervisor.tree() if row.name == "cpu0"]
        assert (row.kind, row.state, row.restarts) == ("process", "running", 1)
        assert "SIGKILL" in row.last_error
        await supervisor.stop()
        assert gone(row.pid)

    run(scenario)


def test_a_child_that_will_not_stop_is_killed_after_its_time():
    deaf = LIFELINE + (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nend_with_parent()\ntell_ready()\n"
        "while True: signal.pause()"
    )

    async def scenario():
        seen = []
        child = process_child("deaf", python(deaf), shutdown_s=0.2)
        supervisor = await Supervisor("top", [child], reporter=seen.append).start()
        pid = supervisor.child("deaf").pid
        await supervisor.stop()
        assert [report.occurrence for report in seen] == ["started", "killed", "stopped"]
        assert gone(pid)

    run(scenario)


PARENT = """
import asyncio, os, signal, sys
from hcs_mesh.supervisors.launch import process_child
from hcs_mesh.supervisors.process import GIVEN_UP_S, ProcessSpec
from hcs_mesh.supervisors.supervisor import Supervisor

SERVE = {serve!r}
DEAF = SERVE.replace("spec =", "signal.signal(signal.SIGTERM, signal.SIG_IGN); spec =")

async def main():
    codes = dict(plain=SERVE, deaf=DEAF, frozen=SERVE)
    children = [process_child(name, ProcessSpec(argv=(sys.executable, "-c", code))) for name, code in codes.items()]
    supervisor = await Supervisor("top", children).start()
    os.kill(supervisor.child("frozen").pid, signal.SIGSTOP)
    with open({note!r} + ".part", "w") as file:
        file.write(" ".join(str(row.pid) for row in supervisor.tree() if row.kind == "process"))
    os.rename({note!r} + ".part", {note!r})
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_no_child_outlives_a_killed_parent(tmp_path):
    """Not one that works, nor one that ignores SIGTERM, nor one that is stopped."""
    note = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(serve=SERVE, note=str(note))])
    try:
        asyncio.run(eventually(note.exists, 40, "the start of the children"))
        pids = [int(pid) for pid in Path(note).read_text().split()]
        assert len(pids) == 3
        assert not any(map(gone, pids))
        parent.kill()
        asyncio.run(eventually(lambda: all(map(gone, pids)), 10.0, "the end of the children"))
    finally:
        parent.kill()
        parent.wait()


EARLY = """
import asyncio, sys
from hcs_mesh.supervisors.launch import start_process
from hcs_mesh.supervisors.process import GIVEN_UP_S, ProcessSpec

asyncio.run(start_process(ProcessSpec(argv=(sys.executable, "-c", {serve!r}))))
"""


def test_a_child_whose_parent_dies_during_the_start_ends_too():
    parent = subprocess.Popen([sys.executable, "-c", EARLY.format(serve=SERVE)])
    try:
        children = psutil.Process(parent.pid).children
        asyncio.run(eventually(children, 20, "the start of the child"))
        pids = [child.pid for child in children()]
        parent.kill()
        # It notices as soon as it runs at all, for which Python needs its time.
        asyncio.run(eventually(lambda: all(map(gone, pids)), 30.0, "the end of the child"))
    finally:
        parent.kill()
        parent.wait()


def test_a_host_program_that_just_ends_leaves_no_process():
    pids = []

    async def careless():
        supervisor = await Supervisor("top", [process_child("cpu0", python(SERVE))]).start()
        pids.append(supervisor.child("cpu0").pid)

    asyncio.run(careless())
    assert gone(pids[0])
