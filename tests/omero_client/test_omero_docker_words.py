"""What docker's words mean: its errors as its versions say them, and its list of containers."""

import pytest

from hcs_mesh.plates.omero.instance.docker_words import containers_in, ended, problem_of

SOCKET = "unix:///var/run/docker.sock"
SAID = [
    (f"Got permission denied while trying to connect to the Docker daemon socket at {SOCKET}", "docker-denied"),
    (f"permission denied while trying to connect to the docker API at {SOCKET}", "docker-denied"),
    ("dial unix /var/run/docker.sock: connect: permission denied", "docker-denied"),
    (f"Cannot connect to the Docker daemon at {SOCKET}. Is the docker daemon running?", "docker-down"),
    (f"failed to connect to the docker API at {SOCKET}; check if the path is correct", "docker-down"),
    ("docker: 'compose' is not a docker command.\nSee 'docker --help'", "docker-missing"),
    ("docker: unknown command: docker compose\n\nRun 'docker --help' for more information", "docker-missing"),
    ("unknown flag: --project-name\nSee 'docker --help'.\n\nUsage:  docker [OPTIONS] COMMAND", "docker-missing"),
    (" Container p-server-1  Starting\nBind for 127.0.0.1:4064 failed: port is already allocated", "taken"),
    ("Error response from daemon: failed to bind host port 127.0.0.1:4064/tcp: address already in use", "taken"),
    ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", "docker-failed"),
    ("Error response from daemon: manifest for omero-server:0 not found: manifest unknown", "docker-failed"),
    ("something nobody has heard of", "docker-failed"),
    ("", "docker-failed"),
]


@pytest.mark.parametrize(("said", "kind"), SAID)
def test_what_docker_says_is_understood_and_answered_with_what_to_do(said: str, kind: str) -> None:
    problem = problem_of(said)
    assert problem.kind == kind
    assert problem.hint
    assert "sudo" not in problem.reason + problem.hint


def test_the_line_that_tells_most_is_repeated() -> None:
    said = "time=now level=warning msg=obsolete\nError response from daemon: it is Sunday\nUsage: docker compose up"
    assert "it is Sunday" in problem_of(said).reason
    assert "Usage" not in problem_of(said).reason


LINES = (
    '{"Name":"p-server-1","Service":"server","State":"exited","ExitCode":1}\n'
    '{"Name":"p-database-1","Service":"database","State":"running","ExitCode":0}\n'
)
LIST = f"[{LINES.strip().replace(chr(10), ',')}]"


@pytest.mark.parametrize("listing", [LINES, LIST])
def test_a_list_of_containers_is_read_in_both_forms(listing: str) -> None:
    server, database = containers_in(listing)
    assert (server.service, server.exit_code, server.has_ended) == ("server", 1, True)
    assert not database.has_ended


@pytest.mark.parametrize("listing", ["NAME  IMAGE\n", '{"Name": "x"}\n', "[1]\n", '"text"\n'])
def test_what_is_no_list_of_containers_is_none(listing: str) -> None:
    with pytest.raises(ValueError):
        containers_in(listing)


def test_no_containers_are_none() -> None:
    assert containers_in("") == ()


def test_of_a_container_that_ended_the_last_words_are_told() -> None:
    (server, _) = containers_in(LINES)
    assert "giving up" in ended(server, "postgres:5432 still not reachable, giving up\n").reason
    assert ended(server, "").reason.endswith("and said nothing")
