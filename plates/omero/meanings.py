"""What the exceptions of OMERO's client mean: told in this one place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from .address import Credential, OmeroAddress, SessionKey
from .errors import (
    OmeroBusy,
    OmeroCallRefused,
    OmeroError,
    OmeroFailed,
    OmeroLoginRefused,
    OmeroNotAnswering,
    OmeroNotPermitted,
    OmeroNotTrusted,
    OmeroSessionEnded,
    OmeroTooLarge,
    OmeroUnreachable,
)

NOT_ASKED = "internal server error"
"""What Glacier2 says of every login while it cannot ask the server, as when that is coming up (SessionRouterI.cpp)."""
UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")

_Told = Callable[[str, OmeroAddress, Credential | None], OmeroError]


def _unreachable(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroUnreachable(
        f"OMERO at {address} cannot be reached{_because(said)}.",
        hint="Check that the server runs and that omero.host and omero.port name it; what was accepted goes on.",
    )


def _not_answering(_: str, address: OmeroAddress, __: Credential | None) -> OmeroError:
    return OmeroNotAnswering(
        f"OMERO at {address} did not answer in time ({address.connect_s:g} s to connect, {address.call_s:g} s a call).",
        hint="It is tried again; else look at the server, or raise omero.connect_timeout_s or omero.call_timeout_s.",
    )


def _no_session(said: str, address: OmeroAddress, credential: Credential | None) -> OmeroError:
    # omero.client tells of three time-outs in a row by a session that is none.
    if "null object" in said:
        return _not_answering(said, address, credential)
    if "No password" in said or "No username" in said:
        return _login_refused(said, address, credential)
    return _unreachable(said, address, credential)


def _not_trusted(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroNotTrusted(
        f"OMERO at {address} is not trusted{_because(said)}.",
        hint="Name the certificate it is signed with in omero.ca_file; verify_certificate = false trusts anybody.",
    )


def _login_refused(said: str, address: OmeroAddress, credential: Credential | None) -> OmeroError:
    if NOT_ASKED in said:
        # Nobody has looked at the password or the session.
        return _unreachable(said, address, credential)
    if isinstance(credential, SessionKey):
        return _session_ended(said, address, credential)
    who = f" of {credential.user}" if credential is not None else ""
    return OmeroLoginRefused(
        f"OMERO at {address} refuses the login{who}{_because(said)}.", hint="Check the name and the password."
    )


def _no_session_made(said: str, address: OmeroAddress, credential: Credential | None) -> OmeroError:
    return (_unreachable if NOT_ASKED in said else _failed)(said, address, credential)


def _session_ended(_: str, address: OmeroAddress, __: Credential | None) -> OmeroError:
    return OmeroSessionEnded(
        f"The session at OMERO {address} is over: idle for too long, closed, or the server was started again.",
        hint="Log in again; jobs and imports wait for it, or go on by themselves where a minter is set.",
    )


def _not_permitted(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroNotPermitted(
        f"OMERO at {address} does not permit this{_because(said)}.",
        hint="Ask the group's owner for the permission, or choose another group.",
    )


def _busy(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroBusy(f"OMERO at {address} is busy{_because(said)}.", hint="It is tried again after a while.")


def _refused(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroCallRefused(
        f"OMERO at {address} does not take this call{_because(said)}.",
        hint="If an object was meant that is not there any more, look again; else report it: versions may not fit.",
    )


def _too_large(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroTooLarge(
        f"OMERO at {address} answers with more than a message may have{_because(said)}.",
        hint="The server is well, and another try gets the same answer: ask for less at a time, or report it.",
    )


def _failed(said: str, address: OmeroAddress, _: Credential | None) -> OmeroError:
    return OmeroFailed(
        f"OMERO at {address} failed{_because(said)}.", hint="The server's Blitz-0.log says more; ask its administrator."
    )


# By the names of the classes and of those above them, nearest first: so that it is known without the library.
_MEANING: dict[str, _Told] = {
    "PermissionDeniedException": _login_refused,
    "AuthenticationException": _login_refused,
    "ExpiredCredentialException": _login_refused,
    "WrappedCreateSessionException": _busy,
    "CannotCreateSessionException": _no_session_made,
    "SessionNotExistException": _session_ended,
    "ShutdownInProgress": _unreachable,
    "SessionException": _session_ended,
    "SecurityViolation": _not_permitted,
    "ConcurrencyException": _busy,
    "ResourceError": _busy,
    "ApiUsageException": _refused,
    "ServerError": _failed,
    "ObjectNotExistException": _session_ended,
    "TimeoutException": _not_answering,
    "InvocationTimeoutException": _not_answering,
    "SecurityException": _not_trusted,
    "PluginInitializationException": _not_trusted,
    "SocketException": _unreachable,
    "DNSException": _unreachable,
    "MemoryLimitException": _too_large,
    "MarshalException": _failed,
    "ProtocolException": _unreachable,
    "CloseConnectionException": _unreachable,
    "ForcedCloseConnectionException": _unreachable,
    "ConnectionManuallyClosedException": _unreachable,
    "CommunicatorDestroyedException": _unreachable,
    "ObjectAdapterDeactivatedException": _unreachable,
    "NoEndpointException": _unreachable,
    "ClientError": _no_session,
    "CmdError": _failed,
}


def meaning(error: Exception, address: OmeroAddress, credential: Credential | None = None) -> OmeroError:
    """What an exception of the client library means; its words without credentials."""
    told = next((_MEANING[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _MEANING), _failed)
    return told(without_credentials(_words(error)), address, credential)


def refusal(answer: Any, address: OmeroAddress) -> OmeroError:
    """What it means that a request ended in an error (``omero.cmd.ERR``)."""
    said = str(answer.parameters.get("message", "")) or str(answer.name)
    kind = _not_permitted if "SecurityViolation" in said or "not permitted" in said else _failed
    return kind(without_credentials(" ".join(said.split("\n")[0].split())[:300]), address, None)


def without_credentials(text: str) -> str:
    """A text with every uuid taken out: a session's is as good as a password."""
    return UUID.sub("…", text)


def _words(error: Exception) -> str:
    """What an exception says of itself, where it says anything that helps."""
    number = getattr(error, "error", 0)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    said = getattr(error, "message", "") or getattr(error, "reason", "") or (error.args[0] if error.args else "")
    kind = type(error).__name__
    # Of a server's stack trace the first line tells it; certificates are told of on two.
    line = " ".join(" ".join(str(said).split("\n")[:2]).split())
    return f"{kind}: {line[:300]}" if line else kind


def _because(said: str) -> str:
    return f" ({said})" if said else ""
