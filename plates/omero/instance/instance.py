"""An OMERO.server to work with: found where it runs, started where it was asked for, and stopped if it was started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import msgspec

from ....config.omero_settings import OmeroSettings
from ..address import OmeroAddress, address_of
from ..errors import OmeroError
from ..secret import Secret
from .compose import Compose
from .errors import DockerDenied, DockerDown, DockerMissing, OmeroElsewhere, error_of, problem_from
from .life import (
    CertificateSought,
    ContainersSeen,
    ContainersUp,
    Do,
    Event,
    OutOfTime,
    Plan,
    Refused,
    Sight,
    Standing,
    StartedMeanwhile,
    after,
    begin,
    starting,
)
from .looking import look
from .program import Runs, ignore, run_program
from .started_here import Record, StartedHere
from .unhurried import in_thread, to_the_end

START_S = 900.0
"""How long a start may take in all: the first one fetches images and makes a database."""
WEB_PORT = 4080
LOOK_EVERY_S = 1.0
NO_HOST = 'Name one in the settings: [omero] host; with host = "localhost" hcs-mesh omero up starts one here.'


class Parts(NamedTuple):
    """What an instance needs of the world around it."""

    look: Callable[[OmeroAddress], Sight] = look
    run: Runs = run_program
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class OmeroInstance:
    """The server of the settings, for as long as the block lasts; what was started for it is stopped at its end."""

    def __init__(
        self,
        settings: OmeroSettings,
        *,
        start_in: Path | None = None,
        volumes: Literal["keep", "remove"] = "keep",
        timeout_s: float = START_S,
        web_port: int = WEB_PORT,
        on_change: Callable[[Standing], None] = ignore,
        parts: Parts = Parts(),  # noqa: B008 - it holds functions
    ) -> None:
        """Look for the server; where none answers, start one if ``start_in`` names a data folder to remember it in.

        ``on_change`` is called with each state as it is reached.
        """
        self.standing = Standing()
        self._settings = settings
        self._address = address_of(settings)
        self._here = StartedHere(start_in) if start_in is not None else None
        self._volumes = volumes
        self._timeout_s = timeout_s
        self._web_port = web_port
        self._on_change = on_change
        self._parts = parts
        self._compose: Compose | None = None
        self._planned: Record | None = None
        self._start_of_ours = ""
        self._until_s = 0.0

    @property
    def address(self) -> OmeroAddress:
        """Where the server is, and which certificate it is checked by."""
        return self._address

    @property
    def settings(self) -> OmeroSettings:
        """The settings to work with it: those that were given, with the certificate of a server started here."""
        return msgspec.structs.replace(self._settings, ca_file=self._address.ca_file)

    @property
    def root_password(self) -> Secret | None:
        """The password of root, where the server was started from this data folder."""
        return self._here.root_password() if self._here is not None else None

    async def connect(self) -> Standing:
        """Come to a server that lets people in; what was started for it stays.

        Raises:
            OmeroUnreachable, OmeroPortTaken, OmeroNotTrusted: there is none that works, and none was to be started.
            OmeroNotReady: it did not get as far as a login in time.
            OmeroElsewhere, DockerMissing, DockerDown, DockerDenied, DockerFailed: it could not be started.
            ContainerEnded: it was started, and has ended.
            OmeroMissing: omero-py is not installed.
            InstanceUnusable, InstanceInUse: what is started cannot be written down, or somebody else is starting it.
        """
        if not self._settings.host:
            raise OmeroElsewhere("No OMERO.server is set: omero.host is empty.", hint=NO_HOST)
        self._until_s = self._parts.clock() + self._timeout_s
        plan = self._plan()
        standing, do = begin(self._parts.clock())
        with ExitStack() as held:
            self._tell(standing)
            while do is not Do.NOTHING:
                event = await self._event(do, held)
                if isinstance(event, StartedMeanwhile):
                    plan = self._plan()
                standing, do = after(self.standing, event, plan, now_s=self._parts.clock())
                self._tell(standing)
        if standing.problem is not None:
            raise error_of(standing.problem)
        return standing

    async def __aenter__(self) -> OmeroInstance:
        try:
            await self.connect()
        except BaseException as error:
            await self._clean_up(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._clean_up(error)

    def _plan(self) -> Plan:
        self._planned = record = self._here.record() if self._here is not None else None
        ours = record is not None and record.runs and record.port == self._settings.port
        if self._here is not None and ours and self._fetches_certificate and self._here.certificate.is_file():
            self._trust_started()
        return Plan(
            address=str(self._address),
            may_start=self._here is not None,
            ours=ours,
            fetches_certificate=self._fetches_certificate,
            until_s=self._until_s,
        )

    @property
    def _fetches_certificate(self) -> bool:
        """Whether the certificate is to be had from the container: it makes a new one at each of its starts."""
        own = str(self._here.certificate) if self._here is not None else ""
        return self._settings.verify_certificate and self._settings.ca_file in ("", own)

    async def _event(self, do: Do, held: ExitStack) -> Event:
        left_s = max(0.0, self._until_s - self._parts.clock())
        try:
            match do:
                case Do.LOOK | Do.LOOK_LATER:
                    if do is Do.LOOK_LATER:
                        await self._parts.pause(min(LOOK_EVERY_S, left_s))
                    async with asyncio.timeout(max(left_s, LOOK_EVERY_S)):
                        return await in_thread(lambda: self._parts.look(self._address), name="omero-look")
                case Do.START:
                    return await self._start(left_s, held)
                case Do.SEE_CONTAINERS:
                    return ContainersSeen(await self._started().what_ended())
                case Do.FETCH_CERTIFICATE:
                    return await self._fetch_certificate()
                case Do.NOTHING:
                    raise AssertionError(do)
        except OmeroError as error:
            if (problem := problem_from(error)) is None:
                raise
            return Refused(problem)
        except TimeoutError:
            return OutOfTime()

    async def _start(self, left_s: float, held: ExitStack) -> Event:
        assert self._here is not None, "nothing is started without a place to remember it in"
        _refuse_elsewhere(self._settings, self.standing.detail, own_certificate=self._fetches_certificate)
        held.enter_context(self._here.alone())
        before = self._here.record()
        if before != self._planned:
            held.close()
            return StartedMeanwhile()
        # A few small files: done before anything else can come in between.
        record = self._here.begin(port=self._settings.port, web_port=self._web_port)
        self._compose, self._start_of_ours = Compose(self._here, record, self._parts.run), record.start
        self._tell(starting(self.standing, self._parts.clock()))
        try:
            await self._compose.up(timeout_s=left_s, on_line=self._tell_detail)
        except (DockerMissing, DockerDown, DockerDenied):
            # No daemon has heard of it: there is nothing to stop, and perhaps never anybody to ask for it.
            self._compose = None
            self._here.take_back(before)
            raise
        return ContainersUp()

    async def _fetch_certificate(self) -> Event:
        assert self._here is not None
        found = self._here.keep_certificate(await self._started().certificate())
        if found:
            self._trust_started()
        return CertificateSought(found)

    def _trust_started(self) -> None:
        assert self._here is not None
        self._address = msgspec.structs.replace(self._address, ca_file=str(self._here.certificate))

    def _started(self) -> Compose:
        """What was started: in this life, or in an earlier one that is on record."""
        if self._compose is not None:
            return self._compose
        record = self._here.record() if self._here is not None else None
        assert self._here is not None
        assert record is not None, "containers are seen once they were started"
        return Compose(self._here, record, self._parts.run)

    def _tell_detail(self, line: str) -> None:
        if line:
            self._tell(msgspec.structs.replace(self.standing, detail=line))

    def _tell(self, standing: Standing) -> None:
        if standing != self.standing:
            self.standing = standing
            self._on_change(standing)

    async def _clean_up(self, error: BaseException | None) -> None:
        """Stop what was started in this life, whole, though whoever waits is cancelled."""
        if self._here is None or self._compose is None:
            return
        self._compose = None
        try:
            volumes = self._volumes == "remove"
            await to_the_end(stop_started(self._here, volumes=volumes, only=self._start_of_ours, run=self._parts.run))
        except OmeroError as failure:
            if error is None:
                raise
            error.add_note(f"What was started could not be stopped: {failure}")


async def stop_started(here: StartedHere, *, volumes: bool = False, only: str = "", run: Runs = run_program) -> bool:
    """Stop what was started from a data folder, and nothing else; False where there is nothing to stop.

    What the containers keep stays, unless ``volumes`` says that it goes as well; ``only`` names the one start that is
    meant.

    Raises:
        OmeroError: docker could not do it, or somebody is starting it.
    """
    if here.record() is None:
        return False
    with here.alone():
        record = here.record()
        if record is None or not (record.runs or volumes) or (only and record.start != only):
            return False
        await Compose(here, record, run).down(volumes=volumes)
        if volumes:
            here.forget()
        else:
            here.stopped()
    return True


def _refuse_elsewhere(settings: OmeroSettings, why: str, *, own_certificate: bool) -> None:
    """See to it that what is started is what the settings name.

    Raises:
        OmeroElsewhere: they name another computer, or a name that the certificate will not hold.
    """
    if settings.host not in ("localhost", "127.0.0.1"):
        raise OmeroElsewhere(
            f"OMERO at {settings.host}:{settings.port} does not answer ({why}), and only its computer can start it.",
            hint='Ask its administrator; or set omero.host = "localhost" to have one here.',
        )
    if settings.host != "localhost" and own_certificate:
        raise OmeroElsewhere(
            f"The certificate of a server that is started here is made out to localhost, not to {settings.host}.",
            hint='Set omero.host = "localhost".',
        )
