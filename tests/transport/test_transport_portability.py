"""What carries and keeps alive imports on systems without POSIX."""

import subprocess
import sys

ELSEWHERE = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "uvloop"):
    sys.modules[name] = None
import os
name = os.name
import {module}
print("imported")
"""

MODULES = ("hcs_mesh.transport", "hcs_mesh.transport.planes", "hcs_mesh.supervisors", "hcs_mesh.messages.frames")


def test_the_rooms_import_without_posix_modules() -> None:
    code = ELSEWHERE.format(module=", ".join(MODULES))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "imported\n", done.stderr
