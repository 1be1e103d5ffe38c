"""The child's side of a process that lives and dies with its parent."""

import ctypes
import os
import signal
import sys
import threading
import time

READY_FD = "HCS_MESH_READY_FD"
"""Environment variable: the descriptor on which the child says that it is ready."""
PARENT_PID = "HCS_MESH_PARENT_PID"
"""Environment variable: the process that the child must not outlive."""

_PR_SET_PDEATHSIG = 1
_EXIT_CODE = 113


def end_with_parent(grace_s: float = 1.0) -> bytes:
    """Tie this process to its parent and return the line of specification that the parent wrote.

    Call it first, from the main thread, before stdin is read. When the parent's pipe closes, the
    process gets SIGTERM and, ``grace_s`` later, its whole group is killed. On Linux the kernel also
    kills it the moment its parent dies: a process that is stopped, or stuck in native code that
    holds the interpreter, would never see the pipe close.
    """
    _die_with_parent()
    # A private copy: neither a library that reads stdin nor a grandchild shall hold the life pipe.
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    line = _read_line(pipe)
    threading.Thread(target=_watch, args=(pipe, grace_s), name="lifeline", daemon=True).start()
    return line


def tell_ready() -> None:
    """Tell the parent that this process is ready to serve; once, and nothing if nobody listens."""
    descriptor = os.environ.pop(READY_FD, "")
    if descriptor:
        os.write(int(descriptor), b"ready\n")
        os.close(int(descriptor))


def _die_with_parent() -> None:
    parent = int(os.environ.pop(PARENT_PID, "0"))  # Not for grandchildren: their parent is this process.
    if sys.platform != "linux" or not parent:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It died before the call, which speaks of the future only.
        _end_group()


def _read_line(pipe: int) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        # Byte by byte would be slow and more would be wrong: nothing follows the line but the end.
        piece = os.read(pipe, 65536)
        if not piece:
            break
        found += piece
    return found.rstrip(b"\n")


def _watch(pipe: int, grace_s: float) -> None:
    while os.read(pipe, 65536):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    _end_group()


def _end_group() -> None:
    if sys.platform != "win32" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(_EXIT_CODE)
