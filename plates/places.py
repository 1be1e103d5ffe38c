"""The places that one mesh sees plates in: a plate's number says where it lies, and so where its results go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..config.errors import MeshError
from .errors import ResultsGoElsewhere
from .labels import Labels
from .local.errors import PlateNotFound, check_plate_id
from .model import Plate, PlateSummary
from .numbers import HOME, span_of
from .plate_source import Freshness, PlateSource, Stamped
from .repository import JobOrigin, ResultStore, StoredResult
from .survey import PlatesIncomplete, PlateSurvey, UnlistedPlace


class Places:
    """Answers for the plates of every place, and keeps each plate's results where its place says."""

    def __init__(
        self, home: PlateSource, others: Mapping[int, PlateSource] | None = None, *, stores: Sequence[ResultStore]
    ) -> None:
        """Number ``home``'s plates from 1, and those of ``others`` in the span of numbers that each is given by.

        Results go to one of ``stores``, those first that answer quickest.
        """
        # Others first: what was imported last is the last of the list, and is what a viewer shows.
        self._sources: dict[int, PlateSource] = {**(others or {}), HOME: home}
        self._stores = tuple(stores)

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate, those that were imported last.

        Raises:
            PlatesIncomplete: some places cannot, others can.
            MeshError: the only place cannot.
        """
        plates: list[PlateSummary] = []
        unlisted: list[UnlistedPlace] = []
        for source in self._sources.values():
            try:
                plates += source.plates(requester)
            except MeshError as error:
                if len(self._sources) == 1:
                    raise
                unlisted.append(UnlistedPlace(place=source.kind, error=str(error), hint=error.hint))
        if unlisted:
            raise PlatesIncomplete(PlateSurvey(plates=tuple(plates), unlisted=tuple(unlisted)))
        return tuple(plates)

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        """Return what one plate holds.

        Raises:
            PlateNotFound: there is none, or none that this person may see.
        """
        return self._source(plate_id).plate(plate_id, requester)

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        """Return a plate with its stamp.

        Raises:
            PlateNotFound: there is none, or none that this person may see.
        """
        return self._source(plate_id).stamped(plate_id, requester)

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        """Say where a plate belongs and what people said of it.

        Raises:
            PlateNotFound: there is none, or none that this person may see.
        """
        return self._source(plate_id).labels(plate_id, requester)

    def freshness(self, plate_id: int = 0) -> Freshness:
        """Say how long what ``plate`` answered may be told from memory; of 0, what ``plates`` did.

        Raises:
            PlateNotFound: no place has plates of such a number.
        """
        if not plate_id:
            each = [source.freshness() for source in self._sources.values()]
            limits = [one.fresh_s for one in each if one.fresh_s is not None]
            return Freshness(min(limits, default=None), any(one.is_private for one in each))
        return self._source(plate_id).freshness(plate_id)

    def is_private(self, plate_id: int) -> bool:
        """Whether it is decided for each person who sees a plate; where no place has such a number, nobody can say."""
        try:
            return self.freshness(plate_id).is_private
        except PlateNotFound:
            return True

    def stamp(self, plate_id: int, requester: str = "") -> str:
        """Answer with something that is another once the plate is.

        Raises:
            PlateNotFound: there is none, or none that this person may see any more.
        """
        return self._source(plate_id).stamp(plate_id, requester)

    def check_results(self, plate_id: int, wanted: str) -> None:
        """Promise that a plate's results go to ``wanted``, the name of a backend; any will do where it is empty.

        Raises:
            ResultsGoElsewhere: they go to another, or nothing here can hold them.
            PlateNotFound: no place has plates of such a number.
        """
        store = self._store(plate_id)
        if wanted not in ("", store.kind):
            source = self._source(plate_id)
            raise ResultsGoElsewhere(
                f"plate {plate_id} lies in '{source.kind}', whose results go to '{store.kind}', and not to {wanted!r}",
                hint="Leave the choice out: where results go follows from where the plate lies.",
            )

    def away(self, plate_id: int, person: str = "") -> str:
        """Why a person's results of a plate cannot be kept now, although later they may be; empty where they can.

        Raises:
            ResultsGoElsewhere, PlateNotFound: as for ``check_results``.
        """
        return self._store(plate_id).away(person)

    def job_taken(self, origin: JobOrigin) -> None:
        """Tell where a job comes from before its first well is begun."""
        for store in self._stores:
            store.job_taken(origin)

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        """Make and return the empty folder into which this attempt writes its files, then seals them."""
        return self._store(plate_id).results_folder(plate_id, job, well, attempt, requester=requester)

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        """Publish a sealed attempt, once for each job and well: a later attempt gets the first one's result."""
        return self._store(plate_id).commit_well(plate_id, job, well, attempt, requester=requester)

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        """List the finished wells of a job, which is on one plate, and so in one store."""
        # One after the other: where the first has some, no server is asked for more.
        return next((found for store in self._stores if (found := store.results(job, requester=requester))), ())

    def fetch_well(self, plate_id: int, job: str, well: str, person: str) -> StoredResult:
        """Return a finished well of a job on this plate with its files in a folder of this host, as a person sees it.

        Raises:
            ResultsGoElsewhere, PlateNotFound: as for ``check_results``.
            ResultNotFound: the well is not finished, or not for this person.
            MeshError: what its store raises.
        """
        return self._store(plate_id).well_result(job, well, requester=person)

    def sweep(
        self, job: str, *, alive: Collection[tuple[str, int]] = (), requester: str = ""
    ) -> tuple[StoredResult, ...]:
        """Finish the commits that a crash cut short and remove attempts that are not ``alive`` (well, attempt)."""
        return tuple(result for store in self._stores for result in store.sweep(job, alive=alive, requester=requester))

    def _source(self, plate_id: int) -> PlateSource:
        check_plate_id(plate_id)
        source = self._sources.get(span_of(plate_id))
        if source is None:
            raise PlateNotFound(
                f"Plate {plate_id} lies in a place that the settings do not name (any more).",
                hint="Name it again; 'hcs-mesh plates' lists what there is.",
            )
        return source

    def _store(self, plate_id: int) -> ResultStore:
        source = self._source(plate_id)
        for kind in source.compatible_results:
            for store in self._stores:
                if store.kind == kind:
                    return store
        raise ResultsGoElsewhere(
            f"results of plate {plate_id} would go to {' or '.join(source.compatible_results) or 'nowhere'}, "
            f"and this mesh has {', '.join(store.kind for store in self._stores)}",
            hint="Name that place in the settings.",
        )
