"""``hcs-mesh config``: what is set, by whom, and whether it is good."""

from __future__ import annotations

import typer

from .options import Config, Data, Json

config_app = typer.Typer(no_args_is_help=True, help="Show or check the settings.")


@config_app.command("show")
def config_show(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Print every setting as TOML, with the place that decided it."""
    from . import running

    running.show_config(data, config, as_json=as_json)


@config_app.command("check")
def config_check(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Say whether every setting is known, within its bounds, and holds on this computer."""
    from . import running

    running.check_config(data, config, as_json=as_json)
