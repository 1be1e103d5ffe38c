"""Plays schedules: ``python fault_director.py FOLDER MAIL_PORT`` reads seeds and bugs, and writes their outcomes.

One thread and no sockets, so that each life can be forked off: it has everything imported, and nothing running.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import select
import signal
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import fault_checks
import fault_life
import msgspec
from fault_schedules import BYTES, Fault, FaultSchedule, Going, Outcome, Report, schedule
from fault_world import FaultWorld, mount_memory, own_mounts

SILENCE_S = 0.08
"""After so long without a word the world goes on: what a fault holds up may wait for its end."""
STOPPED_S = 0.02
HUNG_S = 30.0
MAX_LIVES = 40
TICK_S = 0.004
"""What is written within one tick of a file system's clock may have the time of what was there before."""
HARMLESS = frozenset({"kill", "stop", "reboot", "corrupt"})
"""Faults that an import outlives without anybody's help."""


class Hung(Exception):
    """A life says nothing any more."""


class Life:
    """A process, and the two pipes between it and the world."""

    def __init__(self, going: Going) -> None:
        heard, tell = os.pipe()
        hear, said = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(heard)
            os.close(said)
            fault_life.live(going, tell, hear)
        os.close(tell)
        os.close(hear)
        self._heard, self._said = heard, said
        self._lines: list[bytes] = []
        self._rest = b""
        self._status: int | None = None
        self._decode = msgspec.json.Decoder(Report).decode

    def report(self, wait_s: float) -> Report | None:
        """What it says next; None after ``wait_s`` of silence. EOFError when it has ended."""
        while not self._lines:
            if not select.select([self._heard], [], [], wait_s)[0]:
                return None
            data = os.read(self._heard, 1 << 20)
            if not data:
                raise EOFError
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines += lines
        return self._decode(self._lines.pop(0))

    def go(self, word: bytes = fault_life.GO) -> None:
        """Let it on."""
        with suppress(BrokenPipeError):
            os.write(self._said, word)

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def gone(self) -> int:
        """How it ended, once it has."""
        if self._status is None:
            _, self._status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(self._status)

    def end(self) -> int:
        """Let go of it; how it ended."""
        for descriptor in (self._heard, self._said):
            os.close(descriptor)
        return self.gone()


