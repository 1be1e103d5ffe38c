"""Each exception of OMERO's client has one meaning, and its message says what to do."""

import socket
from typing import Any

import pytest

from hcs_mesh.plates.omero import errors
from hcs_mesh.plates.omero.address import Credential, OmeroAddress, Password, SessionKey
from hcs_mesh.plates.omero.errors import OmeroError
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.omero.meanings import meaning
from hcs_mesh.plates.omero.secret import Secret
from hcs_mesh.plates.omero.translation import omero_errors

pytestmark = pytest.mark.needs("omero")

ADDRESS = OmeroAddress(host="omero.example.org", connect_s=7.0, call_s=9.0)
ADA = Password(user="ada", password=Secret("hunter2"))

MEANINGS = [
    ("Glacier2.PermissionDeniedException", errors.OmeroLoginRefused),
    ("omero.AuthenticationException", errors.OmeroLoginRefused),
    ("omero.ExpiredCredentialException", errors.OmeroLoginRefused),
    ("omero.WrappedCreateSessionException", errors.OmeroBusy),
    ("Glacier2.SessionNotExistException", errors.OmeroSessionEnded),
    ("omero.RemovedSessionException", errors.OmeroSessionEnded),
    ("omero.SessionTimeoutException", errors.OmeroSessionEnded),
    ("omero.ShutdownInProgress", errors.OmeroUnreachable),
    ("Ice.ObjectNotExistException", errors.OmeroSessionEnded),
    ("Ice.ConnectionRefusedException", errors.OmeroUnreachable),
    ("Ice.ConnectionLostException", errors.OmeroUnreachable),
    ("Ice.DNSException", errors.OmeroUnreachable),
    ("Ice.CloseConnectionException", errors.OmeroUnreachable),
    ("Ice.CommunicatorDestroyedException", errors.OmeroUnreachable),
    ("Ice.ProtocolException", errors.OmeroUnreachable),
    ("Ice.ConnectTimeoutException", errors.OmeroNotAnswering),
    ("Ice.InvocationTimeoutException", errors.OmeroNotAnswering),
    ("Ice.SecurityException", errors.OmeroNotTrusted),
    ("Ice.PluginInitializationException", errors.OmeroNotTrusted),
    ("omero.SecurityViolation", errors.OmeroNotPermitted),
    ("omero.ReadOnlyGroupSecurityViolation", errors.OmeroNotPermitted),
    ("omero.DatabaseBusyException", errors.OmeroBusy),
    ("omero.OptimisticLockException", errors.OmeroBusy),
    ("omero.MissingPyramidException", errors.OmeroBusy),
    ("omero.ResourceError", errors.OmeroBusy),
    ("omero.ValidationException", errors.OmeroCallRefused),
    ("omero.QueryException", errors.OmeroCallRefused),
    ("omero.InternalException", errors.OmeroFailed),
    ("Ice.UnknownLocalException", errors.OmeroFailed),
    ("Ice.MemoryLimitException", errors.OmeroTooLarge),
    ("Ice.UnmarshalOutOfBoundsException", errors.OmeroFailed),
    ("Ice.ProtocolException", errors.OmeroUnreachable),
]


def kind_of(name: str) -> Any:
    library, _, kind = name.partition(".")
    return getattr({"omero": omero_py().omero, "Ice": omero_py().ice, "Glacier2": glacier2()}[library], kind)


def glacier2() -> Any:
    omero_py()
    import Glacier2

    return Glacier2


@pytest.mark.parametrize(("name", "kind"), MEANINGS)
def test_each_exception_of_the_client_has_its_meaning(name: str, kind: type[OmeroError]) -> None:
    with pytest.raises(OmeroError) as told, omero_errors(ADDRESS, ADA):
        raise kind_of(name)
    assert type(told.value) is kind
    assert "omero.example.org:4064" in str(told.value)
    assert told.value.hint
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


@pytest.mark.parametrize("credential", [ADA, SessionKey(uuid=Secret("the-uuid"))])
@pytest.mark.parametrize("kind", ["PermissionDeniedException", "CannotCreateSessionException"])
def test_a_router_that_cannot_ask_its_server_has_judged_nobody(kind: str, credential: Credential) -> None:
    with pytest.raises(errors.OmeroUnreachable, match="internal server error"), omero_errors(ADDRESS, credential):
        raise getattr(glacier2(), kind)("internal server error")


def test_three_timeouts_in_a_row_are_told_as_no_answer_with_the_time_that_was_given() -> None:
    told = meaning(omero_py().omero.ClientError("Obtained null object prox"), ADDRESS)
    assert isinstance(told, errors.OmeroNotAnswering)
    assert "7 s to connect, 9 s a call" in str(told)


def test_what_the_server_says_is_told_in_one_line() -> None:
    failed = omero_py().omero.InternalException()
    failed.message = "No space left\non device\nat ome.io.nio"
    assert "(InternalException: No space left on device)" in str(meaning(failed, ADDRESS))


def test_a_number_of_the_system_is_told_in_words() -> None:
    refused = omero_py().ice.ConnectionRefusedException()
    refused.error = 111
    assert "(Connection refused)" in str(meaning(refused, ADDRESS))


def test_errors_of_others_pass_as_they_are() -> None:
    with pytest.raises(socket.gaierror), omero_errors(ADDRESS):
        raise socket.gaierror


def test_a_login_without_a_password_is_refused_as_such() -> None:
    told = meaning(omero_py().omero.ClientError("No password specified"), ADDRESS, ADA)
    assert isinstance(told, errors.OmeroLoginRefused)
