"""Reading files of a workstation: some chunks ahead of whoever reads, each checked as it arrives."""

from __future__ import annotations

import concurrent.futures
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import google_crc32c
import msgspec

from ...config import MeshError, get_logger
from ...messages.agents import (
    CHUNK_BYTES,
    Chunk,
    ChunkSum,
    CloseFile,
    LookAtFile,
    OpenFile,
    ReadChunk,
    SumChunk,
)
from ...plates.checksums import Algorithm
from ...plates.holding import Hold
from ...plates.holding.guarantees import HeldFile
from ...plates.local.errors import SourceFailed
from ...plates.repository import OpenSource, SourceFile
from ...transport import AskFailed, Request
from ..errors import OutOfHours
from .agent_line import AgentLine
from .serving_agents import AgentAway

log = get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

N_AHEAD = 6
"""Chunks that are asked for before they are wanted: what a link carries in a few of its round trips."""
CHUNK_S = 300.0
"""How long a chunk may take: a workstation that was told to be slow is not away."""
MAX_TRIES = 5
"""Of one chunk that comes damaged, or of a file that the agent cannot keep open."""


class DamagedChunk(MeshError, ValueError):
    """Bytes came that are not those that were sent."""


class _Piece(NamedTuple):
    """A part of a file that was asked for: its bytes, or only what they are."""

    offset: int
    n_bytes: int
    chunk: concurrent.futures.Future[Chunk] | None
    sum: concurrent.futures.Future[ChunkSum] | None


class AgentReader:
    """Opens the files of one import's source behind an agent; usable from several threads."""

    def __init__(
        self,
        line: AgentLine,
        *,
        import_id: str,
        root: str,
        held: Hold | None,
        algorithm: Algorithm,
        begun: Callable[[str], Path],
        cancelled: Callable[[], bool],
    ) -> None:
        """Read below ``root``, or what is ``held`` of it.

        ``begun`` says where the beginning of a file would lie that an earlier transfer has brought.
        """
        self._line = line
        self._import_id = import_id
        self._root = root
        self._staging = held.staging if held is not None else ""
        self._held: Mapping[str, HeldFile] = {one.path: one for one in held.files} if held is not None else {}
        self._algorithm = algorithm
        self._begun = begun
        self._cancelled = cancelled

    def open(self, path: str) -> OpenSource:
        """Open a file by its path in the source.

        Raises:
            AgentAway: the workstation cannot be reached.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be opened.
            TransferCancelled: nobody wants it any more.
        """
        there: IO[bytes] | None = None
        # Nothing of it is here yet, as a rule.
        with suppress(OSError):
            there = self._begun(path).open("rb")
        question = OpenFile(
            import_id=self._import_id,
            root=self._root,
            path=path,
            staging=self._staging,
            held=self._held.get(path),
            # What is here already is compared first, and need not come at once.
            n_bytes=0 if there is not None else CHUNK_BYTES,
            algorithm=self._algorithm,
        )
        try:
            return AgentFile(self._line, question, there, self._cancelled)
        except MeshError:
            if there is not None:
                there.close()
            raise


