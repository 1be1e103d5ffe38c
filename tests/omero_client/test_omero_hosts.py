"""A server whose repository is not mounted is on another host, or nobody knows what disk it has: never a guess."""

import socket

import pytest

from hcs_mesh.plates.certificate import Device
from hcs_mesh.plates.omero.address import OmeroAddress
from hcs_mesh.plates.omero.certifying import device_of_server

# Set aside for documentation: nobody has it (RFC 5737).
ELSEWHERE = "192.0.2.1"
NOT_KNOWN = Device()


def device_at(host: str) -> Device:
    return device_of_server(OmeroAddress(host=host), None)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.0.1.1", "127.1", "0.0.0.0"])
def test_this_host_is_known_by_any_of_its_names_and_addresses(host: str) -> None:
    assert device_at(host) == NOT_KNOWN


def test_an_address_that_this_host_cannot_listen_at_is_anothers() -> None:
    assert device_at(ELSEWHERE) == Device(host=ELSEWHERE)


def test_a_name_with_several_addresses_is_this_hosts_if_one_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [one for host in (ELSEWHERE, "127.0.0.1") for one in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert device_at("omero.example.org") == NOT_KNOWN


@pytest.mark.parametrize("host", ["omero..example.org", f"{64 * 'o'}.example.org"])
def test_a_name_that_is_none_could_be_any_hosts(host: str) -> None:
    assert device_at(host) == NOT_KNOWN


def test_a_name_that_cannot_be_resolved_now_could_be_any_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert device_at("omero.example.org") == NOT_KNOWN
