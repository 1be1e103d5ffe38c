"""Settings from a TOML file and the environment, with every wrong key reported at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import platformdirs

from .errors import ConfigError
from .fields import expectation, field_types, flatten
from .settings import LoadedSettings, Settings

ENVIRONMENT_PREFIX = "HCS_MESH__"
DATA_VARIABLE = "HCS_MESH_DATA"
CONFIG_VARIABLE = "HCS_MESH_CONFIG"
DEFAULT = "default"


class _Given(NamedTuple):
    """One value that somebody gave, before it is checked."""

    key: str
    value: object
    origin: str


def load_settings(
    config: Path | None = None, *, data: Path | None = None, environ: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Read the settings; what stands later wins: file, HCS_MESH__SECTION__KEY, HCS_MESH_DATA, ``data``.

    Without ``config`` the file is the one that HCS_MESH_CONFIG names, else ``settings.toml`` in the
    user's configuration folder where that exists.

    Raises:
        ConfigError: When the file cannot be read, or any value is unknown, of the wrong type or out of bounds.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, _Given] = {}
    wrong: list[_Wrong] = []
    for entry in _entries(config, data, environ):
        checked = _checked(entry)
        if isinstance(checked, _Wrong):
            wrong.append(checked)
        else:
            given[entry.key] = checked
    if wrong:
        raise _refusal(wrong)
    origins = {key: given[key].origin if key in given else DEFAULT for key in field_types()}
    return LoadedSettings(_build({key: entry.value for key, entry in given.items()}), origins)


def check_settings(settings: Settings) -> Settings:
    """Return ``settings`` once every value is known to be of its type and within its bounds.

    Structs made in Python are not checked when they are made; an embedder's settings pass here.

    Raises:
        ConfigError: When a value is of the wrong type or out of bounds.
    """
    entries = [_Given(key, value, "settings") for key, value in flatten(settings).items()]
    wrong = [checked for checked in map(_checked, entries) if isinstance(checked, _Wrong)]
    if wrong:
        raise _refusal(wrong)
    return settings


def data_folder(settings: Settings) -> Path:
    """The absolute folder in which this mesh keeps its data, whether it exists or not."""
    folder = settings.data.folder
    chosen = Path(folder).expanduser() if folder else platformdirs.user_data_path("hcs-mesh", appauthor=False)
    return chosen.absolute()


class _Wrong(NamedTuple):
    message: str
    hint: str


def _entries(config: Path | None, data: Path | None, environ: Mapping[str, str]) -> Iterator[_Given]:
    path = _config_file(config, environ)
    if path is not None:
        yield from _file_entries(path)
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            yield _Given(key, _environment_value(key, environ[name]), name)
    if environ.get(DATA_VARIABLE):
        yield _Given("data.folder", environ[DATA_VARIABLE], DATA_VARIABLE)
    if data is not None:
        yield _Given("data.folder", str(data.absolute()), "--data")


def _config_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is not None:
        return config
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    usual = platformdirs.user_config_path("hcs-mesh", appauthor=False) / "settings.toml"
    return usual if usual.is_file() else None


def _file_entries(path: Path) -> Iterator[_Given]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The settings file {path} cannot be read: {error.strerror}.",
            hint="Name a file that exists and that you may read, or leave --config out.",
        ) from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise ConfigError(f"{path} is not TOML: {error}.", hint="Mend the file at the place named.") from error
    for name, value in tree.items():
        if isinstance(value, dict) and name not in field_types():
            if not value and not _is_section(name):
                yield _Given(name, value, str(path))
            yield from (_Given(f"{name}.{field}", item, str(path)) for field, item in value.items())
        else:
            yield _Given(name, value, str(path))


def _is_section(name: str) -> bool:
    return any(key.startswith(f"{name}.") for key in field_types())


def _environment_value(key: str, text: str) -> object:
    """A variable's text as the value it stands for: text for text, else a TOML value, else text as it is."""
    if field_types().get(key) is str:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(given: _Given) -> _Given | _Wrong:
    types = field_types()
    if given.key not in types:
        return _unknown(given)
    if given.key == "data.folder" and given.origin != "settings" and isinstance(given.value, str):
        given = given._replace(value=_resolved_folder(given))
    # A struct made in Python passes as it is: only what it is made of is looked at.
    plain = msgspec.to_builtins(given.value) if given.origin == "settings" else given.value
    try:
        return given._replace(value=msgspec.convert(plain, types[given.key], strict=True))
    except msgspec.ValidationError as error:
        told = f" ({error})" if _holds_tables(given.value) else ""
        return _Wrong(
            f"{given.origin}: {given.key} is {given.value!r}, but must be {expectation(types[given.key])}{told}.",
            f"Give {given.key} a value of that kind.",
        )


def _holds_tables(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _resolved_folder(given: _Given) -> str:
    """A folder named in a file is meant from where the file lies, so that the mesh finds it from anywhere."""
    folder = Path(str(given.value)).expanduser()
    from_file = given.origin.endswith(".toml")
    return str((Path(given.origin).parent / folder if from_file else folder).absolute()) if given.value else ""


def _unknown(given: _Given) -> _Wrong:
    known = list(field_types())
    near = difflib.get_close_matches(given.key, known, n=1, cutoff=0.0 if "." in given.key else 0.4)
    if not near:
        near = [key for key in known if key.rpartition(".")[2] == given.key]
    guess = f"Did you mean {near[0]}? " if near else ""
    return _Wrong(
        f"{given.origin}: {given.key} is not a setting.", f"{guess}'hcs-mesh config show' lists every setting."
    )


def _refusal(wrong: list[_Wrong]) -> ConfigError:
    hints = dict.fromkeys(entry.hint for entry in wrong)
    return ConfigError("\n".join(entry.message for entry in wrong), hint="\n".join(hints))


def _build(values: Mapping[str, object]) -> Settings:
    sections: dict[str, dict[str, object]] = {}
    top: dict[str, Any] = {}
    for key, value in values.items():
        section, _, field = key.rpartition(".")
        if section:
            sections.setdefault(section, {})[field] = value
        else:
            top[field] = value
    for name, fields in sections.items():
        top[name] = msgspec.structs.replace(getattr(Settings(), name), **fields)
    return Settings(**top)