class AgentFile:
    """One file of a workstation; for one thread at a time."""

    def __init__(
        self, line: AgentLine, question: OpenFile, there: IO[bytes] | None, cancelled: Callable[[], bool]
    ) -> None:
        self.name = f"{line.agent.name}:{question.root}/{question.path}"
        self._line = line
        self._question = question
        self._there = there
        self._n_there = there.seek(0, 2) if there is not None else 0
        self._cancelled = cancelled
        self._pieces: deque[_Piece] = deque()
        self._at = self._asked_to = 0
        self._n_tries = 0
        self._handle = 0
        self._size = -1
        self._rest = memoryview(b"")
        self._first: SourceFile | None = None
        self._patiently(lambda: None)

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes and return how many; 0 at the end of the file.

        Raises:
            AgentAway: the workstation has gone and did not come back soon.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot read the file.
            TransferCancelled: nobody wants it any more.
        """
        n = self._patiently(lambda: self._read(buffer))
        self._n_tries = 0
        return n

    def seek(self, offset: int) -> None:
        """Read on from this byte."""
        if offset != self._at:
            self._at = offset
            self._forget_pieces()

    def look(self) -> SourceFile:
        """Say what the file is like now; the first look is the one at its opening.

        Raises:
            SourceChanged: its name leads to another file, or it was written to.
            AgentAway, SourceMissing, SourceUnreadable, SourceFailed: it cannot be looked at.
        """
        first, self._first = self._first, None
        return first or self._patiently(lambda: self._answer(LookAtFile(handle=self._handle)))

    def close(self) -> None:
        """Let go of the file."""
        self._forget_pieces()
        self._line.tell_closed(CloseFile(handle=self._handle))
        if self._there is not None:
            self._there.close()

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do what needs the file open at the agent, again under its next connection if this one breaks."""
        while True:
            try:
                if not self._handle:
                    self._open()
                done = work()
            except OutOfHours:
                # However long its hours are away, nobody's turn to copy is kept meanwhile.
                self._forget_pieces()
                raise
            except AgentAway as away:
                self._try_again(away)
                self._line.wait_until_there(self._cancelled)
            except AskFailed as error:
                if error.failure.kind not in ("NotOpen", "ActorUnknown"):
                    raise
                # It was started anew, or has closed a file that nobody read for long.
                self._handle = 0
                self._try_again(error)
            except DamagedChunk as error:
                log.warning("bytes of a file arrived damaged", file=self.name, at=self._at, agent=self._line.agent.name)
                self._try_again(error)
            else:
                return done

    def _try_again(self, error: MeshError) -> None:
        self._forget_pieces()
        self._n_tries += 1
        if self._n_tries >= MAX_TRIES:
            raise SourceFailed(
                f"{self.name} could not be read in {self._n_tries} tries: {error}",
                hint="look at the workstation's network and memory",
            ) from error

    def _open(self) -> None:
        opened = self._answer(self._question)
        # The second time it is opened where it is read on, and how it looked at first is known.
        self._question = msgspec.structs.replace(self._question, n_bytes=0)
        self._handle = opened.handle
        if self._size < 0:
            self._first, self._size = opened.file, opened.file.size
        if opened.chunk is not None and self._at == self._asked_to == 0:
            came: concurrent.futures.Future[Chunk] = concurrent.futures.Future()
            came.set_result(opened.chunk)
            self._asked_to = len(opened.chunk.data)
            self._pieces.append(_Piece(0, self._asked_to, came, None))

    def _read(self, buffer: memoryview) -> int:
        if self._rest:
            n = min(len(self._rest), len(buffer))
            buffer[:n] = self._rest[:n]
            self._rest = self._rest[n:]
            self._at += n
            return n
        self._ask_ahead()
        if not self._pieces:
            return 0
        piece = self._pieces[0]
        data = self._same(piece) if piece.sum is not None else self._came(piece)
        self._pieces.popleft()
        self._ask_ahead()
        n = min(len(data), len(buffer))
        buffer[:n] = data[:n]
        self._rest = data[n:]
        self._at += n
        return n

    def _came(self, piece: _Piece) -> memoryview:
        """The bytes of a piece, as they were sent."""
        assert piece.chunk is not None
        chunk = self._line.wait(piece.chunk, self._cancelled)
        if google_crc32c.value(chunk.data) != chunk.crc32c:
            raise DamagedChunk(f"{len(chunk.data)} bytes from {piece.offset} on are not what was sent")
        return memoryview(chunk.data)

    def _same(self, piece: _Piece) -> memoryview:
        """The bytes of a piece that is here already, if the workstation's are the same; else those from there."""
        assert piece.sum is not None
        assert self._there is not None
        told = self._line.wait(piece.sum, self._cancelled)
        here = b""
        # What the disk here does not give back comes anew.
        with suppress(OSError):
            self._there.seek(piece.offset)
            here = self._there.read(piece.n_bytes)
        if told.n_bytes == len(here) and told.sha256 == hashlib.sha256(here).hexdigest():
            return memoryview(here)
        # From here on all of it comes anew.
        self._n_there = 0
        asked = self._line.begin(self._question_at(piece.offset, piece.n_bytes), timeout_s=CHUNK_S)
        self._drop_behind(piece)
        self._asked_to = piece.offset + piece.n_bytes
        return self._came(_Piece(piece.offset, piece.n_bytes, asked, None))

    def _ask_ahead(self) -> None:
        while len(self._pieces) < N_AHEAD and self._asked_to < self._size:
            offset = self._asked_to
            if offset < self._n_there:
                n_bytes = min(CHUNK_BYTES, self._n_there - offset)
                asked = self._line.begin(
                    SumChunk(handle=self._handle, offset=offset, n_bytes=n_bytes), timeout_s=CHUNK_S
                )
                self._pieces.append(_Piece(offset, n_bytes, None, asked))
            else:
                n_bytes = min(CHUNK_BYTES, self._size - offset)
                self._pieces.append(
                    _Piece(
                        offset, n_bytes, self._line.begin(self._question_at(offset, n_bytes), timeout_s=CHUNK_S), None
                    )
                )
            self._asked_to += n_bytes

    def _question_at(self, offset: int, n_bytes: int) -> ReadChunk:
        return ReadChunk(handle=self._handle, offset=offset, n_bytes=n_bytes)

    def _drop_behind(self, piece: _Piece) -> None:
        """Want nothing more of what was asked for behind a piece."""
        for other in self._pieces:
            if other is not piece:
                _give_up(other)
        self._pieces.clear()
        self._pieces.append(piece)

    def _forget_pieces(self) -> None:
        for piece in self._pieces:
            _give_up(piece)
        self._pieces.clear()
        self._rest = memoryview(b"")
        self._asked_to = self._at

    def _answer(self, question: Request[R]) -> R:
        return self._line.wait(self._line.begin(question, timeout_s=CHUNK_S), self._cancelled)


def _give_up(piece: _Piece) -> None:
    asked = piece.chunk or piece.sum
    assert asked is not None
    asked.cancel()
