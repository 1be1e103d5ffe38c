"""Notices from the command line, by a mesh in processes of its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mail_server import mail_server, self_signed

pytestmark = pytest.mark.anyio

MAIL = """
[mail]
host = "localhost"
port = {port}
security = "starttls"
ca_file = "{ca}"
user = "mesh"
password_file = "{password}"
sender = "mesh@example.org"
timeout_s = 60
"""


async def test_an_administrator_sends_a_test_mail_and_is_told_what_happened(
    mesh_up: Callable[..., Any], tmp_path: Path
) -> None:
    ca, context = self_signed(tmp_path)
    password = tmp_path / "password"
    password.write_text("s3cret-of-the-mail\n")
    password.chmod(0o600)
    async with mail_server(tls=context, login=("mesh", "s3cret-of-the-mail")) as server:
        settings = MAIL.format(port=server.port, ca=ca, password=password)
        with mesh_up(more_settings=settings) as mesh:
            tried = (await asyncio.to_thread(mesh, "notices", "test", "ada@example.org")).value
            assert tried["delivered"]
            assert tried["server"] == f"localhost:{server.port} (starttls)"
            (mail,) = server.mails
            assert mail.message["Message-ID"] == tried["message_id"]
            server.rcpt = lambda address: "550 no such user here"
            refusal = (await asyncio.to_thread(mesh, "notices", "test", "eve@example.org")).refusal
            assert "550 no such user here" in refusal
            assert (await asyncio.to_thread(mesh, "notices")).value == []
            assert "there is no notice notice-0099" in (await asyncio.to_thread(mesh, "notices", "retry", 99)).refusal
            logs = "".join(path.read_text() for path in (mesh.data / "logs").iterdir())
            assert "s3cret-of-the-mail" not in logs
