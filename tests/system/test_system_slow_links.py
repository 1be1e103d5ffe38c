"""Planes over a real cable that is slowed down and let go: they are compressed as long as that helps, and no longer."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs("root"), pytest.mark.timeout(280)]


def test_compression_comes_with_a_slow_link_goes_with_it_and_comes_again(
    checkout: Path, tell: Callable[[str], None]
) -> None:
    command = [sys.executable, checkout / "bench" / "slow_cable.py", "--phases"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=270)
    assert done.returncode == 0, done.stderr
    phases = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["slow"], one["compressed"]) for one in phases] == [
        (False, False),
        (True, True),
        (False, False),
        (True, True),
    ]
    after = ", ".join(f"{'on' if one['compressed'] else 'off'} {one['after_s']:.1f} s" for one in phases[1:])
    tell(f"slow links: after the cable's speed had changed, compression was {after} later")
