"""Whether settings hold here: what they say of other rooms' words, of files and of folders on this computer."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

from ..actors.watching.wishes import check_wishes
from ..config import ConfigError, Settings, data_folder
from ..config.watch_settings import check_watches


def check_here(settings: Settings) -> None:
    """Refuse what a mesh of this computer would refuse when it starts, or stumble over later.

    Raises:
        ConfigError: Watched folders are to become what none can, or hold the data folder; there is no jar where one is
            named; or two roots lead to one folder.
    """
    check_watches(settings.watch, str(data_folder(settings)))
    check_wishes(settings.watch)
    jar = settings.bioformats.jar
    if jar and not Path(jar).is_file():
        raise ConfigError(
            f"bioformats.jar is {jar!r}, and there is no such file here.",
            hint="Give the whole path of bioformats_package.jar, or leave jar out.",
        )
    # A mesh does not ask when it starts: a link into a mount that hangs would keep it from starting.
    real = [(root.path, os.path.realpath(root.path)) for root in settings.imports.roots]
    for (one, place), (other, same) in combinations(real, 2):
        if place == same:
            raise ConfigError(
                f"the imports.roots {one!r} and {other!r} are both {place!r}.",
                hint="Keep one [[imports.roots]] of each folder, with all of its users.",
            )
