"""The faults that befall the world around a life: each is done, and those that last are ended."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from fault_process import Life
from fault_schedules import Fault, Report
from fault_workstation import Workstation
from fault_world import FaultWorld

STOPPED_S = 0.02
LONG_S = 0.8
"""For so long an agent stands still now and then: the mesh holds it to be away."""
WRITE_EVERY_S = 0.003
"""Who goes on writing does so between two looks at a source."""
TICK_S = 0.004
"""What is written within one tick of a file system's clock may have the time of what was there before."""


class Havoc:
    """What happens to the disks, the source and the workstation of one schedule."""

    def __init__(self, world: FaultWorld, workstation: Workstation | None, say: Callable[[str], None]) -> None:
        self._world = world
        self._workstation = workstation
        self._say = say
        self.lasting: list[tuple[int, str]] = []
        """What ends a fault that lasts, and after how many places at which a life has stood."""
        self.corrupted: tuple[str, str] | None = None
        """The import and the file that were corrupted last."""
        self.source_was_away = False
        self._writer: random.Random | None = None
        """Who goes on writing to the source, if somebody does."""

    def apply(self, fault: Fault, n_reports: int) -> bool:
        """Have it happen; whether there was anything that it could hit."""
        chance, world = random.Random(fault.seed), self._world
        match fault.kind:
            case "kill" | "reboot" | "stop":
                pass
            case "fill":
                world.fill(chance)
                self.lasting.append((n_reports + fault.lasts, "free"))
            case "unmount":
                self.unmount(n_reports + fault.lasts)
            case "kill agent" | "stop agent" | "cut link" if self._workstation is not None:
                self._hit_workstation(self._workstation, fault, chance, n_reports)
            case "write on":
                self._writer = chance
                self.lasting.append((n_reports + fault.lasts, "writer"))
                return world.source.append(chance)
            case "corrupt":
                self.corrupted = world.corrupt(chance)
                self._say(f"corrupted: {self.corrupted}")
                return self.corrupted is not None
            case _:
                time.sleep(TICK_S)
                done = bool(getattr(world.source, fault.kind)(chance))
                time.sleep(TICK_S)
                return done
        return True

    def unmount(self, until: int) -> None:
        """Take the source's mount away for a while."""
        self.source_was_away = True
        self._world.unmount()
        self.lasting.append((until, "mount"))

    def _hit_workstation(self, workstation: Workstation, fault: Fault, chance: random.Random, n_reports: int) -> None:
        match fault.kind:
            case "kill agent":
                workstation.down()
                self.lasting.append((n_reports + fault.lasts, "workstation"))
            case "stop agent":
                workstation.signal(signal.SIGSTOP)
                time.sleep(LONG_S if chance.random() < 0.2 else STOPPED_S)
                workstation.signal(signal.SIGCONT)
            case "cut link":
                workstation.cut(silently=chance.random() < 0.3)
                self.lasting.append((n_reports + fault.lasts, "workstation"))

    def heal(self, n_reports: int | None = None) -> None:
        """End the faults that last; with ``n_reports`` only those whose time has come."""
        later = []
        for until, cure in self.lasting:
            if n_reports is not None and until >= n_reports:
                later.append((until, cure))
                continue
            self._say(f"healed: {cure}")
            if cure == "workstation":
                self.mend_workstation()
            elif cure == "writer":
                self._writer = None
            else:
                getattr(self._world, cure)()
        self.lasting = later

    def heard(self, life: Life, silence_s: float) -> Report | None:
        """What a life says next, while somebody may go on writing; None after so long a silence."""
        until_s = time.monotonic() + silence_s
        while self._writer is not None and time.monotonic() < until_s:
            if (report := life.report(WRITE_EVERY_S)) is not None:
                return report
            self._world.source.append(self._writer)
        return life.report(max(0.0, until_s - time.monotonic()))

    def mend_workstation(self) -> None:
        """Have the agent and its cable there, where there is a workstation."""
        if self._workstation is not None:
            self._workstation.plug()
            self._workstation.up()

    def may_delete(self, allowed: bool) -> None:
        """Have an agent that deletes sources, or one that does not."""
        if self._workstation is not None:
            if self._workstation.may_delete and not allowed:
                self._workstation.down()
            self._workstation.may_delete = allowed
            self.mend_workstation()
