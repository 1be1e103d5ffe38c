"""Settings of notices: arrays of tables, and what a login must not do."""

from pathlib import Path

import pytest

from hcs_mesh.config import ConfigError, MailSettings, Settings, WebhookSettings, check_settings, load_settings, to_toml

TWO = """
[mail]
host = "localhost"
sender = "mesh@example.org"
administrators = ["root@example.org"]
[[webhook]]
url = "https://one.example.org/x"
[[webhook]]
url = "https://one.example.org/y"
name = "other"
events = ["import.failed"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_webhooks_are_an_array_of_tables_and_survive_being_shown(tmp_path: Path) -> None:
    loaded = load_settings(written(tmp_path, TWO), environ={})
    assert [one.label for one in loaded.settings.webhook] == ["one.example.org", "other"]
    assert loaded.settings.webhook[1].events == ("import.failed",)
    assert load_settings(written(tmp_path, to_toml(loaded)), environ={}).settings == loaded.settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWO.replace("events", "evnts"), "unknown field `evnts`"),
        (TWO.replace('"import.failed"', '"import.lost"'), "import.lost"),
        (TWO.replace('name = "other"', ""), "two webhooks are called 'one.example.org'"),
        ('[[webhook]]\nurl = "ftp://x"\n', "must begin with http"),
        ('[[webhook]]\nurl = "http://x"\nsecret_file = "s"\n', "no absolute path"),
        ('[mail]\nhost = "x"\n', "is no mail address"),
        ('[mail]\nuser = "x"\npassword_file = "p"\n', "no absolute path"),
        ('[mail]\nhost = "x"\nsender = "a@b"\nuser = "x"\npassword_file = "/p"\nsecurity = "none"\n', "in the clear"),
        ('[mail]\nsender = "mesh@example.org\\nBcc: eve@example.org"\n', "is no mail address"),
        ('[mail]\nadministrators = ["root@example.org", "x y"]\n', "mail.administrators names 'x y'"),
        ("[notices]\nfirst_retry_s = 1000\n", "above notices.longest_retry_s"),
    ],
)
def test_a_notice_setting_that_cannot_be_right_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_settings(written(tmp_path, text), environ={})
    assert said in str(refusal.value)


def test_webhooks_made_in_python_are_checked_field_by_field() -> None:
    assert check_settings(Settings(webhook=(WebhookSettings(url="http://x"),)))
    with pytest.raises(ConfigError, match="webhook is"):
        check_settings(Settings(webhook=(WebhookSettings(url="http://x", timeout_s=-1.0),)))


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_the_port_follows_the_security(security: str, port: int) -> None:
    settings = MailSettings(security=security)  # type: ignore[arg-type]
    assert settings.server_port == port
    assert MailSettings(port=2525).server_port == 2525
