"""A credential is in no text, no message, no record and no pickle."""

import pickle
import traceback

import msgspec
import pytest
from rich.pretty import pretty_repr

from hcs_mesh.plates.omero.address import Credential, OmeroAddress, Password, SessionKey
from hcs_mesh.plates.omero.errors import OmeroSessionEnded
from hcs_mesh.plates.omero.meanings import meaning, without_credentials
from hcs_mesh.plates.omero.secret import Secret

UUID = "7e5f5e29-4a0e-4a2b-9d0f-9f5f7f1f0c11"
CREDENTIALS = [Password(user="ada", password=Secret("hunter2")), SessionKey(uuid=Secret(UUID))]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_credential_is_shown_by_nothing(credential: Credential) -> None:
    for shown in (repr(credential), str(credential), f"{credential}", pretty_repr(credential), repr([credential])):
        assert "hunter2" not in shown
        assert UUID not in shown


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_credential_goes_into_no_message_record_or_pickle(credential: Credential) -> None:
    for encode in (msgspec.msgpack.encode, msgspec.json.encode, pickle.dumps):
        with pytest.raises(TypeError):
            encode(credential)


def test_a_secret_is_given_out_by_one_word_alone() -> None:
    assert Secret("hunter2").reveal() == "hunter2"
    assert Secret("hunter2") == Secret("hunter2")
    assert Secret("hunter2") != Secret("hunter3")


def test_the_uuid_of_a_session_is_taken_out_of_what_a_server_says() -> None:
    assert without_credentials(f"No session with uuid:{UUID}, or {UUID.upper()}!") == "No session with uuid:…, or …!"


class RemovedSessionException(Exception):
    """Named as the library's own is."""

    message = f"No session with uuid:{UUID}"


class SessionException(Exception):
    message = ""


class SecurityViolation(Exception):
    message = f"{UUID} may not"


@pytest.mark.parametrize("kind", [SessionException, SecurityViolation])
def test_no_error_says_whose_session_it_was(kind: type[Exception]) -> None:
    told = meaning(kind(UUID), OmeroAddress(host="omero"), CREDENTIALS[1])
    shown = "".join(traceback.format_exception(told)) + told.hint
    assert UUID not in shown
    assert "hunter2" not in shown


def test_a_refused_session_key_is_a_session_that_is_over() -> None:
    class PermissionDeniedException(Exception):
        reason = "Password check failed"

    assert isinstance(
        meaning(PermissionDeniedException(), OmeroAddress(host="omero"), CREDENTIALS[1]), OmeroSessionEnded
    )
