"""A mesh as systemd starts it: readiness, watchdog, status and logs, by real processes."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from waiting import eventually

from hcs_mesh.client import Client

pytestmark = pytest.mark.anyio

SETTINGS = "[devices]\ncpu_slots = 1\ngpu = 'off'\n"


class Started:
    """``hcs-mesh up`` with a socket to tell, a watchdog, and its standard error as the journal."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = str(folder / "notify")
        self.socket.bind(self._address)
        # What is told is taken at once: a socket holds ten words, and drops those that come then.
        self.told: list[str] = []
        self._hearing = threading.Thread(target=self._hear)
        self._hearing.start()
        self.lines: list[str] = []
        config = folder / "settings.toml"
        config.write_text(SETTINGS)
        reading, writing = os.pipe()
        found = os.fstat(writing)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": self._address,
            "WATCHDOG_USEC": "400000",
            "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
        }
        command = [sys.executable, "-P", "-m", "hcs_mesh", "up", "--data", self.data, "--config", config]
        self.process = subprocess.Popen(command, env=environment, stderr=writing, stdout=subprocess.DEVNULL)
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,))
        self._reader.start()

    def _hear(self) -> None:
        while word := self.socket.recv(65_536).decode():
            self.told += word.split("\n")

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8") as journal:
            self.lines += journal.read().splitlines()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._address)
        self._hearing.join()
        self.socket.close()


async def test_a_service_says_when_it_is_up_alive_and_on_its_way_out(tmp_path: Path) -> None:
    up = Started(tmp_path)
    try:
        await eventually(lambda: up.told.count("WATCHDOG=1") >= 3, 90)
        assert up.told[0] == "READY=1"
        assert any(line.startswith("STATUS=up: ") for line in up.told)
        async with Client.at(up.data) as mesh:
            assert (await mesh.status()).pid == up.process.pid
        children = psutil.Process(up.process.pid).children(recursive=True)
        assert children
        assert not any({"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(child.environ()) for child in children)
        up.process.send_signal(signal.SIGTERM)
        await eventually(lambda: up.process.poll() is not None, 60)
        assert up.process.returncode == 0
        await eventually(lambda: up.told[-2:] == ["STOPPING=1", "STATUS=stopping in order"], what="the last words")
    finally:
        up.close()
    assert up.lines
    assert all(line[:3] in ("<3>", "<4>", "<6>") for line in up.lines), up.lines
