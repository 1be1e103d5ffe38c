"""The web application over a client that remembers: its addresses, its errors, its manners."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx

from hcs_mesh.config.errors import MeshError
from hcs_mesh.messages.compute import JobStatus, JobSummary, WellStatus
from hcs_mesh.messages.control import ActorRow, MeshStatus
from hcs_mesh.plates.model import Image, Plate, PlateSummary, build_plate
from hcs_mesh.plates.survey import PlateSurvey, UnlistedPlace
from hcs_mesh.transport import ActorUnknown, AskFailed, Failure
from hcs_mesh.web.app import create_app

STATUS = MeshStatus(
    version="0.1",
    pid=7,
    data="data",
    endpoints=(),
    started_at_unix_s=1.0,
    repository="local",
    n_actors=5,
    n_processes=2,
    n_restarts=1,
)
TREE = (
    ActorRow(name="hub", parent="", kind="supervisor", pid=7, state="running"),
    ActorRow(name="metadata", parent="hub", kind="actor", pid=7, state="running"),
)


class NoSuchPlate(MeshError, LookupError):
    """Not there."""


class Unreachable(MeshError, ConnectionError):
    """Down."""


class TooSlow(MeshError, TimeoutError):
    """Late."""


class Remembered:
    """A mesh with one plate and one job, or one that fails as told."""

    def __init__(self, failure: Exception | None = None, name: str = "Demo24") -> None:
        self.failure = failure
        self.name = name
        self.shut: AskFailed | None = None

    async def status(self) -> MeshStatus:
        """Up, or the failure."""
        if self.failure:
            raise self.failure
        return STATUS

    async def tree(self) -> tuple[ActorRow, ...]:
        """Two entries."""
        return TREE

    async def plates(self) -> tuple[PlateSummary, ...]:
        """One plate."""
        return (PlateSummary(id=3, name=self.name, n_wells=1, n_fields=1, n_images=2),)

    async def survey_plates(self) -> PlateSurvey:
        """The same, beside a place that is shut."""
        if self.shut:
            raise self.shut
        shut = UnlistedPlace(place="far", error="<b>nobody</b> logged in", hint="log in there")
        return PlateSurvey(plates=await self.plates(), unlisted=(shut,))

    async def plate(self, plate_id: int) -> Plate:
        """Plate 3 only."""
        if plate_id != 3:
            raise NoSuchPlate(f"there is no plate {plate_id}", hint="hcs-mesh plates lists them")
        image = Image("B03", 1, 0, 0, 0, "plane", "B03_s1_w1.TIF", 0, 8, 8, "uint16")
        images = [image, image._replace(c=1, kind="projection", file="B03_s1_w2.TIF")]
        return build_plate(images, id=3, name=self.name, channels=("DAPI", "GFP"))

    async def jobs(self) -> tuple[JobSummary, ...]:
        """One job."""
        return ((await self.job("j-1")).listed(),)

    async def job(self, job: str) -> JobStatus:
        """The same whatever is asked."""
        return JobStatus(job=job, plate_id=3, plate_name=self.name, state="done", wells=(WellStatus(well="B03"),))


@asynccontextmanager
async def browser(client: Remembered, host: str = "localhost") -> AsyncIterator[httpx.AsyncClient]:
    """A browser that talks to the application without a socket."""
    transport = httpx.ASGITransport(create_app(client), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http


def get(path: str, client: Remembered | None = None, host: str = "localhost") -> httpx.Response:
    """One answer."""

    async def ask() -> httpx.Response:
        async with browser(client or Remembered(), host) as http:
            return await http.get(path)

    return anyio.run(ask)


def test_every_address_answers_as_json() -> None:
    assert get("/api/status").json()["n_actors"] == 5
    assert [one["name"] for one in get("/api/ps").json()] == ["hub", "metadata"]
    plates = get("/api/plates").json()
    labels = plates[0].pop("labels")
    assert plates == [{"id": 3, "name": "Demo24", "n_wells": 1, "n_fields": 1, "n_images": 2, "kind": "plate"}]
    assert (labels["screen"], labels["tags"]) == ("", [])
    assert [(one["job"], one["state"]) for one in get("/api/jobs").json()] == [("j-1", "done")]
    assert get("/api/jobs/j-1").json()["wells"][0]["well"] == "B03"


def test_a_plate_is_nested_by_well_and_field() -> None:
    plate = get("/api/plates/3").json()
    (field,) = plate["wells"]["B03"]["fields"]
    assert (field["field"], field["channels"]) == (1, ["DAPI", "GFP"])
    assert field["images"][0] == {"c": 0, "z": 0, "t": 0, "kind": "plane", "path": "B03_s1_w1.TIF", "page": 0}
    assert field["images"][1]["kind"] == "projection"


def test_what_does_not_exist_is_404_with_error_and_hint() -> None:
    answer = get("/api/plates/9")
    assert answer.status_code == 404
    assert answer.json() == {"error": "there is no plate 9", "hint": "hcs-mesh plates lists them"}
    for path in ("/api/plates/x", "/api/plates/99999999999999999999", "/nowhere"):
        answer = get(path)
        assert answer.status_code == 404
        assert set(answer.json()) == {"error", "hint"}


def test_a_wrong_method_is_405_as_json() -> None:
    async def post() -> httpx.Response:
        async with browser(Remembered()) as http:
            return await http.post("/api/plates")

    answer = anyio.run(post)
    assert answer.status_code == 405
    assert set(answer.json()) == {"error", "hint"}


def test_a_mesh_that_is_down_slow_or_broken_has_its_own_status() -> None:
    for failure, status in (
        (Unreachable("no mesh answers", hint="hcs-mesh up"), 503),
        (TooSlow("no answer within 5 s"), 504),
        (MeshError("something else"), 500),
        (ActorUnknown("no actor 'metadata'"), 503),
        (AskFailed(Failure(kind="PlateNotFound", message="no plate 9", hint="hcs-mesh plates")), 404),
        (AskFailed(Failure(kind="BadName", message="no name", blame="caller")), 400),
        (AskFailed(Failure(kind="RepositoryFailed", message="the disk", blame="environment")), 500),
        (AskFailed(Failure(kind="Busy", message="starting", retry=True)), 503),
    ):
        answer = get("/api/status", Remembered(failure))
        assert answer.status_code == status
        assert answer.json() == {"error": str(failure), "hint": failure.hint}


def test_an_unforeseen_failure_tells_a_stranger_nothing_of_the_inside() -> None:
    answer = get("/api/status", Remembered(RuntimeError("secret in the inside")))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert set(answer.json()) == {"error", "hint"}


def test_the_page_lists_plates_and_jobs_and_names_stay_text() -> None:
    answer = get("/", Remembered(name="<script>alert(1)</script>"))
    assert answer.headers["content-type"].startswith("text/html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "<script" not in answer.text
    assert "Not all plates: &lt;b&gt;nobody&lt;/b&gt; logged in<br>log in there" in answer.text
    assert 'href="/api/jobs/j-1"' in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_shows_the_jobs_where_no_plate_can_be_listed() -> None:
    mesh = Remembered()
    mesh.shut = AskFailed(Failure(kind="OmeroAwaitsLogin", message="nobody may act", hint="hcs-mesh omero login"))
    answer = get("/", mesh)
    assert answer.status_code == 200
    assert "Not all plates: nobody may act<br>hcs-mesh omero login" in answer.text
    assert 'href="/api/jobs/j-1"' in answer.text


def test_a_request_that_names_another_host_is_refused() -> None:
    assert get("/api/plates", host="evil.example").status_code == 400


def test_without_starlette_the_error_names_the_command_that_installs_it() -> None:
    script = (
        "import sys; sys.modules['starlette'] = None\n"
        "from hcs_mesh.web.app import create_app\n"
        "try: create_app(None)\n"
        "except ImportError as e: print(type(e).__name__, e.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "WebMissing Install the extra: pip install 'hcs-mesh[web]'"
