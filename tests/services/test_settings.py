"""Which settings may start a server, and what is said of those that must not."""

from pathlib import Path

import pytest

from solrouter import config, create_app
from solrouter.config import UnsafeConfiguration
from tests.conftest import ROOT, settings

LONG = "a-former-secret-that-is-long-enough-to-be-used"


def load(tmp_path: Path, **named: str) -> dict[str, object]:
    return config.load(settings("", tmp_path, **named), instance_path=tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "abc", "must be a whole number"),
        ("PORT", "99999", "must be 65535 at most"),
        ("PORT", "-1", "must not be negative"),
        ("SOLROUTER_BODY_BYTES_MAX", "32MB", "must be a whole number"),
        ("SOLROUTER_BODY_BYTES_MAX", "0", "must be 1 or more"),
        ("SOLROUTER_FORM_BYTES_MAX", "0", "must be 1 or more"),
        ("SOLROUTER_MESSAGES_MAX", "0", "must be 1 or more"),
        ("SOLROUTER_ATTEMPTS_MAX", "0", "must be 1 or more"),
        ("SOLROUTER_DB_POOL_SIZE", "0", "must be 1 or more"),
        ("SOLROUTER_LEASE_S", "0", "must be 3 or more"),
        ("SOLROUTER_DRAIN_S", "20s", "must be a number of seconds, without a unit"),
        ("SOLROUTER_DRAIN_S", "nan", "must be a number of seconds, without a unit"),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "must be a number between 0 and 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "must be a number between 0 and 1"),
        ("SOLROUTER_WEBHOOK_NETWORKS", "intranet", "intranet is no network, such as 10.0.0.0/8"),
        ("SOLROUTER_WEBHOOK_NETWORKS", "10.1.2.3/8", "the network is 10.0.0.0/8"),
        ("SOLROUTER_MARGIN_PERCENT", "abc", "must be a number, such as 5.5"),
        ("SOLROUTER_MARGIN_PERCENT", "-100", "must be more than -100, and 1000 at most"),
        ("SOLROUTER_ALLOWED_HOSTS", "https://llm.example.com", "a host name without https://"),
        ("SOLROUTER_ALLOWED_HOSTS", "a.example, b.example/", "a host name without https://"),
        ("SOLROUTER_ALLOWED_HOSTS", "*", "a host name without https://"),
        ("SOLROUTER_BASE_URL", "https://", "must begin with http:// or https:// and a host"),
        ("SOLROUTER_BASE_URL", "llm.example.com", "must begin with http:// or https:// and a host"),
        ("SOLROUTER_BASE_URL", "https://[bad/x", "must begin with http:// or https:// and a host"),
        ("SOLROUTER_BASE_URL", "https://h:port", "must begin with http:// or https:// and a host"),
        ("SOLROUTER_BASE_URL", "https://llm.example.com/v1?x=y", "must end before ? and #"),
    ],
)
def test_a_value_that_breaks_the_server_is_refused(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    with pytest.raises(UnsafeConfiguration) as refused:
        load(tmp_path, **{name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert words in str(refused.value)
    assert "base 10" not in str(refused.value)


def test_what_is_taken(tmp_path: Path) -> None:
    named = {
        "PORT": "65535",
        "SOLROUTER_LEASE_S": "3",
        "SOLROUTER_ALLOWED_HOSTS": "llm.example.com, [::1], 127.0.0.1:8000",
        "SOLROUTER_BASE_URL": "https://llm.example.com:8443/",
        "SOLROUTER_MARGIN_PERCENT": " 5.5 ",
        "SOLROUTER_WEBHOOK_NETWORKS": "10.0.0.0/8, fd00:0::/8, 192.0.2.1",
        "SECRET_KEY_FALLBACKS": LONG,
        "SENTRY_DSN": "https://public@sentry.example.com/a/42",
    }
    loaded = load(tmp_path, **named)
    assert loaded["SOLROUTER_ALLOWED_HOSTS"] == ("llm.example.com", "[::1]", "127.0.0.1:8000")
    assert loaded["SOLROUTER_BASE_URL"] == "https://llm.example.com:8443"
    assert loaded["SOLROUTER_MARGIN_PERCENT"] == "5.5"
    assert loaded["SENTRY_DSN"] == named["SENTRY_DSN"]


@pytest.mark.parametrize(
    "dsn",
    ["foo", "https://sentry.example.com/42", "https://public@sentry.example.com", "//a@b/1"],
)
def test_a_dsn_that_sentry_would_not_take_is_refused_and_not_shown(
    tmp_path: Path, dsn: str
) -> None:
    with pytest.raises(UnsafeConfiguration, match="SENTRY_DSN: must look like") as refused:
        load(tmp_path, SENTRY_DSN=dsn)
    assert dsn not in str(refused.value)


def test_a_former_secret_that_never_was_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnsafeConfiguration, match="SECRET_KEY_FALLBACKS is shorter than"
    ) as refused:
        load(tmp_path, SECRET_KEY_FALLBACKS=f"{LONG},canary")
    assert "canary" not in str(refused.value)


def test_lanes_need_their_memory(tmp_path: Path) -> None:
    thin = {"SOLROUTER_ARGON2_MEMORY_KIB": "64", "SOLROUTER_ARGON2_LANES": "100"}
    with pytest.raises(UnsafeConfiguration, match="SOLROUTER_ARGON2_MEMORY_KIB must be 800"):
        load(tmp_path, **thin)
    load(tmp_path, **{**thin, "SOLROUTER_ARGON2_MEMORY_KIB": "800"})


@pytest.mark.parametrize("path", ["/proc/solrouter", __file__])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, path: str) -> None:
    named = settings("sqlite://", tmp_path, SOLROUTER_INSTANCE_PATH=path)
    with pytest.raises(UnsafeConfiguration, match=f"The folder {path} cannot be made"):
        create_app(named)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("SOLROUTER_SELLER=Café\n".encode("latin-1"))
    with pytest.raises(UnsafeConfiguration, match=r"\.env is not in UTF-8"):
        config.read_environment(tmp_path)


def test_names_that_are_no_settings_are_known_by_their_likeness() -> None:
    given = [
        "SOLROUTER_SINGUP",
        "SOLROUTER_SIGNUP",
        "SOLROUTER_WELCOME",
        "SOLROUTER_API_KEY",
        "PATH",
    ]
    assert config.unknown(given) == ["SOLROUTER_SINGUP"]
    assert config.meant("SOLROUTER_SINGUP") == "SOLROUTER_SIGNUP"
    assert config.meant("DATABASE_URI") == "DATABASE_URL"
    assert config.meant("SOLROUTER_NONSENSE_ALTOGETHER") == ""


def test_no_setting_of_ours_is_unknown() -> None:
    assert config.unknown(config.NAMES) == []
    assert config.read_file(ROOT / "tests") == {}
