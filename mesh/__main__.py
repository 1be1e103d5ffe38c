"""The command line: arguments to calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
import typer.main

from .command_line import inside_commands
from .command_line.agent_commands import agent, agents
from .command_line.config_commands import config_app
from .command_line.failures import CommandLine, tell_unexpected
from .command_line.import_commands import import_, imports_app
from .command_line.job_commands import jobs_app
from .command_line.journal_commands import journal_app
from .command_line.key_commands import keys_app
from .command_line.notice_commands import notices_app
from .command_line.omero_commands import omero_app
from .command_line.options import Config, Data, Json, Key, MeshKey, Wait, folder_of, full_id, wells_of
from .command_line.service_commands import service_app

CONTEXT = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(cls=CommandLine, no_args_is_help=True, pretty_exceptions_enable=False, context_settings=CONTEXT)
app.add_typer(imports_app, name="imports")
app.add_typer(jobs_app, name="jobs")
app.add_typer(config_app, name="config")
app.add_typer(journal_app, name="journal")
app.add_typer(keys_app, name="keys")
app.add_typer(notices_app, name="notices")
app.add_typer(omero_app, name="omero")
app.add_typer(service_app, name="service")

for _command in inside_commands.COMMANDS:
    app.command()(_command)


def _print_version(*, value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"hcs-mesh {version('hcs-mesh')}")
        raise typer.Exit


@app.callback()
def _hcs_mesh(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The mesh's data folder.")] = None,
    mesh: Annotated[
        str,
        typer.Option("--mesh", metavar="CARD|tcp://HOST:PORT", envvar="HCS_MESH_ADDRESS", help="A mesh elsewhere."),
    ] = "",
    mesh_key: Annotated[
        str,
        typer.Option(
            "--mesh-key", metavar="PUBLIC|FILE", envvar="HCS_MESH_PUBLIC_KEY", help="Its public key, without a card."
        ),
    ] = "",
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", envvar="HCS_MESH_KEY", help="Your key.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Import, analyse and see plates as they appear, on a mesh of small supervised services."""
    if mesh:
        from .command_line.reaching import choose

        choose(mesh, mesh_key, key, context.invoked_subcommand or "")


@app.command()
def up(
    config: Config = None,
    data: Data = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Let others in by TCP.")] = "",
    join: Annotated[
        str, typer.Option("--join", metavar="CARD|HOST:PORT", help="Be a node of the mesh there, with --key.")
    ] = "",
    key: Key = None,
    mesh_key: MeshKey = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Log to the file in the data folder alone.")] = False,
    as_json: Json = False,
) -> None:
    """Start the mesh, or a node of one elsewhere: here until Ctrl-C, or by itself with --detach."""
    from .command_line import running

    join_to = running.joining(join, mesh_key, key)
    running.start(data, config, listen, detach=detach, quiet=quiet, join=join_to, as_json=as_json)


@app.command()
def down(
    data: Data = None,
    key: Key = None,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Stop the mesh in order; that none is up is success."""
    from .command_line import running

    running.stop(data, key, timeout, as_json=as_json)


@app.command()
def status(data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """Say whether the mesh is up, and what it is."""
    from .command_line import asking

    asking.status(asking.Question(data, key, as_json))


@app.command()
def ps(data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """Show everything that runs: state, pid, restarts, mailbox, last error."""
    from .command_line import asking

    asking.tree(asking.Question(data, key, as_json))


app.command("import")(import_)
app.command()(agent)
app.command()(agents)


@app.command()
def watches(data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """List the watched folders: whether each is there, what waits in it, what was handed over, what came late."""
    from .command_line import asking, watches

    watches.list_all(asking.Question(data, key, as_json))


@app.command()
def verify(
    certificate: Annotated[str, typer.Argument(metavar="CERTIFICATE", help="Its file, or the import's id.")],
    signature_only: Annotated[
        bool, typer.Option("--signature-only", help="Check the signature and read no file again.")
    ] = False,
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="The fingerprint of the key that is due, as the mesh's owner says it.")
    ] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Read again what a certificate names, past the page cache; a mesh may be up or down."""
    from .command_line import verifying

    verifying.verify(data, certificate, signature_only=signature_only, fingerprint=fingerprint, as_json=as_json)


@app.command()
def plates(data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """List the plates; ends with 3 where a place cannot list its own, which is told with the others.

    Images in OMERO that lie on no plate are not listed, and not analysed.
    """
    from .command_line import asking

    asking.plates(asking.Question(data, key, as_json))


@app.command()
def plate(
    id: Annotated[int, typer.Argument(metavar="ID", help="The plate's number.")],  # noqa: A002
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show the structure of one plate."""
    from .command_line import asking

    asking.plate(asking.Question(data, key, as_json), id)


@app.command()
def run(
    plate: Annotated[int, typer.Argument(metavar="PLATE", help="The plate's number.")],
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE.py", help="The pipeline's source.")],
    wells: Annotated[str | None, typer.Option("--wells", metavar="A01,B02", help="Only these wells.")] = None,
    results_in: Annotated[
        str, typer.Option("--results-in", metavar="PLACE", help="Refuse where results would go to another place.")
    ] = "",
    wait: Wait = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline on a plate; prints the job's id at once."""
    from .command_line import asking, handing_over

    question = asking.Question(data, key, as_json)
    handing_over.run_pipeline(question, plate, pipeline, wells=wells_of(wells), wait=wait, results_in=results_in)


@app.command()
def results(
    job: Annotated[str, typer.Argument(metavar="JOB", help="As it was printed, or its number.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Else ./JOB-results.")] = None,
    planes: Annotated[bool, typer.Option("--planes", help="Copy label and processed planes too.")] = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Write a job's tables as CSV, heat maps as PNG, and one page that opens without network."""
    from .command_line import asking, handing_over

    handing_over.take_results(asking.Question(data, key, as_json), job, out=out, planes=planes)


@app.command()
def view(
    viewer: Annotated[Literal["napari", "recorder"], typer.Argument(help="What to open.")] = "napari",
    job: Annotated[str, typer.Option("--job", metavar="J", help="Show this job instead of the latest.")] = "",
    plate: Annotated[int, typer.Option("--plate", metavar="N", help="Show this plate instead of the latest.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the recorder writes.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--detach", help="Stay until the viewer has ended.")] = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Open a viewer on the running mesh, now or later."""
    from .command_line import running

    job = full_id("job", job) if job else ""
    running.view(viewer, data, key, job=job, plate=plate, out=out, wait=wait, as_json=as_json)


@app.command()
def demo(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A folder that is the demo's own.")] = Path(
        "demo-data"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the mesh running at the end.")] = False,
    as_json: Json = False,
) -> None:
    """Do all of it on a generated plate: import, run, stream, a kill and the recovery, the report."""
    from .command_line.demo import run_demo

    run_demo(data.absolute(), keep=keep, as_json=as_json)


@app.command()
def doctor(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Check this computer, and say what is missing and the command that mends it."""
    from .command_line import running

    running.examine(data, config, as_json=as_json)


@app.command()
def web(
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes any free one.")] = 8080,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show the running mesh in a browser on this computer."""
    import asyncio

    from .command_line.serving import serve_pages

    asyncio.run(serve_pages(folder_of(data), port=port, key=key, as_json=as_json))


def main() -> None:
    """Run the command line."""
    sys.excepthook = tell_unexpected
    # Not app(): that would put its own hook for unexpected errors in the place of ours.
    typer.main.get_command(app)(prog_name="hcs-mesh")


if __name__ == "__main__":
    main()
