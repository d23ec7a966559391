"""Settings of accounts, sign-in and mail."""

from solrouter.config.setting import Setting
from solrouter.config.values import (
    argon2_memory,
    base_url,
    dollars,
    email_address,
    first_password,
    months_kept,
    optional_or_required,
    positive,
    seconds,
    sender,
    signup,
    smtp_server,
    text,
    whole,
)

ACCOUNTS: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_OPERATOR_EMAIL",
        "",
        email_address,
        "Who becomes the operator at the first start, while there is none. Without a password for "
        "them the log has a link, good for one use and a day, to set it.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_OPERATOR_PASSWORD",
        "",
        first_password,
        "The first operator's password, at least 8 characters. It is used once: take it out again "
        "after the first start.",
        "Accounts",
        secret=True,
    ),
    Setting(
        "SOLROUTER_SIGNUP",
        "open",
        signup,
        "`open`; `invite`: only with an invitation by an operator; or `closed`: only an operator "
        "makes accounts.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_WELCOME_CREDIT",
        "0",
        dollars,
        "What a new account is given once its e-mail address is verified, in USD: once for each "
        "address (case, dots at Gmail and what follows a plus do not count) and once for each "
        "GitHub or Google account.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_ARGON2_MEMORY_KIB",
        "19456",
        argon2_memory,
        "Memory for one password hash. A higher price holds for each password from its next "
        "sign-in on.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_ARGON2_PASSES",
        "2",
        positive,
        "How often a password hash goes over its memory.",
        "Accounts",
    ),
    Setting("SOLROUTER_ARGON2_LANES", "1", positive, "Lanes of a password hash.", "Accounts"),
    Setting(
        "SOLROUTER_SESSION_IDLE_S",
        "1209600",
        seconds,
        "A session ends after so much silence.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_SESSION_TOTAL_S", "7776000", seconds, "A session ends at this age.", "Accounts"
    ),
    Setting(
        "SOLROUTER_PROOF_S",
        "600",
        seconds,
        "For so long after a sign-in or a confirmation, what touches money, keys or access does "
        "not ask for the password again.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_OPERATOR_2FA",
        "optional",
        optional_or_required,
        "`required`: operators enter the admin only with a second factor. `optional`: they are "
        "asked once, and reminded.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_CONTENT_DAYS_MAX",
        "30",
        whole,
        "How many days an account that asks for it may have its prompts and answers kept, at most. "
        "0: nobody's are kept, and what was is deleted.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_RECEIPTS_MONTHS",
        "0",
        months_kept,
        "For how many whole months before the current one the receipts of requests are kept, 3 or "
        "more. Charges stay in the ledger and in the sums by day. 0: receipts are kept for ever.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_KEYS_PER_ACCOUNT_MAX",
        "200",
        whole,
        "The most API keys of one account.",
        "Accounts",
    ),
    Setting(
        "GITHUB_CLIENT_ID", "", text, "GitHub OAuth app: shows “Continue with GitHub”.", "Accounts"
    ),
    Setting("GITHUB_CLIENT_SECRET", "", text, "The OAuth app's secret.", "Accounts", secret=True),
    Setting(
        "SOLROUTER_GITHUB_URL",
        "https://github.com",
        base_url,
        "Where people sign in at GitHub (an Enterprise server has its own).",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_GITHUB_API_URL",
        "https://api.github.com",
        base_url,
        "GitHub's API (Enterprise: `https://HOST/api/v3`).",
        "Accounts",
    ),
    Setting(
        "GOOGLE_CLIENT_ID",
        "",
        text,
        "Google OAuth client: shows “Continue with Google”.",
        "Accounts",
    ),
    Setting(
        "GOOGLE_CLIENT_SECRET", "", text, "The OAuth client's secret.", "Accounts", secret=True
    ),
    Setting(
        "SOLROUTER_GOOGLE_URL",
        "https://accounts.google.com",
        base_url,
        "Google's OpenID Connect issuer.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_CONTACT_EMAIL",
        "",
        text,
        "Shown where people need to reach the operator.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_POLICIES_PATH",
        "",
        text,
        "The folder with your own `terms.md`, `privacy.md`, `refunds.md` and `contact.md`. Unset: "
        "`policies` in the instance folder.",
        "Accounts",
    ),
)

MAIL: tuple[Setting, ...] = (
    Setting(
        "SMTP_URL",
        "",
        smtp_server,
        "The mail server: `smtp://USER:PASSWORD@HOST:587` (with STARTTLS, which a server on "
        "another machine must offer) or `smtps://USER:PASSWORD@HOST:465`. Unset: no mail is sent, "
        "and the operator confirms accounts; development shows mails on `/dev/mails`.",
        "Mail",
        secret=True,
    ),
    Setting(
        "SOLROUTER_MAIL_FROM",
        "",
        sender,
        "The sender of mails, such as `SolRouter <hello@example.com>`. Unset: `no-reply` at the "
        "server's own host name.",
        "Mail",
    ),
)
