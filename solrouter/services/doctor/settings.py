"""The settings: those that are allowed, and still may not be what the operator means.

What is not allowed keeps every command from starting, with a sentence of `config`.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from solrouter import apps, config
from solrouter.money import display_usd
from solrouter.services import plans
from solrouter.services.doctor.findings import Finding, broken, fine, warning

# What a `.env` file may hold for others: for Flask, gunicorn, Python, compose.yaml.
OF_OTHERS = ("FLASK_", "GUNICORN_", "PYTHON", "POSTGRES_", "COMPOSE_")
SIGN_INS = {"GITHUB": "GitHub", "GOOGLE": "Google"}


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


def look_at_names() -> Iterator[Finding]:
    """Whether each name that was set is one that is read; the others are ignored."""
    in_file = config.read_file(Path(apps.current().root_path).parent)
    foreign = [name for name in in_file if name not in config.NAMES and not _is_of_others(name)]
    unknown = dict.fromkeys(config.current()["SETTINGS_UNKNOWN"], "the environment")
    unknown |= dict.fromkeys(foreign, ".env")
    for name, place in sorted(unknown.items()):
        meant = config.meant(name)
        yield warning(
            f"{name} in {place} is no setting, so it is ignored",
            f"Did you mean {meant}?" if meant else "docs/configuration.md has the names.",
        )


def _is_of_others(name: str) -> bool:
    return name.startswith(OF_OTHERS) or name in config.NO_SETTINGS


def look_at_what_they_name() -> Iterator[Finding]:
    """Whether there is what settings name: files, folders, the other half of a pair."""
    settings = config.current()
    source = settings["SOLROUTER_CATALOGUE_URL"]
    if source and urlsplit(source).scheme not in ("http", "https") and not Path(source).is_file():
        yield broken(
            f"SOLROUTER_CATALOGUE_URL names {source}, and there is no such file",
            "Name a file that this server can read, or a URL with http:// or https://.",
        )
    folder = settings["SOLROUTER_POLICIES_PATH"]
    if folder and not Path(folder).is_dir():
        yield broken(
            f"SOLROUTER_POLICIES_PATH names {folder}, and there is no such folder: people read "
            "our templates in place of your policies",
            "Name the folder with your own terms.md and the others.",
        )
    for name, site in SIGN_INS.items():
        has_id, has_secret = (settings[f"{name}_CLIENT_{part}"] for part in ("ID", "SECRET"))
        if bool(has_id) != bool(has_secret):
            given, lacking = ("ID", "SECRET") if has_id else ("SECRET", "ID")
            yield warning(
                f"{name}_CLIENT_{given} is set and {name}_CLIENT_{lacking} is not, so nobody can "
                f"sign in with {site}",
                f"Set {name}_CLIENT_{lacking} too, or neither.",
            )
    yield from _look_at_presets()


def _look_at_presets() -> Iterator[Finding]:
    settings = config.current()
    least, most = settings["SOLROUTER_TOP_UP_MIN"], settings["SOLROUTER_TOP_UP_MAX"]
    presets = settings["SOLROUTER_TOP_UP_PRESETS"]
    hidden = [display_usd(nanos) for nanos in presets if not least <= nanos <= most]
    if hidden and settings["SETTINGS_GIVEN"]["SOLROUTER_TOP_UP_PRESETS"].is_set:
        yield warning(
            f"{', '.join(hidden)} of SOLROUTER_TOP_UP_PRESETS are not offered: a top-up is from "
            f"{display_usd(least)} to {display_usd(most)}",
            "Change them, or SOLROUTER_TOP_UP_MIN and SOLROUTER_TOP_UP_MAX.",
        )


def look_at_plan() -> Iterator[Finding]:
    """Whether there is the plan that every new account gets."""
    slug = config.current()["SOLROUTER_DEFAULT_PLAN"]
    known = [plan.slug for plan in plans.list_of()]
    if slug in known:
        yield fine(f"new accounts get the plan {slug}")
    else:
        yield broken(
            f"there is no plan {slug}, which SOLROUTER_DEFAULT_PLAN gives to new accounts: nobody "
            "can sign up",
            f"Set it to one of {', '.join(known)}; or make it: flask plans set {slug}",
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
