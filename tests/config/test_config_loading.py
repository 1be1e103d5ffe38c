"""Settings come from a file, the environment and the command line, and say what is wrong with them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.config import (
    ConfigError,
    DeviceSettings,
    LimitSettings,
    Settings,
    check_settings,
    data_folder,
    load_settings,
    to_toml,
)
from hcs_mesh.config.bounded_text import LONGEST_KEPT
from hcs_mesh.config.fields import expectation, field_types
from hcs_mesh.config.settings import LEAST_MESSAGE_BYTES
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.transport.codec import encode

FLOAT = msgspec.inspect.FloatType


@pytest.fixture(autouse=True)
def no_file_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_args, **_kwargs: tmp_path / "nobody")


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_file_and_environment_every_setting_is_its_default() -> None:
    loaded = load_settings(environ={})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_a_later_place_wins_and_is_named_as_the_origin(tmp_path: Path) -> None:
    path = written(tmp_path, "shutdown_s = 5\n[imports]\nsettle_scans = 3\ntransfer_threads = 4\n")
    loaded = load_settings(path, environ={"HCS_MESH__IMPORTS__SETTLE_SCANS": "7"})
    assert loaded.settings.shutdown_s == 5.0
    assert loaded.settings.imports.settle_scans == 7
    assert loaded.settings.imports.transfer_threads == 4
    assert loaded.origins["imports.settle_scans"] == "HCS_MESH__IMPORTS__SETTLE_SCANS"
    assert loaded.origins["imports.transfer_threads"] == str(path)
    assert loaded.origins["imports.settle_s"] == "default"


def test_the_data_folder_comes_from_the_option_then_the_environment_then_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[data]\nfolder = "from-file"\n')
    environ = {"HCS_MESH_DATA": str(tmp_path / "from-environment")}
    by_option = load_settings(path, data=tmp_path / "from-option", environ=environ)
    assert data_folder(by_option.settings) == tmp_path / "from-option"
    assert by_option.origins["data.folder"] == "--data"
    assert data_folder(load_settings(path, environ=environ).settings) == tmp_path / "from-environment"
    assert data_folder(load_settings(path, environ={}).settings) == tmp_path / "from-file"
    assert data_folder(Settings()).is_absolute()


def test_a_file_named_by_the_environment_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "shutdown_s = 5\n")
    assert load_settings(environ={"HCS_MESH_CONFIG": str(path)}).settings.shutdown_s == 5.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[imports]\nsettle_scan = 3\n", ["imports.settle_scan is not a setting", "imports.settle_scans"]),
        ("[import]\nsettle_s = 3\n", ["import.settle_s is not a setting", "imports.settle_s"]),
        ("shutdown = 3\n", ["shutdown is not a setting", "shutdown_s"]),
        ("settle_scans = 3\n", ["settle_scans is not a setting", "imports.settle_scans"]),
        ("imports = 3\n", ["imports is not a setting"]),
        ("[imports]\nsettle_scans = 'two'\n", ["imports.settle_scans is 'two'", "a whole number from 1 to 100000"]),
        ("[imports]\nsettle_scans = 0\n", ["imports.settle_scans is 0", "from 1 to 100000"]),
        ("[front]\ntcp_port = 65000\n", ["front.tcp_port is 65000", "from 1 to 64535"]),
        ("[log]\nlevel = 'loud'\n", ["log.level is 'loud'", '"warning"']),
        ("shutdown_s = 0\n", ["shutdown_s is 0", "above 0 and at most 31622400"]),
        ("[imports]\nheld_floor_gib = inf\n", ["imports.held_floor_gib is inf", "from 0 to 1073741824"]),
        ("[imports]\ntransfer_threads = 100000\n", ["imports.transfer_threads is 100000", "from 1 to 1024"]),
        ("shutdown_s = true\n", ["shutdown_s is True", "a number"]),
    ],
)
def test_a_wrong_setting_is_refused_with_file_key_and_expectation(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        load_settings(path, environ={})
    said = f"{refusal.value} {refusal.value.hint}"
    assert str(path) in said
    for part in parts:
        assert part in said
    assert isinstance(refusal.value, ValueError)


def test_every_wrong_setting_is_reported_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "[imports]\nsettle_scan = 3\nsettle_s = -1\n")
    with pytest.raises(ConfigError) as refusal:
        load_settings(path, environ={"HCS_MESH__LOG__LEVLE": "info"})
    assert len(str(refusal.value).splitlines()) == 3
    assert "HCS_MESH__LOG__LEVLE: log.levle is not a setting" in str(refusal.value)
    assert "Did you mean log.level?" in refusal.value.hint


def test_settings_at_odds_with_each_other_are_refused_with_both_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "[streams]\nring_slots = 4\ncredits_per_viewer = 4\n")
    with pytest.raises(ConfigError, match=r"credits_per_viewer \(4\) must be below streams.ring_slots \(4\)"):
        load_settings(path, environ={})


def test_a_bound_on_messages_that_no_mesh_can_live_with_is_refused_with_the_least_that_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, f"[limits]\nmessage_bytes = {LEAST_MESSAGE_BYTES - 1}\n")
    with pytest.raises(ConfigError, match=rf"limits\.message_bytes .*{LEAST_MESSAGE_BYTES}"):
        load_settings(path, environ={})
    least = written(tmp_path, f"[limits]\nmessage_bytes = {LEAST_MESSAGE_BYTES}\n")
    assert load_settings(least, environ={}).settings.limits == LimitSettings(message_bytes=LEAST_MESSAGE_BYTES)


def test_what_a_mesh_says_of_many_devices_of_which_some_have_failed_fits_in_its_least_message() -> None:
    row = ActorRow(name="executor.cuda1023", parent="slot.cuda1023", kind="process", pid=4_194_304, state="running")
    failed = msgspec.structs.replace(row, last_error="x" * LONGEST_KEPT)
    # A slot and a process each, for as many cores as there may be and 64 GPUs; a hundred of them are in trouble.
    assert len(encode((row,) * 2 * (256 + 64 - 100) + (failed, row) * 100)) < LEAST_MESSAGE_BYTES


@pytest.mark.parametrize("content", [b"[imports\n", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not TOML"):
        load_settings(path, environ={})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml", environ={})


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("HCS_MESH__DEVICES__GPU", "[0, 1]", "gpu", (0, 1)),
        ("HCS_MESH__DEVICES__GPU", "off", "gpu", "off"),
        ("HCS_MESH__DEVICES__CPU_SLOTS", "3", "cpu_slots", 3),
        ("HCS_MESH__DEVICES__CPU_SLOTS", "auto", "cpu_slots", "auto"),
    ],
)
def test_a_variable_holds_a_value_or_plain_text(name: str, text: str, key: str, value: object) -> None:
    assert getattr(load_settings(environ={name: text}).settings.devices, key) == value


def test_what_is_shown_as_toml_loads_to_the_same_settings(tmp_path: Path) -> None:
    environ = {"HCS_MESH__DEVICES__GPU": "[0, 1]", "HCS_MESH_DATA": '/data/"Ångström"', "HCS_MESH__SHUTDOWN_S": "2.5"}
    loaded = load_settings(environ=environ)
    text = to_toml(loaded)
    assert 'folder = "/data/\\"Ångström\\""  # HCS_MESH_DATA' in text
    assert load_settings(written(tmp_path, text), environ={}).settings == loaded.settings


def test_settings_made_in_python_are_checked_when_asked() -> None:
    assert check_settings(Settings()) == Settings()
    with pytest.raises(ConfigError, match=r"devices.cpu_slots is -1, but must be a whole number from 0 to 256"):
        check_settings(Settings(devices=DeviceSettings(cpu_slots=-1)))


def numbers_of(info: msgspec.inspect.Type, key: str) -> Iterator[tuple[str, msgspec.inspect.Type]]:
    match info:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            yield key, info
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from numbers_of(one, key)
        case msgspec.inspect.VarTupleType(item_type=item):
            yield from numbers_of(item, key)
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                yield from numbers_of(field.type, f"{key}.{field.name}")
        case _:
            pass


def test_every_number_of_the_settings_ends_on_both_sides() -> None:
    found = [one for key, kind in field_types().items() for one in numbers_of(msgspec.inspect.type_info(kind), key)]
    assert {"guest.limit_mib_s", "watch.look_s", "devices.gpu"} <= {key for key, _ in found}
    endless = [
        key
        for key, info in found
        if getattr(info, "le", None) is None or (info.ge is None and getattr(info, "gt", None) is None)  # type: ignore[attr-defined]
    ]
    assert not endless


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_to_reckon_with_is_refused_in_every_place_for_one(value: float) -> None:
    flat = {
        key: info for key, kind in field_types().items() if isinstance(info := msgspec.inspect.type_info(kind), FLOAT)
    }
    assert len(flat) > 20
    for key in flat:
        with pytest.raises(ConfigError, match=f"{key} is"):
            load_settings(environ={f"HCS_MESH__{key.upper().replace('.', '__')}": str(value)})


def test_every_setting_has_a_type_that_can_be_said_in_words() -> None:
    assert all(expectation(kind) for kind in field_types().values())


@pytest.mark.parametrize(("n_cores", "n_slots"), [(1, 1), (2, 2), (64, 8)])
def test_cpu_slots_follow_the_cores_and_stop_at_eight(n_cores: int, n_slots: int) -> None:
    assert DeviceSettings().n_cpu_slots(n_cores) == n_slots
    assert DeviceSettings(cpu_slots=3).n_cpu_slots(n_cores) == 3


def test_settings_travel_to_a_child_process_whole() -> None:
    settings = Settings(devices=DeviceSettings(cpu_slots=3, gpu=(0, 1)))
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
