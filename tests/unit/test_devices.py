"""What browsers call themselves, in words."""

import pytest

from solrouter.blueprints import devices, qr_codes

MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (f"{MOZILLA} (X11; Linux x86_64) Chrome/142.0 Safari/537.36", "Chrome on Linux"),
        (f"{MOZILLA} (Windows NT 10.0) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
        (f"{MOZILLA} (Macintosh; Intel Mac OS X) Version/26.0 Safari/605.1", "Safari on macOS"),
        (f"{MOZILLA} (iPhone; CPU iPhone OS like Mac OS X) CriOS/142.0 Safari", "Chrome on iPhone"),
        (f"{MOZILLA} (Android 15; Mobile) Gecko/142.0 Firefox/142.0", "Firefox on Android"),
        ("curl/8.5", "curl"),
        ("", devices.UNKNOWN),
        ("<script>", devices.UNKNOWN),
    ],
)
def test_a_device_has_a_name(user_agent: str, name: str) -> None:
    assert devices.name_of(user_agent) == name


def test_a_qr_code_is_drawn_with_its_quiet_zone() -> None:
    drawn = qr_codes.draw("otpauth://totp/x?secret=ABCDEFGH")
    assert drawn.path.startswith("M4 4h7v1h-7z")
    assert drawn.side >= 21 + 8
