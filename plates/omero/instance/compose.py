"""What is asked of docker: to start, list and stop the containers of one project."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .docker_words import Container, containers_in, ended, no_program, problem_of
from .errors import DockerFailed, error_of
from .life import Problem
from .program import Ended, Runs, ignore
from .started_here import Record, StartedHere

NEEDED = ("database", "server")
"""The containers without which nobody can log in."""
_CERTIFICATE = "/OMERO/certs/server.pem"
_QUESTION_S = 60.0
_STOP_S = 180.0
_LINES = "15"


class Compose:
    """Docker compose on the files of one data folder."""

    def __init__(self, here: StartedHere, record: Record, run: Runs) -> None:
        """Ask docker by running ``docker``, as this user."""
        self._here = here
        self._project = record.project
        self._run = run

    async def up(self, *, timeout_s: float, on_line: Callable[[str], None]) -> None:
        """Start what does not run yet; images are fetched where they are not there.

        Raises:
            OmeroError: docker is not there, does not run, may not be used, or could not do it.
            TimeoutError: it took longer than ``timeout_s``, and was ended.
        """
        await self._ask("up", "--detach", timeout_s=timeout_s, on_line=on_line)

    async def containers(self) -> tuple[Container, ...]:
        """Every container that there is, running or not.

        Raises:
            OmeroError: as of ``up``, or its answer is no list.
        """
        listing = await self._question("ps", "--all", "--format", "json")
        try:
            return containers_in(listing.out)
        except ValueError as error:
            raise DockerFailed(
                f"Docker's list of containers is none ({listing.out.strip()[:100]}).",
                hint="Renew docker: 20.10 or newer.",
            ) from error

    async def what_ended(self) -> Problem | None:
        """Whether a container that is needed has ended, and the last that it said.

        Raises:
            OmeroError: as of ``containers``.
        """
        for container in await self.containers():
            if container.service in NEEDED and container.has_ended:
                words = ("logs", "--no-color", "--no-log-prefix", "--tail", _LINES, container.service)
                log = await self._question(*words)
                return ended(container, log.out + log.err)
        return None

    async def certificate(self) -> str:
        """What the server would show of itself; empty while it has none.

        Raises:
            OmeroError: as of ``up``.
        """
        words = ("exec", "-T", "server", "cat", _CERTIFICATE)
        answer = await self._run_it(words, timeout_s=_QUESTION_S, on_line=ignore)
        return answer.out if answer.code == 0 else ""

    async def down(self, *, volumes: bool) -> None:
        """Stop and remove the containers; what they keep only with ``volumes``.

        Raises:
            OmeroError: as of ``up``, or it took too long.
        """
        await self._question("down", *(["--volumes"] if volumes else []), timeout_s=_STOP_S)

    async def _question(self, *words: str, timeout_s: float = _QUESTION_S) -> Ended:
        try:
            return await self._ask(*words, timeout_s=timeout_s, on_line=ignore)
        except TimeoutError as error:
            raise DockerFailed(
                f"docker compose {words[0]} took longer than {timeout_s:g} s.",
                hint="Ask the administrator whether the docker daemon is well.",
            ) from error

    async def _ask(self, *words: str, timeout_s: float, on_line: Callable[[str], None]) -> Ended:
        answer = await self._run_it(words, timeout_s=timeout_s, on_line=on_line)
        if answer.code != 0:
            raise error_of(problem_of(answer.err or answer.out))
        return answer

    async def _run_it(self, words: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None]) -> Ended:
        named = (("--file", self._here.compose_file), ("--env-file", self._here.settings_file))
        # Stopping needs the project's name alone, and must not fail for want of the rest.
        files = [word for option, file in named if file.exists() for word in (option, str(file))]
        command = ("docker", "compose", "--project-name", self._project, *files, *words)
        shown = self._here.without_passwords
        try:
            answer = await self._run(command, timeout_s=timeout_s, on_line=lambda line: on_line(shown(line)))
            return Ended(answer.code, shown(answer.out), shown(answer.err))
        except TimeoutError:
            raise
        except OSError as error:
            raise error_of(no_program(error.strerror or str(error))) from error
