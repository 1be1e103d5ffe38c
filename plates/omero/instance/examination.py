"""What there is to say of an OMERO.server without logging in as anybody: each thing, and what to do about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from ....config.omero_settings import OmeroSettings
from ..address import OmeroAddress, address_of
from ..errors import OmeroError, OmeroMissing
from .compose import NEEDED, Compose
from .instance import Parts
from .life import CERTIFICATE_HINT, Sight
from .looking import at_the_door, look_at_files
from .started_here import StartedHere
from .unhurried import in_thread

_FILES_S = 10.0
_REACHED = ("nothing", "something", "untrusted", "server", "login")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; ``hint`` says what to do where it is not well."""

    name: str
    state: Literal["ok", "failed", "unknown", "absent"]
    detail: str = ""
    hint: str = ""
    required: bool = True


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """A server, as it is now."""

    address: str
    version: str
    started_here: bool
    checks: tuple[Check, ...]

    @property
    def lacking(self) -> tuple[Check, ...]:
        """What is required and is not well."""
        return tuple(one for one in self.checks if one.required and one.state != "ok")


async def examine(settings: OmeroSettings, data: Path, *, parts: Parts = Parts()) -> Examination:  # noqa: B008 - functions
    """Look at the server of the settings, and at what was started from a data folder; nothing is changed."""
    address, here = address_of(settings), StartedHere(data)
    (sight, missing), files = await asyncio.gather(_sight(address, parts), _files(settings.managed_repository))
    record = here.record()
    ours = record is not None and record.runs and record.port == settings.port
    checks = [*_of_server(sight, settings, here if ours else None, missing)]
    checks.append(files)
    if record is not None and record.runs:
        checks.append(await _of_containers(Compose(here, record, parts.run)))
    return Examination(address=str(address), version=sight.version, started_here=ours, checks=tuple(checks))


async def _sight(address: OmeroAddress, parts: Parts) -> tuple[Sight, OmeroMissing | None]:
    try:
        return await in_thread(lambda: parts.look(address), name="omero-look"), None
    except OmeroMissing as error:
        stopped = await in_thread(lambda: at_the_door(address), name="omero-door")
        return stopped or Sight(reach="server", why=str(error)), error


def _of_server(
    sight: Sight, settings: OmeroSettings, started: StartedHere | None, missing: OmeroMissing | None
) -> Iterator[Check]:
    """From the network to the version, each a step further than the one before."""
    far = _REACHED.index(sight.reach)
    unknown = "unknown: it is not reached"
    if far == 0:
        hint = "Start the server, or check omero.host, omero.port and the firewall."
        if settings.host == "localhost":
            hint += " hcs-mesh omero up starts one here."
        yield Check(name="address", state="failed", detail=f"nothing answers: {sight.why}", hint=hint)
    else:
        yield Check(name="address", state="ok", detail=f"{settings.host}:{settings.port} answers")
    if far == 1:
        hint = "Check omero.port: the server's secure port is 4064 as shipped; or look at the server."
        yield Check(name="server", state="failed", detail=f"no OMERO.server that works: {sight.why}", hint=hint)
    else:
        yield Check(name="server", state="ok" if far else "unknown", detail="speaks Ice over TLS" if far else unknown)
    yield _of_certificate(sight, settings, started, known=far > 1 and missing is None)
    if missing is not None:
        yield Check(name="login", state="failed", detail=str(missing), hint=missing.hint)
    elif sight.reach == "login":
        yield Check(name="login", state="ok", detail=sight.why or "people can log in")
    elif sight.reach == "server":
        hint = "It may be starting: look again in a minute. Else its log Blitz-0.log says more."
        yield Check(name="login", state="failed", detail=f"it lets nobody in: {sight.why}", hint=hint)
    else:
        yield Check(name="login", state="unknown", detail=unknown)
    yield _of_version(sight.version)


def _of_certificate(sight: Sight, settings: OmeroSettings, started: StartedHere | None, *, known: bool) -> Check:
    if sight.reach == "untrusted":
        hint = CERTIFICATE_HINT
        if started is not None and started.certificate.is_file():
            hint = f'Set omero.ca_file = "{started.certificate}": the certificate of the server that was started here.'
        return Check(name="certificate", state="failed", detail=sight.why, hint=hint)
    if not known:
        return Check(name="certificate", state="unknown", detail="unknown: it is not reached")
    if not settings.verify_certificate:
        hint = "Set omero.verify_certificate = true, and omero.ca_file where the certificate is the server's own."
        return Check(name="certificate", state="absent", detail="not checked", hint=hint, required=False)
    by = settings.ca_file or "the system's authorities"
    return Check(name="certificate", state="ok", detail=f"made out to {settings.host}, known by {by}")


def _of_version(version: str) -> Check:
    try:
        ours = importlib.metadata.version("omero-py")
    except importlib.metadata.PackageNotFoundError:
        ours = ""
    if not version:
        return Check(name="version", state="unknown", detail="not known", required=False)
    detail = f"{version}, omero-py here is {ours or 'not installed'}"
    # omero-py numbers itself apart from the server; 5 is what both have in common.
    if version.partition(".")[0] == ours.partition(".")[0]:
        return Check(name="version", state="ok", detail=detail, required=False)
    return Check(
        name="version", state="failed", detail=detail, hint="Install the omero-py that fits the server.", required=False
    )


async def _files(managed: str) -> Check:
    name = "managed repository"
    if not managed:
        hint = "Mount it and set omero.managed_repository where planes are to be read from the files."
        return Check(
            name=name, state="absent", detail="not mounted: planes come through the API", hint=hint, required=False
        )
    try:
        async with asyncio.timeout(_FILES_S):
            return Check(
                name=name, state="ok", detail=await in_thread(lambda: look_at_files(Path(managed)), name="files")
            )
    except TimeoutError:
        detail, hint = f"{managed} does not answer in {_FILES_S:g} s", "Look at the mount and the server it comes from."
    except OSError as error:
        detail = f"{managed} cannot be read: {error.strerror}"
        hint = "Mount it there, and let this account read it; else empty omero.managed_repository."
    return Check(name=name, state="failed", detail=detail, hint=hint)


async def _of_containers(compose: Compose) -> Check:
    try:
        found = await compose.containers()
    except OmeroError as error:
        return Check(name="containers", state="failed", detail=str(error), hint=error.hint, required=False)
    told = ", ".join(f"{one.service} {one.state}" for one in found) or "none is left"
    well = {one.service for one in found if one.state == "running"} >= set(NEEDED)
    return Check(
        name="containers",
        state="ok" if well else "failed",
        detail=f"started here: {told}",
        hint="" if well else "hcs-mesh omero up starts them again, hcs-mesh omero down stops what is left.",
        required=False,
    )