class Play:
    """One schedule, from the first life to the last."""

    def __init__(self, base: Path, number: int, mail_port: int, plan: FaultSchedule, bug: str) -> None:
        self.plan = plan
        self.chance = random.Random(plan.seed + 1)
        self.world = FaultWorld(base, f"{number}", plan.sizes, self.chance)
        self.outcome = Outcome(seed=plan.seed, faults=plan.as_text())
        self.left = list(plan.faults)
        self.applied: list[Fault] = []
        self.healing: list[tuple[int, str]] = []
        self.n_reports = 0
        self.acknowledged: dict[str, str] = {}
        self.rotten: dict[tuple[str, str], bool] = {}
        """What was corrupted on the disk, and whether that was before it was proven."""
        self.verifying = False
        self.delivering: Counter[str] = Counter()
        """The notices on their way, and to how many they still go."""
        self.retried = False
        self.modules: list[str] = []
        who = f"{os.getpid()}.{number}@example.org"
        self.going = Going(
            data=str(self.world.data),
            scope=str(self.world.scope),
            plate=str(self.world.plate),
            mail_port=mail_port,
            ada=f"ada.{who}",
            administrator=f"administrator.{who}",
            keys=("first", "second") if plan.twice else ("first",),
            bug=bug,
        )

    def run(self) -> Outcome:
        """Play it, and look at what is left."""
        began = time.perf_counter()
        try:
            over = False
            while not over:
                if self.outcome.n_lives >= MAX_LIVES:
                    raise Hung(f"not over after {MAX_LIVES} lives")
                over = self._live()
            self._heal()
            # Once more, with nothing in its way: what is over stays as it is, and what was left behind goes.
            self.left.clear()
            self._live()
            self.outcome.violations += fault_checks.violations(self)
        except Hung as error:
            self.outcome.violations.append(f"it hangs: {error}")
        finally:
            self.outcome.missed = [f"{one.kind} {one.side} {one.point}" for one in self.left]
            self.world.close()
            self.outcome.took_s = time.perf_counter() - began
        return self.outcome

    # -- a life ----------------------------------------------------------------------------------------

    def _live(self) -> bool:
        """One life; whether everything was over in it."""
        self.outcome.n_lives += 1
        for point, name in zip(BYTES, ("transfer_byte", "verify_byte"), strict=True):
            due = [one for one in self.left if one.point == point]
            stop_at = random.Random(due[0].seed).randrange(self.world.n_bytes) if due else -1
            setattr(self.going, name, stop_at)
        life = Life(self.going)
        self._say(f"life {self.outcome.n_lives}")
        over = False
        try:
            while True:
                report = self._next(life)
                if report.point == "ended":
                    self.modules = report.facts["modules"]
                    self.outcome.ends = report.facts["ends"]
                    self._say(f"ended: {self.outcome.ends}")
                    over = self._ended(life)
                elif not self._pass(life, report):
                    return False
        except EOFError:
            return over
        finally:
            code = life.end()
            if code not in (0, -signal.SIGKILL):
                self.outcome.violations.append(f"a life ended with {code}")

    def _next(self, life: Life) -> Report:
        until = time.monotonic() + HUNG_S
        while (report := life.report(SILENCE_S)) is None:
            self._heal()
            if time.monotonic() > until:
                life.kill()
                raise Hung(f"nothing was heard for {HUNG_S:g} s")
        self.n_reports += 1
        self._heal(but_later=True)
        return report

    def _ended(self, life: Life) -> bool:
        """Everything has ended in this life: it may go, unless somebody takes up again what failed."""
        if self.healing:
            self._heal()
        failed = any(one.startswith("failed") for one in self.outcome.ends.values())
        if failed and self.plan.retry and not self.retried:
            self.retried = True
            life.go(fault_life.RETRY)
            return False
        life.go()
        return True

    def _pass(self, life: Life, report: Report) -> bool:
        """Let a life on from where it stands, after whatever is to happen there; whether it is still alive."""
        self._say(f"{report.side} {report.point} {report.of} {report.facts or ''}".strip())
        self._note(report)
        stopped = False
        while fault := self._due(report):
            self.left.remove(fault)
            self._say(f"FAULT {fault.kind}")
            if not self._apply(fault):
                # There is nothing yet that it could hit: at the next place, then.
                self.left.append(msgspec.structs.replace(fault, point="", side=""))
                break
            self.applied.append(fault)
            self.outcome.hit.append((fault.kind, report.point, report.side))
            if fault.kind in ("kill", "reboot"):
                self._kill(life, fault)
                return False
            stopped |= fault.kind == "stop"
        life.go()
        if stopped:
            os.kill(life.pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(life.pid, signal.SIGCONT)
        return True

    def _note(self, report: Report) -> None:
        match report.point, report.side:
            case "acknowledged", _:
                for key, import_id in report.facts["ids"].items():
                    if self.acknowledged.setdefault(key, import_id) != import_id:
                        self.outcome.violations.append(f"order {key} was {self.acknowledged[key]}, and is {import_id}")
            case "import.entered.verifying", "after":
                self.verifying = True
            case "import.entered.transferring", "after":
                self.verifying = False
            case "notice.posted", "after":
                self.delivering[report.of] = report.facts["n_to"]
            case "notice.delivered", "after":
                self.delivering[report.of] -= 1

    def _kill(self, life: Life, fault: Fault) -> None:
        life.kill()
        self.outcome.n_open_kills += bool(+self.delivering)
        if fault.kind == "reboot":
            life.gone()
            chance = random.Random(fault.seed)
            self.world.lose_power(chance)
            if chance.random() < 0.3:
                # The service is up before the network drive is.
                self.world.unmount()
                self.healing.append((self.n_reports + fault.lasts, "mount"))

    # -- faults -----------------------------------------------------------------------------------------

    def _due(self, report: Report) -> Fault | None:
        # A death comes last of what happens at one place: nothing else could happen there behind it.
        for fault in sorted(self.left, key=lambda one: one.kind in ("kill", "reboot")):
            if (fault.point, fault.side) == (report.point, report.side):
                return fault
            if not fault.point and report.side and fault.kind == "corrupt":
                return fault
        return None

    def _apply(self, fault: Fault) -> bool:
        chance = random.Random(fault.seed)
        world = self.world
        match fault.kind:
            case "kill" | "reboot" | "stop":
                pass
            case "fill":
                world.fill(chance)
                self.healing.append((self.n_reports + fault.lasts, "free"))
            case "unmount":
                world.unmount()
                self.healing.append((self.n_reports + fault.lasts, "mount"))
            case "corrupt":
                found = world.corrupt(chance)
                if found is None:
                    return False
                self.rotten[found] = not self.verifying
                self._say(f"corrupted: {found}")
            case _:
                time.sleep(TICK_S)
                getattr(world, fault.kind)(chance)
                time.sleep(TICK_S)
        return True

    def _heal(self, *, but_later: bool = False) -> None:
        """End the faults that last, but those whose time has not come."""
        later = []
        for until, cure in self.healing:
            if but_later and until >= self.n_reports:
                later.append((until, cure))
                continue
            self._say(f"healed: {cure}")
            getattr(self.world, cure)()
        self.healing = later

    @property
    def may_fail(self) -> bool:
        """Whether a fault was one that an import may fail over."""
        return any(one.kind not in HARMLESS for one in self.applied) or not self._source_stayed

    @property
    def _source_stayed(self) -> bool:
        return not any("mount" in line for line in self.outcome.diary if line.startswith("healed"))

    def _say(self, line: str) -> None:
        self.outcome.diary.append(line)


def main(base: Path, mail_port: int) -> None:
    """Play what is asked for on standard input."""
    warnings.simplefilter("ignore")
    own_mounts()
    base.mkdir(parents=True)
    mount_memory(base / "acquisition", 64 << 20)
    warm = False
    for number, line in enumerate(sys.stdin):
        seed, _, bug = line.strip().partition(" ")
        play = Play(base, number, mail_port, schedule(int(seed)), bug)
        outcome = play.run()
        if not warm:
            warm = True
            for name in play.modules:
                if name not in sys.modules and not name.startswith("_"):
                    with suppress(Exception):
                        importlib.import_module(name)
            gc.collect()
            gc.freeze()
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
