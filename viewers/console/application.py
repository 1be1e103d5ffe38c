"""The console's screen: the tree, imports, jobs, journals, logs and traces of one mesh, looked at again and again."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, ClassVar, cast

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Footer, Static, TabbedContent, TabPane

from ...config.errors import MeshError
from ...config.written_out import shown
from ...messages.control import ActorRow
from ...transport import Principal
from . import words
from .confirmation import Confirmation
from .deeds import Deed, cancel, pause_or_resume, restart, retry
from .listing import Listing
from .mesh import ConsoleMesh
from .snapshot import Snapshot, snapshot

N_LINES = 200
N_RECORDS = 36
"""Of all journals together: so many fit on one screen."""
TABS = ("tree", "imports", "jobs", "journals", "log", "traces")


class Console(App[None]):
    """Shows a mesh, and reaches into it where ``control`` says so."""

    TITLE = "hcs-mesh"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #top { height: 2; padding: 0 1; background: $panel; }
    #detail-scroll { height: 45%; border-top: solid $primary; padding: 0 1; }
    #tree { height: 1fr; }
    Listing { height: 1fr; }
    Screen { overflow: hidden; }
    TabbedContent { height: 1fr; }
    ContentSwitcher { height: 1fr; }
    TabPane { padding: 0; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{name}')", name, show=False) for number, name in enumerate(TABS, 1)),
        Binding("r", "restart", "Restart"),
        Binding("p", "pause", "Pause/resume"),
        Binding("y", "retry", "Retry"),
        Binding("x", "cancel", "Cancel"),
        Binding("t", "trace", "Follow trace"),
        Binding("1", "tab('tree')", "1-6 Tabs"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self, mesh: ConsoleMesh, *, principal: Principal, control: bool = False, period_s: float = 1.0
    ) -> None:
        """Look at ``mesh`` every ``period_s``; with ``control`` the keys that change something do so."""
        super().__init__()
        self._mesh = mesh
        self._principal = principal
        self._control = control
        self._period_s = period_s
        self._last: Snapshot | None = None
        self._before: dict[str, ActorRow] = {}
        self._followed = ""
        # Held, not looked up: what is still being asked when the screen goes finds them all the same.
        self._top = Static(id="top", markup=False)
        self._detail = Static(id="detail", markup=False)
        self._journals = Static(id="journals", markup=False)
        self._log_end = Static(id="log", markup=False)
        self._listings = {
            "tree": Listing(words.TREE_COLUMNS, id="tree"),
            "imports": Listing(words.IMPORT_COLUMNS, id="imports"),
            "jobs": Listing(words.JOB_COLUMNS, id="jobs"),
            "traces": Listing(words.TRACE_COLUMNS, id="traces", mood_column=len(words.TRACE_COLUMNS) - 1),
        }
        self._places: dict[str, Widget] = {
            **self._listings,
            "journals": VerticalScroll(id="journals-scroll"),
            "log": VerticalScroll(id="log-scroll"),
        }
        self._tabs = TabbedContent(initial="tree-tab")

    def compose(self) -> ComposeResult:
        """The bar, the tabs and the keys."""
        yield self._top
        with self._tabs:
            with TabPane("1 Tree", id="tree-tab"), Vertical():
                yield self._listings["tree"]
                with VerticalScroll(id="detail-scroll"):
                    yield self._detail
            with TabPane("2 Imports", id="imports-tab"):
                yield self._listings["imports"]
            with TabPane("3 Jobs", id="jobs-tab"):
                yield self._listings["jobs"]
            with TabPane("4 Journals", id="journals-tab"), self._places["journals"]:
                yield self._journals
            with TabPane("5 Log", id="log-tab"), self._places["log"]:
                yield self._log_end
            with TabPane("6 Traces", id="traces-tab"):
                yield self._listings["traces"]
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._listings["tree"].focus()
        self._work(self._keep_looking, "look")

    # -- looking ----------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._look()
            except MeshError as error:
                self._show_trouble(error)
            await asyncio.sleep(self._period_s)

    async def _look(self) -> None:
        seen = await snapshot(self._mesh)
        since_s = seen.at_s - self._last.at_s if self._last is not None else 0.0
        self._listings["tree"].show(words.tree_lines(seen.rows, self._before, since_s))
        self._listings["imports"].show(words.import_lines(seen.imports))
        self._listings["jobs"].show(words.job_lines(seen.jobs))
        self._last, self._before = seen, {one.name: one for one in seen.rows}
        self._show_top(seen)
        await self._look_closer()

    async def _look_closer(self) -> None:
        """Ask for what the open tab shows beyond the snapshot, and for nothing else."""
        chosen = self._listings["tree"].chosen
        match self.tab:
            case "tree" if chosen:
                await self._fill(self._detail, chosen, self._detail_text)
            case "journals":
                await self._fill(self._journals, "journals", self._journal_text, no_wrap=True)
            case "log" if chosen:
                await self._fill(self._log_end, chosen, self._log_text)
            case "traces":
                hops = await self._mesh.trace(self._followed)
                self._listings["traces"].show(words.trace_lines(hops))
            case _:
                pass

    async def _fill(
        self, where: Static, what: str, text: Callable[[str], Awaitable[str]], *, no_wrap: bool = False
    ) -> None:
        """Write what is told; that nothing can be told of one thing is its own trouble, and not the mesh's."""
        try:
            told = await text(what)
        except MeshError as error:
            told = f"{what}: {error}\n{error.hint}"
        self._write(where, told, no_wrap=no_wrap)

    async def _detail_text(self, chosen: str) -> str:
        return words.detail_text(await self._mesh.inspect(chosen))

    async def _log_text(self, chosen: str) -> str:
        lines = (await self._mesh.tail_log(chosen, n_lines=N_LINES)).lines
        return f"{chosen}\n{words.log_text(lines) or 'nothing yet'}"

    async def _journal_text(self, _: str) -> str:
        names = await self._mesh.journals()
        told = {name: await self._mesh.tail_journal(name, n_records=N_RECORDS) for name in names}
        return words.journal_text(told, n_records=N_RECORDS) or "this node keeps no journals"

    @property
    def tab(self) -> str:
        """The tab that is open."""
        return self._tabs.active.removesuffix("-tab")

    def _write(self, where: Static, text: str, *, no_wrap: bool = False) -> None:
        where.update(Text(shown(text, lines=True), no_wrap=no_wrap, overflow="ellipsis" if no_wrap else None))

    def _show_top(self, seen: Snapshot) -> None:
        mesh, root = seen.mesh, seen.rows[0]
        up_s = max(0, int(time.time() - mesh.started_at_unix_s))
        first = f"hcs-mesh {mesh.version}  {mesh.data}  pid {mesh.pid}  up {timedelta(seconds=up_s)}"
        second = (
            f"{self._principal.name} ({self._principal.role}), {'CONTROL' if self._control else 'read-only'}"
            f"   lag {words.seconds_text(root.loop_lag_s) or '0 ms'}   memory {words.bytes_text(root.memory_bytes)}"
            f"   {mesh.n_actors} actors, {mesh.n_processes} processes, {mesh.n_restarts} restarts"
        )
        if seen.silent:
            second += f"   no answer from: {', '.join(seen.silent)}"
        self._top.update(Text(shown(f"{first}\n{second}", lines=True)))

    def _show_trouble(self, error: MeshError) -> None:
        told = f"the mesh does not answer: {words.first_line(str(error))}\n{words.first_line(error.hint)}"
        self._top.update(Text(shown(told, lines=True), style="bold red"))

    def _work(self, work: Callable[[], Coroutine[Any, Any, None]], group: str, *, exclusive: bool = False) -> None:
        # Handed over as it is called, not as a coroutine, which would be left behind by a screen that goes.
        self.run_worker(cast(Any, work), group=group, exclusive=exclusive)

    # -- keys -------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave: first whoever still asks, then the screen that would show the answer."""
        self.workers.cancel_all()
        self.exit()

    def action_tab(self, name: str) -> None:
        """Open a tab, and look at once at what it shows."""
        self._tabs.active = f"{name}-tab"
        # Once it is there: a focus that stayed behind would bring its own tab back.
        self.call_after_refresh(self._places[name].focus)
        self._work(self._once, "closer", exclusive=True)

    async def on_data_table_row_highlighted(self) -> None:
        """The cursor moved: show what it is on now."""
        self._work(self._once, "closer", exclusive=True)

    async def _once(self) -> None:
        try:
            await self._look_closer()
        except MeshError as error:
            self._show_trouble(error)

    def action_trace(self) -> None:
        """Follow the trace under the cursor, or list the latest again."""
        if self.tab == "traces":
            self._followed = "" if self._followed else self._listings["traces"].chosen
            self._work(self._once, "closer", exclusive=True)

    def action_restart(self) -> None:
        """Restart what is under the cursor."""
        if self.tab == "tree" and self._chosen:
            self._ask(restart(self._mesh, self._chosen))

    def action_pause(self) -> None:
        """Pause what is under the cursor, or resume it."""
        row = self._before.get(self._chosen)
        if self.tab == "tree" and row is not None:
            self._ask(pause_or_resume(self._mesh, row))

    def action_retry(self) -> None:
        """Take up the import or job under the cursor again."""
        self._ask_about_work(retry)

    def action_cancel(self) -> None:
        """Stop the import or job under the cursor."""
        self._ask_about_work(cancel)

    @property
    def _chosen(self) -> str:
        return self._listings[self.tab].chosen if self.tab in self._listings else ""

    def _ask_about_work(self, deed: Callable[[ConsoleMesh, str, str], Deed]) -> None:
        if self.tab in ("imports", "jobs") and self._chosen:
            self._ask(deed(self._mesh, self.tab, self._chosen))

    def _ask(self, deed: Deed) -> None:
        if not self._control:
            self.notify("read-only: start with hcs-mesh console --control", severity="warning")
            return

        def answered(confirmed: bool | None) -> None:  # noqa: FBT001
            if confirmed:
                self._work(functools.partial(self._do, deed), "deeds")

        self.push_screen(Confirmation(deed.question, deed.consequence), answered)

    async def _do(self, deed: Deed) -> None:
        try:
            await deed.perform()
        except MeshError as error:
            self.notify(
                shown(f"{error}  {error.hint}"), title=deed.question, severity="error", timeout=10, markup=False
            )
        else:
            self.notify("done", title=deed.question, markup=False)
