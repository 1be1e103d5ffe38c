"""The gate between a life and the world around it: a life says where it stands, and waits."""

from __future__ import annotations

import os
import threading
from typing import Any

import msgspec
from fault_schedules import Report

GO, RETRY, GO_ON = b"g", b"r", b"o"


class Gate:
    """Says where the life stands, and lets it on when the world says so."""

    def __init__(self, tell: int, hear: int) -> None:
        self._tell = tell
        self._hear = hear
        self._one_at_a_time = threading.Lock()
        self._encode = msgspec.json.Encoder().encode

    def at(self, point: str, side: str = "", *, of: str = "", **facts: Any) -> bytes:
        """Report, and wait for the word."""
        with self._one_at_a_time:
            os.write(self._tell, self._encode(Report(point=point, side=side, of=of, facts=facts)) + b"\n")
            word = os.read(self._hear, 1)
        if not word:
            os._exit(3)
        return word
