"""The addresses that mails lead to. The edge serves them; a test holds the two together.

They begin with the server's own public address and with nothing that a request said: the `Host`
header is anyone's to write.
"""

from solrouter import config

CONFIRM_EMAIL = "/account/confirm-email/{token}"
CHANGE_EMAIL = "/account/change-email/{token}"
RESET_PASSWORD = "/password/reset/{token}"
FORGOT_PASSWORD = "/password/forgot"
SETTINGS = "/account/settings"
OVERVIEW = "/account"
TEAM = "/account/team"
INVITATION = "/signup?invitation={token}"
JOIN_TEAM = "/account/team/join/{token}"
BALANCE = "/account/balance"
KEYS = "/account/keys"
ACTIVITY = "/account/activity"
WEBHOOKS = "/account/webhooks"
SYSTEM = "/admin/system"
PAYMENT = "/account/payments/{token}"
ALL = (
    CONFIRM_EMAIL,
    CHANGE_EMAIL,
    RESET_PASSWORD,
    FORGOT_PASSWORD,
    SETTINGS,
    OVERVIEW,
    TEAM,
    INVITATION,
    JOIN_TEAM,
    BALANCE,
    KEYS,
    ACTIVITY,
    WEBHOOKS,
    SYSTEM,
    PAYMENT,
)


def to(path: str, token: str = "") -> str:
    """The whole address."""
    public_url: str = config.current()["PUBLIC_URL"]
    return public_url + path.format(token=token)
