"""Results of wells in OMERO, those of each person written and read in that person's session."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from ..numbers import HOME, span_of
from ..repository import JobOrigin, StoredResult
from .address import Person
from .away import why_away
from .errors import OmeroSessionEnded, OmeroUnreachable
from .identities import Identities
from .person import await_login
from .pool import ConnectionPool
from .result_cache import USUAL_BYTES, ResultCache
from .result_keys import Pairs, Provenance
from .results import OmeroResults
from .turns import Turns
from .whose_session import AwaitLogin

T = TypeVar("T")
MOST_JOBS = 10_000
"""Jobs of which it is remembered where they come from."""
MOST_SESSIONS = 3
"""The person's own, a minted one, and one more: either may turn out to be over."""


class OmeroResultStore:
    """Acts as the owner of the job, in the session that may be used now; without one it says who is to log in."""

    kind = "omero"

    def __init__(
        self,
        identities: Identities,
        spool: Path,
        *,
        origin: str,
        versions: Pairs = (),
        cache_bytes: int = USUAL_BYTES,
    ) -> None:
        """Write what gathers below ``spool``, a folder on a disk of this host.

        ``origin`` tells this mesh's jobs from those of every other; ``versions`` are told of everything written.
        """
        self._identities = identities
        self._spool = spool
        self._origin = origin
        self._versions = versions
        self._cache = ResultCache(spool / "finished", n_bytes=cache_bytes)
        self._turns = Turns()
        self._jobs: dict[str, JobOrigin] = {}

    def job_taken(self, origin: JobOrigin) -> None:
        """Hear of a job before its first well is begun: it is told with everything that the job writes."""
        self._jobs[origin.job] = origin
        while len(self._jobs) > MOST_JOBS:
            # Those that were taken first have ended, or nobody counts as far.
            del self._jobs[next(iter(self._jobs))]

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        """Make and return the empty folder into which this attempt writes its files, then seals them.

        Raises:
            OmeroAwaitsLogin: nobody may act for the person before the next login.
            MeshError: as ``OmeroResults`` says.
        """
        return self._as(requester, lambda results: results.results_folder(plate_id, job, well, attempt))

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        """Write a sealed attempt to OMERO, once for each job and well: a later attempt gets the first one's result.

        Raises:
            OmeroAwaitsLogin: nobody may act for the person before the next login.
            MeshError: as ``OmeroResults`` says.
        """
        return self._as(requester, lambda results: results.commit_well(plate_id, job, well, attempt))

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        """List the finished wells of a job that this person may see.

        Raises:
            OmeroAwaitsLogin: nobody may act for the person before the next login.
            MeshError: as ``OmeroResults`` says.
        """
        if self._is_elsewhere(job):
            return ()
        return self._as(requester, lambda results: results.results(job))

    def well_result(self, job: str, well: str, *, requester: str = "") -> StoredResult:
        """Return one finished well, its files fetched in this person's name where they are not here any more.

        Raises:
            ResultNotFound: it is not finished, or not to be seen by this person.
            OmeroAwaitsLogin: nobody may act for the person before the next login.
            MeshError: as ``OmeroResults`` says.
        """
        return self._as(requester, lambda results: results.well_result(job, well))

    def sweep(
        self, job: str, *, alive: Collection[tuple[str, int]] = (), requester: str = ""
    ) -> tuple[StoredResult, ...]:
        """Write what a crash kept from being written and remove attempts that are not ``alive`` (well, attempt).

        Raises:
            OmeroAwaitsLogin: nobody may act for the person before the next login.
            MeshError: as ``OmeroResults`` says.
        """
        if self._is_elsewhere(job):
            return ()
        return self._as(requester, lambda results: results.sweep(job, alive=alive))

    def away(self, person: str = "") -> str:
        """Why nothing can be written in a person's name now; empty where it can."""
        return why_away(self._identities, person)

    def _is_elsewhere(self, job: str) -> bool:
        """Whether it is known that a job's plate lies in another place, whose server is none to ask."""
        known = self._jobs.get(job)
        return known is not None and span_of(known.plate_id) != HOME

    def _as(self, requester: str, work: Callable[[OmeroResults], T]) -> T:
        person, lives = Person(user=requester), False
        for _ in range(MOST_SESSIONS):
            pool = self._identities.pool(person)
            if isinstance(pool, AwaitLogin):
                raise await_login(person, pool)
            try:
                return work(self._through(pool))
            except OmeroSessionEnded:
                # What a call had begun in it, the next one finishes: in the same session, where that lives.
                lives = self._identities.found_ended(person, pool)
        if lives:
            raise OmeroUnreachable(
                f"The connection of {requester} to OMERO was lost {MOST_SESSIONS} times on the way.",
                hint="Look at what lies between: a router, or a firewall that forgets connections.",
            )
        raise OmeroSessionEnded(
            f"Each session of {requester} at OMERO is over as soon as it is used.",
            hint="Look at the server's settings of session time-outs.",
        )

    def _through(self, pool: ConnectionPool) -> OmeroResults:
        return OmeroResults(
            pool,
            self._spool,
            origin=self._origin,
            provenance=self._provenance,
            owner_of=self._owner_of,
            cache=self._cache,
            turns=self._turns,
        )

    def _owner_of(self, job: str) -> str:
        known = self._jobs.get(job)
        return known.owner if known is not None else ""

    def _provenance(self, job: str) -> Provenance:
        known = self._jobs.get(job)
        if known is None:
            return Provenance(versions=self._versions)
        return Provenance(pipeline=known.pipeline, source=known.source, owner=known.owner, versions=self._versions)
