"""Whoever follows something asks again while the mesh is away, or has as many who wait as it may."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from hcs_mesh.commands import Commands
from hcs_mesh.config import MeshError
from hcs_mesh.messages.compute import JobStatus
from hcs_mesh.transport import AskTimedOut, MailboxFull, PeerGone, Request

pytestmark = pytest.mark.anyio

DONE = JobStatus(job="job-0001", plate_id=1, pipeline="counting", state="done", revision=3)


class Scripted(Commands):
    """A mesh that answers what was written down for it."""

    def __init__(self, *answers: Exception | JobStatus) -> None:
        self.answers = deque(answers)

    async def ask(self, actor: str, request: Request[Any], *, timeout_s: float = 0.0) -> Any:
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_who_follows_a_job_comes_again_when_too_many_wait_already() -> None:
    # However long it lasts: a mesh that says that it is full is there.
    full = [MailboxFull("full", retry_after_s=0.0)] * 5
    mesh = Scripted(*full, DONE)
    assert [status async for status in mesh.follow_job("job-0001", patience_s=0.0)] == [DONE]
    assert not mesh.answers


async def test_who_follows_a_job_gives_up_on_a_mesh_that_stays_away() -> None:
    mesh = Scripted(PeerGone("gone"), DONE)
    with pytest.raises(MeshError, match="has not answered for 0 s"):
        _ = [status async for status in mesh.follow_job("job-0001", patience_s=0.0)]


async def test_who_is_told_that_time_is_over_is_not_told_that_the_mesh_is_away() -> None:
    mesh = Scripted(AskTimedOut("CompilePipeline to executor.cpu0: no answer in time"))
    with pytest.raises(MeshError, match=r"^no answer for 0 s: CompilePipeline to executor\.cpu0") as told:
        _ = [status async for status in mesh.follow_job("job-0001", patience_s=0.0)]
    assert "hcs-mesh ps" in told.value.hint
