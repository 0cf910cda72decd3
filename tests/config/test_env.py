"""Settings come from the environment, typed, and a wrong one says its name and how to set it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import env
from config.env import BadSetting


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THING", "THING_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_it_reads_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", " as it is ")
    assert env.text("THING") == " as it is "


def test_it_reads_the_file_that_is_named_without_the_line_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("THING_FILE", str(tmp_path / "secret"))
    assert env.text("THING") == "from a file"


def test_the_variable_itself_goes_before_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file")
    monkeypatch.setenv("THING_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("THING", "from the variable")
    assert env.text("THING") == "from the variable"


def test_it_names_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THING_FILE", str(tmp_path / "none"))
    with pytest.raises(BadSetting, match=r"^THING_FILE names .*none', which cannot be read: No such file"):
        env.text("THING")


def test_it_names_a_file_that_is_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv("THING_FILE", str(tmp_path / "secret"))
    with pytest.raises(BadSetting, match=r"^THING_FILE names .* no text in UTF-8\.$"):
        env.text("THING", "default")


def test_a_missing_setting_says_how_to_set_it() -> None:
    with pytest.raises(BadSetting) as caught:
        env.text("THING", hint="one,two")
    expected = "THING is not set: export THING=one,two, or THING_FILE=/path/of/a/file that holds it."
    assert str(caught.value) == expected


def test_an_empty_setting_is_as_good_as_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "")
    with pytest.raises(BadSetting, match=r"^THING is empty: export THING=\.\.\., or THING_FILE="):
        env.text("THING")
    assert env.text("THING", "default") == ""


@pytest.mark.parametrize(
    ("said", "meant"), [("1", True), ("Yes", True), ("on", True), ("0", False), ("FALSE", False), ("", False)]
)
def test_it_reads_a_flag(monkeypatch: pytest.MonkeyPatch, said: str, meant: bool) -> None:
    monkeypatch.setenv("THING", said)
    assert env.flag("THING", default=not meant) is meant


def test_it_refuses_a_flag_that_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "maybe")
    with pytest.raises(BadSetting, match=r"^THING='maybe' is neither true nor false: set it to 1 or 0\.$"):
        env.flag("THING", default=True)


@pytest.mark.parametrize("said", ["abc", "", "-1", "1.5", "0", "11", "²", "٣", "1 "])
def test_it_refuses_what_is_no_whole_number_in_range(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("THING", said)
    with pytest.raises(BadSetting, match=r"^THING=.* is not a whole number from 1 to 10: set it to one\.$"):
        env.whole("THING", 5, least=1, most=10)


def test_it_reads_a_whole_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.whole("THING", 5) == 5
    monkeypatch.setenv("THING", "10")
    assert env.whole("THING", 5, least=1, most=10) == 10


def test_it_reads_one_of_several_words_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.choice("THING", "RED", of=("RED", "BLUE")) == "RED"
    monkeypatch.setenv("THING", "blue")
    assert env.choice("THING", "RED", of=("RED", "BLUE")) == "BLUE"
    monkeypatch.setenv("THING", "green")
    with pytest.raises(BadSetting, match=r"^THING='GREEN' is unknown: set it to one of RED, BLUE\.$"):
        env.choice("THING", "RED", of=("RED", "BLUE"))


def test_it_splits_words_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", " a.example ,,.b.example,")
    assert env.words("THING") == ["a.example", ".b.example"]


def test_it_refuses_words_that_name_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", " , ")
    with pytest.raises(BadSetting, match=r"^THING names nothing: export THING=a\.example\.$"):
        env.words("THING", hint="a.example")
    assert env.words("THING", "a") == []


def test_it_reads_a_database_with_escaped_characters_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "postgresql://us%40er:p%2Fw%3A@db.example:6543/day%20book?sslmode=require")
    assert env.database("THING") == {
        "NAME": "day book", "USER": "us@er", "PASSWORD": "p/w:", "HOST": "db.example", "PORT": "6543",
        "OPTIONS": {"sslmode": "require"},
    }  # fmt: skip


def test_it_reads_a_database_behind_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "postgres://me@/db?host=%2Frun%2Fpg&port=5433")
    found = env.database("THING")
    assert (found["HOST"], found["PORT"], found["PASSWORD"], found["OPTIONS"]) == ("/run/pg", "5433", "", {})


@pytest.mark.parametrize(
    "url",
    [
        "nonsense", "mysql://me:hunter2@host/db", "postgresql://host/db", "postgresql://me:hunter2@host",
        "postgresql://me:hunter2@host:port/db", "postgresql://me:hunter2@host:99999/db", "postgresql://me:hunter2@[::1/db",
        "postgresql://me:hun/ter2@host/db", "postgresql://me:hun#ter2@host/db",
    ],
)  # fmt: skip
def test_it_refuses_a_malformed_database_without_telling_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("THING", url)
    with pytest.raises(BadSetting) as caught:
        env.database("THING")
    assert str(caught.value).startswith("THING is not of the form postgresql://login:password@host:5432/database")
    assert "hun" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_it_refuses_a_port_option_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "postgresql://me@/db?host=/run&port=many")
    with pytest.raises(BadSetting, match=r"^THING: the port 'many' is not a number\.$"):
        env.database("THING")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("console:", env.Mail("django.core.mail.backends.console.EmailBackend")),
        ("dummy:", env.Mail("django.core.mail.backends.dummy.EmailBackend")),
        ("smtp://relay", env.Mail("django.core.mail.backends.smtp.EmailBackend", "relay")),
        (
            "smtp+tls://me%40x.example:p%2Fw@mail.example",
            env.Mail(
                "django.core.mail.backends.smtp.EmailBackend", "mail.example", 587, "me@x.example", "p/w", starttls=True
            ),
        ),
        (
            "smtps://mail.example:4650",
            env.Mail("django.core.mail.backends.smtp.EmailBackend", "mail.example", 4650, tls=True),
        ),
    ],
)
def test_it_reads_how_mail_leaves(monkeypatch: pytest.MonkeyPatch, url: str, found: env.Mail) -> None:
    monkeypatch.setenv("THING", url)
    assert env.mail("THING", "console:") == found


@pytest.mark.parametrize(
    "url", ["mail.example", "smtp://", "smtp://me:hunter2@host/x", "imap://me:hunter2@host", "smtp://me:hun/ter2@h:x"]
)
def test_it_refuses_a_malformed_mail_server_without_telling_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("THING", url)
    with pytest.raises(BadSetting, match=r"^THING is neither console: nor dummy: nor of the form") as caught:
        env.mail("THING", "console:")
    assert "hun" not in str(caught.value)
