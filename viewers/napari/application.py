"""The napari process: window, canvas and link put together, and the Qt loop run until the window is closed."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from ...config.errors import MeshError
from ...messages.viewing import Subject
from ...transport import MeshCard
from ..canvas import Canvas
from ..errors import NapariMissing
from ..grouping import Grouping
from .canvas_screen import CanvasScreen
from .link_thread import LinkThread

REPORT_EVERY_MS = 250
SIGNALS_EVERY_MS = 200
SWITCH_INTERVAL_S = 0.0005
"""How long drawing may keep the interpreter to itself while a plane waits to be copied; Python's own is 5 ms."""


def run(
    mesh: Path | MeshCard,
    subject: Subject,
    *,
    grouping: Grouping,
    title: str,
    key: Path | None,
    max_bytes: int,
    report: Path | None = None,
) -> dict[str, Any]:
    """Show ``subject`` until the window is closed, and return what the window held then.

    Raises:
        NapariMissing: napari or its Qt binding cannot be imported.
        MeshError: there is no mesh, or it knows no such subject.
    """
    try:
        import napari
        from qtpy.QtCore import QTimer

        from .doorbell import Doorbell
        from .window import Window
    except ImportError as error:
        raise NapariMissing(f"napari cannot be opened: {error}.", hint="pip install 'hcs-mesh[napari]'") from error
    viewer = napari.Viewer(title=title, show=True)
    canvas = Canvas(grouping, max_bytes=max_bytes)
    window = Window(viewer, canvas, title=title)
    failures: list[MeshError] = []

    def failed(text: str) -> None:
        if canvas.contents.plate_id or canvas.layers:
            # What the person is looking at stays open; only the news ends.
            window.say(text)
        else:
            viewer.close()

    bell = Doorbell(window.draw, window.say, failed)

    def link_ended(error: MeshError) -> None:
        failures.append(error)
        bell.fail(str(error))

    screen = CanvasScreen(canvas, bell.ring, bell.say)
    link = LinkThread(mesh, screen, subject, title=title, key=key, snapshot_bytes=max_bytes, on_failure=link_ended)

    def describe() -> dict[str, Any]:
        return {**window.describe(), "latency": screen.statistics()}

    def write_report() -> None:
        if report is not None:
            new = report.with_name(f".{report.name}.part")
            new.write_text(json.dumps(describe()))
            new.replace(report)

    def close(number: int, stack: object) -> None:
        viewer.close()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)
    # Qt's loop runs in C++: Python sees a signal only when something of Python's runs.
    ticker = QTimer()
    ticker.timeout.connect(write_report)
    ticker.start(SIGNALS_EVERY_MS if report is None else REPORT_EVERY_MS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    link.start()
    try:
        napari.run()
    finally:
        ticker.stop()
        last = describe()
        link.stop()
    if failures and not canvas.layers:
        raise failures[0]
    return last
