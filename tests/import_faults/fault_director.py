"""Plays schedules: ``python fault_director.py FOLDER MAIL_PORT`` reads seeds and bugs, and writes their outcomes.

One thread and no sockets, so that each life can be forked off: it has everything imported, and nothing running.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import signal
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import fault_checks
import msgspec
from fault_gate import GO_ON, RETRY
from fault_havoc import STOPPED_S, Havoc
from fault_process import Life
from fault_schedules import Fault, FaultSchedule, Going, Outcome, Report, schedule
from fault_ways import AGENT, BETWEEN_DELETIONS, BYTES, WATCH
from fault_workstation import Keys, Workstation
from fault_world import SENTINEL, FaultWorld, mount_memory, own_mounts

SILENCE_S = 0.08
"""After so long without a word the world goes on: what a fault holds up may wait for its end."""
HUNG_S = 60.0
MAX_LIVES = 40
HARMLESS = frozenset({"kill", "stop", "reboot", "corrupt", "touch", "kill agent", "stop agent", "cut link"})
"""Faults that an import outlives without anybody's help."""


class Hung(Exception):
    """A life says nothing any more."""


class Play:
    """One schedule, from the first life to the last."""

    def __init__(self, base: Path, number: int, mail_port: int, plan: FaultSchedule, bug: str, keys: Keys) -> None:
        self.plan = plan
        self.chance = random.Random(plan.seed + 1)
        self.world = FaultWorld(base, f"{number}", plan.sizes, self.chance)
        self.outcome = Outcome(seed=plan.seed, faults=plan.as_text(), way=plan.way)
        self.left = list(plan.faults)
        self.applied: list[Fault] = []
        self.n_reports = 0
        self.acknowledged: dict[str, str] = {}
        self.rotten: dict[tuple[str, str], bool] = {}
        """What was corrupted on the disk, and whether that was before it was proven."""
        self.verifying: set[str] = set()
        """The imports whose proof has begun."""
        self.proving: dict[str, int] = {}
        """How many changes there had been of the source when the proof of an import began."""
        self.certifying: dict[str, dict[tuple[str, str], str]] = {}
        """The checksums of what lay at the sources once each import had its plates, and no certificate."""
        self.delivering: Counter[str] = Counter()
        """The notices on their way, and to how many they still go."""
        self.retried = False
        self.brought = False
        self.kept: set[str] | None = None
        """What was gone of the source when its deletion was forbidden; None as long as it is allowed."""
        self.deleted: set[str] = set()
        """The files that went from the source, of which each must have been certified by then."""
        self.modules: list[str] = []
        who = f"{os.getpid()}.{number}@example.org"
        self.going = Going(
            data=str(self.world.data),
            scope=str(self.world.scope),
            plate=str(self.world.scope / "plate"),
            mail_port=mail_port,
            ada=f"ada.{who}",
            administrator=f"administrator.{who}",
            keys=() if plan.way == WATCH else ("first", "second") if plan.twice else ("first",),
            way=plan.way,
            deletes=plan.deletes,
            sentinel=SENTINEL if plan.sentinel else "",
            bug=bug,
        )
        if plan.sentinel:
            self.world.place_sentinel()
        self.workstation: Workstation | None = None
        if plan.way == AGENT:
            self.workstation = Workstation(keys, base, self.world.scope, base / "workstation", bug)
            self.going.front, self.going.ring = str(base), str(keys.folder)
            self.going.keys_of_mesh = keys.mesh.public, keys.mesh.secret
        self.havoc = Havoc(self.world, self.workstation, self._say)

    def run(self) -> Outcome:
        """Play it, and look at what is left."""
        began = time.perf_counter()
        try:
            self._may_delete(allowed=self.plan.may_delete != "never")
            self.havoc.mend_workstation()
            over = False
            while not over:
                if self.outcome.n_lives >= MAX_LIVES:
                    raise Hung(f"not over after {MAX_LIVES} lives")
                over = self._live()
            self.havoc.heal()
            # Once more, with nothing in its way: what is over stays as it is, and what was left behind goes.
            self.left.clear()
            self._live()
            self._look_for_deleted()
            self.outcome.violations += fault_checks.violations(self)
        except Hung as error:
            self.outcome.violations.append(f"it hangs: {error}")
        finally:
            if self.workstation is not None:
                self.workstation.close()
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
            stop_at = random.Random(due[0].seed).randrange(self.world.source.n_bytes) if due else -1
            setattr(self.going, name, stop_at)
        due = [one for one in self.left if one.point == BETWEEN_DELETIONS]
        self.going.deleted_file = random.Random(due[0].seed).randrange(len(self.plan.sizes) - 1) if due else -1
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
        while (report := self.havoc.heard(life, SILENCE_S)) is None:
            self.havoc.heal()
            if time.monotonic() > until:
                life.kill()
                raise Hung(f"nothing was heard for {HUNG_S:g} s")
        self.n_reports += 1
        self.havoc.heal(self.n_reports)
        self._look_for_deleted()
        return report

    def _ended(self, life: Life) -> bool:
        """Everything has ended in this life: it may go, unless there is something new in the world."""
        if self.havoc.lasting or (self.plan.second and not self.brought):
            self.havoc.heal()
            self._bring_second()
            life.go(GO_ON)
            return False
        failed = any(one.startswith("failed") for one in self.outcome.ends.values())
        if failed and self.plan.retry and not self.retried:
            self.retried = True
            life.go(RETRY)
            return False
        life.go()
        return True

    def _bring_second(self) -> None:
        if self.plan.second and not self.brought:
            self.brought = True
            self._say("a second plate is there")
            self.world.bring_second()

    def _pass(self, life: Life, report: Report) -> bool:
        """Let a life on from where it stands, after whatever is to happen there; whether it is still alive."""
        self._say(f"{report.side} {report.point} {report.of} {report.facts or ''}".strip())
        self._note(report)
        stopped = False
        while fault := self._due(report):
            self.left.remove(fault)
            self._say(f"FAULT {fault.kind}")
            if not self.havoc.apply(fault, self.n_reports):
                # There is nothing yet that it could hit: at the next place, then.
                self.left.append(msgspec.structs.replace(fault, point="", side=""))
                break
            if fault.kind == "corrupt" and self.havoc.corrupted is not None:
                self.rotten[self.havoc.corrupted] = self.havoc.corrupted[0] not in self.verifying
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
                self.verifying.add(report.of)
                self.proving[report.of] = len(self.world.source.changes)
            case "import.entered.transferring", "after":
                self.verifying.discard(report.of)
                self.certifying.pop(report.of, None)
            case "import.entered.annotating", "after":
                # The first time: in a later life there may be a certificate, and what changes then is too late for it.
                self.certifying.setdefault(report.of, self.world.checksums())
            case "notice.posted", "after":
                self.delivering[report.of] = report.facts["n_to"]
            case "notice.delivered", "after":
                self.delivering[report.of] -= 1

    def _kill(self, life: Life, fault: Fault) -> None:
        life.kill()
        life.gone()
        if self.plan.may_delete == "withdrawn":
            self._may_delete(allowed=False)
        self._bring_second()
        self.outcome.n_open_kills += bool(+self.delivering)
        if fault.kind == "reboot":
            chance = random.Random(fault.seed)
            self.world.lose_power(chance)
            if chance.random() < 0.3:
                # The service is up before the network drive is.
                self.havoc.unmount(self.n_reports + fault.lasts)

    # -- what may be deleted ----------------------------------------------------------------------------

    def _may_delete(self, *, allowed: bool) -> None:
        """From now on a source may be deleted once it is certified, or may not be."""
        self.going.may_delete = allowed
        self.havoc.may_delete(allowed)
        self.kept = None if allowed else self.world.source.missing()

    def _look_for_deleted(self) -> None:
        """Nothing goes from the source before a certificate says that all of it is in the repository."""
        if not self.plan.deletes:
            return
        for path in (missing := self.world.source.missing()) - self.deleted:
            if not any((self.world.data / "certificates").glob("*.json")):
                self.outcome.violations.append(f"{path} was deleted before anything was certified")
            if self.kept is not None and path not in self.kept:
                self.outcome.violations.append(f"{path} was deleted, and that is not allowed (any more)")
        self.deleted |= missing

    # -- faults -----------------------------------------------------------------------------------------

    def _due(self, report: Report) -> Fault | None:
        # A death comes last of what happens at one place: nothing else could happen there behind it.
        for fault in sorted(self.left, key=lambda one: one.kind in ("kill", "reboot")):
            if (fault.point, fault.side) == (report.point, report.side):
                return fault
            if not fault.point and report.side and fault.kind == "corrupt":
                return fault
        return None

    @property
    def may_fail(self) -> bool:
        """Whether a fault was one that an import may fail over."""
        # The second order for a folder finds nothing where the first has deleted it.
        gone = self.plan.deletes and self.plan.twice
        return gone or any(one.kind not in HARMLESS for one in self.applied) or self.havoc.source_was_away

    def _say(self, line: str) -> None:
        self.outcome.diary.append(line)


def main(base: Path, mail_port: int) -> None:
    """Play what is asked for on standard input."""
    warnings.simplefilter("ignore")
    own_mounts()
    base.mkdir(parents=True)
    mount_memory(base / "acquisition", 64 << 20)
    keys = Keys(base / "ring")
    warm = False
    for number, line in enumerate(sys.stdin):
        seed, _, bug = line.strip().partition(" ")
        play = Play(base, number, mail_port, schedule(int(seed)), bug, keys)
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
