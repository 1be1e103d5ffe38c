"""What reading a damaged TIFF file raises, told once as an image that cannot be read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import tifffile

from .errors import ImageFailing, NotForReader, PlaceAway, UnreadableImage, may_pass

FOR_THAT_PERSON = "Give that person read permission on the file and the folders above it, or leave it out."
COPY_AGAIN = "Copy the file again from the microscope, or leave it out with --exclude."

# Seen on corpora of malformed files; imagecodecs' own errors are RuntimeErrors, a codec not installed is an
# ImportError. Not Exception: a bug of ours in the same block should still look like one where it can.
TIFF_FAILURES: tuple[type[Exception], ...] = (
    tifffile.TiffFileError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def told_as_unreadable(file: str) -> Iterator[None]:
    """Turn whatever tifffile and its codecs raise into an error that names the file.

    Raises:
        UnreadableImage: the block failed.
        ImageFailing: the disk below it did, and may answer later.
        PlaceAway: what it reads from cannot be reached now.
    """
    try:
        yield
    except (UnreadableImage, PlaceAway):
        raise
    except TIFF_FAILURES as error:
        kind = ImageFailing if may_pass(error) else UnreadableImage
        raise kind(f"{file} cannot be read as an image: {_reason(error)}", hint=_hint(error)) from error


def _reason(error: Exception) -> str:
    match error:
        case OSError():
            return error.strerror or str(error)
        case MemoryError():
            return "its header asks for more memory than there is"
        case tifffile.TiffFileError() | NotImplementedError() | ImportError():
            text = str(error).removeprefix("TiffFile ").strip()
            return text.splitlines()[0][:200] if text else type(error).__name__
        case _:
            text = str(error).splitlines()[0][:200] if str(error) else ""
            return f"it is damaged ({type(error).__name__}{': ' if text else ''}{text})"


def _hint(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "Has it been moved or deleted since the plate was planned?"
        case NotForReader():
            return FOR_THAT_PERSON
        case PermissionError():
            return "Let the account that runs the mesh read it."
        case ImportError():
            return "Install the codec: pip install imagecodecs"
        case _:
            return COPY_AGAIN
