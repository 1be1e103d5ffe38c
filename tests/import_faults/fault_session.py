"""Plays many schedules in a few processes, and holds the mails that came against those that had to."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from email import message_from_bytes
from pathlib import Path
from typing import Self

import msgspec
from fault_schedules import Outcome
from fault_ways import COMBINATIONS
from mail_server import MailServer, mail_server

HERE = Path(__file__).parent
N_PROCESSES = 2
ANSWER_S = 300.0


def ignore(outcome: Outcome) -> None:
    """Look at no outcome."""


class Players:
    """Processes that play schedules, and the mail server that all of them use."""

    def __init__(self, n_processes: int = N_PROCESSES) -> None:
        self._n_processes = n_processes
        self._free: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="import-faults-"))
        self._stack.callback(shutil.rmtree, self._folder)
        self._server = await self._stack.enter_async_context(mail_server())
        for n in range(self._n_processes):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(str(HERE / "fault_director.py"), str(self._folder / f"{n}"), str(self._server.port)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # A library's own threads would not be there in a life that is forked off.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                limit=1 << 24,
                start_new_session=True,
            )
            self._stack.push_async_callback(_ended, process)
            self._free.put_nowait(process)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def play(self, seed: int, bug: str = "") -> Outcome:
        """Play one schedule; ``bug`` is planted for it alone."""
        process = await self._free.get()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{seed} {bug}\n".encode())
        line = await asyncio.wait_for(process.stdout.readline(), ANSWER_S)
        assert line, f"the process that played seed {seed} ended"
        outcome = msgspec.json.decode(line, type=Outcome)
        outcome.violations += _mails(outcome, self._server)
        self._free.put_nowait(process)
        return outcome

    async def play_all(self, seeds: Iterable[int], seen: Callable[[Outcome], None] = ignore) -> list[Outcome]:
        """Play many."""
        waiting = iter(seeds)
        outcomes: list[Outcome] = []

        async def play_on() -> None:
            for seed in waiting:
                outcomes.append(outcome := await self.play(seed))
                seen(outcome)

        await asyncio.gather(*(play_on() for _ in range(self._n_processes)))
        return outcomes

    async def find(self, bug: str, seeds: Iterable[int]) -> tuple[int, Outcome | None]:
        """Play with a bug until it is found; by which schedule of these that was, and what became of it."""
        n = 0
        for n, seed in enumerate(seeds, 1):
            outcome = await self.play(seed, bug)
            if outcome.violations:
                return n, outcome
        return n, None


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            # Its lives are of its group.
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _mails(outcome: Outcome, server: MailServer) -> list[str]:
    """What is wrong with the mails of one schedule, which are taken out of the server."""
    mine = {address.partition(".")[2] for _, address in outcome.mails}
    came = [one for one in server.mails if one.to[0].partition(".")[2] in mine]
    server.mails[:] = [one for one in server.mails if one not in came]
    copies = Counter((str(message_from_bytes(one.raw)["Message-ID"]), one.to[0]) for one in came)
    told = [f"{address} never had {known_by}" for known_by, address in outcome.mails if not copies[known_by, address]]
    told += [f"{copies[one]} copies of {one[0]} for {one[1]}" for one in copies.keys() - set(outcome.mails)]
    n_again = sum(n - 1 for n in copies.values())
    if n_again > outcome.n_open_kills:
        told.append(f"{n_again} mails came again, and {outcome.n_open_kills} deaths were in the middle of a delivery")
    if len({one.raw for one in came}) > len({one for one, _ in copies}):
        told.append("two copies of one mail differ")
    return told


def as_lines(outcomes: list[Outcome]) -> list[str]:
    """The distribution: how often which kind of fault hit at which place."""
    hits = Counter((kind, point, side) for one in outcomes for kind, point, side in one.hit)
    kinds = sorted({kind for kind, _, _ in hits})
    places = sorted({(point, side) for _, point, side in hits})
    ends = Counter(end.partition(":")[0] for one in outcomes for end in one.ends.values())
    width = max((len(f"{side} {point}") for point, side in places), default=0)
    n_lives, n_mails = sum(one.n_lives for one in outcomes), sum(len(one.mails) for one in outcomes)
    told = ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))
    n_certified = sum(one.n_certified for one in outcomes)
    ways = ", ".join(f"{n} {way}" for way, n in Counter(one.way for one in outcomes).most_common())
    return [
        f"import faults: {len(outcomes)} schedules, {hits.total()} faults, {n_lives} lives",
        f"import faults: imports {told}; {n_certified} certificates, {n_mails} mails",
        f"import faults: ways of the imports: {ways}",
        f"import faults: {'':{width}} " + " ".join(f"{kind:>11}" for kind in kinds),
        *(
            f"import faults: {f'{side} {point}':{width}} "
            + " ".join(f"{hits[kind, point, side] or '-':>11}" for kind in kinds)
            for point, side in places
        ),
    ]


def unhit(outcomes: list[Outcome]) -> list[int]:
    """Further seeds for the combinations that nothing has hit, since an earlier fault had ended the import."""
    n_rounds = 1 + max((one.seed for one in outcomes), default=-1) // len(COMBINATIONS)
    hits = {hit for one in outcomes for hit in one.hit}
    return [n_rounds * len(COMBINATIONS) + n for n, one in enumerate(COMBINATIONS) if one[:3] not in hits]


def again(outcome: Outcome, bug: str = "") -> str:
    """How to see a schedule again."""
    planted = f" ARGS='--planted \"{bug}\"'" if bug else ""
    return f"make import-faults SEED={outcome.seed}{planted}"
