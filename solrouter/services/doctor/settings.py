"""The settings: those that are allowed, and still may not be what the operator means.

What is not allowed keeps every command from starting, with a sentence of `config`.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from solrouter import config
from solrouter.services.doctor.findings import Finding, fine, warning


def look() -> Iterator[Finding]:
    """Mode, address, hosts and what is meant for rehearsals."""
    settings = config.current()
    mode = settings["SOLROUTER_ENV"]
    if mode == "production":
        yield fine("the mode is production")
    else:
        yield warning(
            f"the mode is {mode}, with a demo account and test payments",
            "Unset SOLROUTER_ENV where others can reach this server.",
        )
    url = settings["PUBLIC_URL"]
    if url:
        yield fine(f"people reach it at {url}")
    else:
        yield warning(
            "it does not know its own address, which links in mails, OAuth and payments need",
            "Set SOLROUTER_BASE_URL, such as https://llm.example.com.",
        )
    if not settings["SOLROUTER_ALLOWED_HOSTS"] and mode == "production":
        yield warning(
            "it answers to any host name",
            f"Set SOLROUTER_ALLOWED_HOSTS={urlsplit(url).hostname or 'llm.example.com'} if nothing "
            "in front of it checks the name.",
        )
    if settings["SOLROUTER_STRIPE_TEST_MODE"] and mode == "production":
        yield warning(
            "Stripe's test cards buy credits here",
            "Unset SOLROUTER_STRIPE_TEST_MODE before anyone else comes.",
        )
    if settings["SOLROUTER_OPERATOR_PASSWORD"]:
        yield warning(
            "the first operator's password stands in the settings",
            "Unset SOLROUTER_OPERATOR_PASSWORD once you have signed in.",
        )


def look_at_proxies() -> Iterator[Finding]:
    """Whether those in front are believed. With too many, anybody can make up addresses."""
    settings = config.current()
    hops, platform = settings["SOLROUTER_PROXY_HOPS"], settings["PLATFORM"]
    is_https = str(settings["PUBLIC_URL"]).startswith("https:")
    if hops == 0 and (platform or is_https):
        where = f"{platform}'s router" if platform else "what ends https"
        yield warning(
            f"no proxy is believed, and {where} is in front: cookies are not Secure, and "
            "all callers seem to have one address",
            "Set SOLROUTER_PROXY_HOPS to the number of proxies in front that are yours or the "
            "platform's, mostly 1.",
        )
    elif hops > 0 and not is_https:
        yield warning(
            f"{hops} proxies are believed, and the address is not https",
            "If nothing is in front, set SOLROUTER_PROXY_HOPS=0: anybody could name any address.",
        )
    else:
        yield fine(f"{hops} proxies in front are believed")
