"""Logs: events with fields, handed to the standard library, so that an embedder keeps the last word.

Nothing here runs on import. A process of the mesh calls :func:`start_logging` once; a program that
embeds the mesh does not, and finds the events in its own handlers, the fields under ``record.fields``.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from .bounded_text import LONGEST_TOLD, cut, traced
from .journald import JournalLines, is_journal
from .settings import LogSettings
from .tracing import ACTOR, TRACE
from .written_out import shown

if TYPE_CHECKING:
    import structlog

LOG_FILE_BYTES = 16 * 1024 * 1024
LOG_FILES_KEPT = 3
_TEXTS = ("event", "exception", "stack")
_QUOTED = frozenset(" \t=\r\n\"'")
"""What makes the renderer quote a value, and write out what does not print."""


class Logger:
    """Hands events to the standard library; their fields lie in one attribute, where no name can collide."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: object) -> None:
        """Tell what happened as it should."""
        self._hand_over(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell what somebody may want to look at."""
        self._hand_over(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell what failed."""
        self._hand_over(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Tell what failed with the traceback of the exception in hand."""
        self._hand_over(logging.ERROR, event, fields, exc_info=True)

    def _hand_over(self, level: int, event: str, fields: dict[str, object], *, exc_info: bool = False) -> None:
        # Three up: the line that told, not this one. The event is text, no format: '%' in it stands for itself.
        self._logger.log(level, event, extra={"fields": fields}, exc_info=exc_info, stacklevel=3)


def get_logger(name: str) -> Logger:
    """The logger of one room or process; ``name`` is the module's, ``__name__``."""
    return Logger(name)


def start_logging(settings: LogSettings, *, file: Path | None = None, terminal: TextIO | None = None) -> None:
    """Send this process's events to ``terminal`` (standard error) and, as JSON lines, to ``file``.

    Raises:
        OSError: When the file cannot be opened for writing.
    """
    # structlog takes a tenth of a second to load: only a process that keeps logs waits for it.
    import structlog

    handlers: list[logging.Handler] = [_terminal_handler(settings, terminal or sys.stderr)]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.handlers.RotatingFileHandler(
            file, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", delay=False
        )
        to_file.setFormatter(_formatter(structlog.processors.JSONRenderer()))
        handlers.append(to_file)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # It tells every address that it asks at info, and a webhook's may hold a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _terminal_handler(settings: LogSettings, terminal: TextIO) -> logging.Handler:
    import structlog

    handler = logging.StreamHandler(terminal)
    to_journal = is_journal(terminal)
    for_people = settings.format == "plain" or (settings.format == "auto" and (terminal.isatty() or to_journal))
    renderer = (
        structlog.dev.ConsoleRenderer(
            colors=terminal.isatty(), sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
        if for_people
        else structlog.processors.JSONRenderer()
    )
    formatter = _formatter(renderer, with_time=not to_journal)
    handler.setFormatter(JournalLines(formatter) if to_journal else formatter)
    return handler


def _formatter(renderer: structlog.typing.Processor, *, with_time: bool = True) -> logging.Formatter:
    import structlog

    as_text: list[structlog.typing.Processor] = [structlog.processors.ExceptionRenderer(_traced), _bound]
    if not isinstance(renderer, structlog.processors.JSONRenderer):
        as_text.append(_write_out)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _take_fields,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            *([structlog.processors.TimeStamper(fmt="iso", utc=True)] if with_time else []),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *as_text, renderer],
    )


def _traced(exc_info: structlog.typing.ExcInfo) -> str:
    return traced(exc_info[1]).rstrip("\n")


def _bound(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let no value be longer than stated: some repeat what somebody else said, who says as much as he likes."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = cut(value, LONGEST_TOLD)
        elif not isinstance(value, int | float | None) and len(written := repr(value)) > LONGEST_TOLD:
            event[name] = cut(written, LONGEST_TOLD)
    return event


def _write_out(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let no name that somebody chose reach a terminal or begin a line; the renderer sees to what it quotes."""
    for name, value in event.items():
        if isinstance(value, str) and (name in _TEXTS or not _QUOTED.intersection(value)):
            event[name] = shown(value, lines=True).replace("\n", "\n    ")
    return event


def _take_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = cast(logging.LogRecord, event["_record"])
    event.update(getattr(record, "fields", {}))
    if actor := ACTOR.get():
        event.setdefault("actor", actor)
    if trace := TRACE.get():
        event.setdefault("trace", trace)
    return event
