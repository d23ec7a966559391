"""What settings ask of one another. Each refusal is a sentence that says what to do."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from solrouter.config.setting import UnsafeConfiguration
from solrouter.config.surroundings import SECRET_KEY_BYTES_MIN
from solrouter.config.values import LANE_KIB_MIN
from solrouter.money import AT_ONCE_NANOS_MAX, display_usd
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.solana_clusters import Cluster

# Behind a name or an address, a longer one in brackets.
PORT_AT_END = re.compile(r"(?<=[^:]):\d+$")


def refuse_forgetful_disk(config: Mapping[str, Any]) -> None:
    if config["DATABASE_URL"] or not config["PLATFORM"]:
        return
    if config["DYNO"]:
        raise UnsafeConfiguration(
            "DATABASE_URL is not set, and a Heroku dyno's disk forgets everything at each restart, "
            "the ledger too. Add a PostgreSQL database: heroku addons:create heroku-postgresql"
        )
    if not config["SOLROUTER_INSTANCE_PATH"]:
        raise UnsafeConfiguration(
            f"DATABASE_URL is not set, and {config['PLATFORM']} forgets files with each deploy, "
            "the ledger too. Add a PostgreSQL database and set DATABASE_URL to it; or mount a "
            "volume and set SOLROUTER_INSTANCE_PATH to where it is."
        )


def refuse_short_fallbacks(config: Mapping[str, Any]) -> None:
    if any(
        len(former.encode()) < SECRET_KEY_BYTES_MIN for former in config["SECRET_KEY_FALLBACKS"]
    ):
        raise UnsafeConfiguration(
            f"One of SECRET_KEY_FALLBACKS is shorter than {SECRET_KEY_BYTES_MIN} bytes, so it "
            "never was a SECRET_KEY. Write the former ones whole, separated by commas."
        )


def refuse_thin_lanes(config: Mapping[str, Any]) -> None:
    lanes = config["SOLROUTER_ARGON2_LANES"]
    if config["SOLROUTER_ARGON2_MEMORY_KIB"] < LANE_KIB_MIN * lanes:
        raise UnsafeConfiguration(
            f"SOLROUTER_ARGON2_MEMORY_KIB must be {LANE_KIB_MIN * lanes} or more with "
            f"SOLROUTER_ARGON2_LANES={lanes}: each lane needs {LANE_KIB_MIN} KiB."
        )


def public_url(config: Mapping[str, Any]) -> str:
    """What links in mails begin with: never a header of a request, which anyone can write."""
    if config["SOLROUTER_BASE_URL"]:
        return str(config["SOLROUTER_BASE_URL"])
    allowed: Sequence[str] = config["SOLROUTER_ALLOWED_HOSTS"]
    if config["SOLROUTER_ENV"] == "production":
        outside = [host for host in allowed if not _is_this_machine(host)]
        if outside or not allowed:
            return f"https://{outside[0]}" if outside else ""
    # Nothing ends https in front of the machine's own names.
    host = "localhost" if not allowed or "localhost" in allowed else allowed[0]
    return f"http://{host}" if PORT_AT_END.search(host) else f"http://{host}:{config['PORT']}"


def _is_this_machine(host: str) -> bool:
    name = PORT_AT_END.sub("", host).strip("[]").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def refuse_mail_without_links(config: Mapping[str, Any]) -> None:
    if config["SMTP_URL"] and not config["PUBLIC_URL"]:
        raise UnsafeConfiguration(
            "SMTP_URL is set and SOLROUTER_BASE_URL is not, so the links in mails would have no "
            "address. Set SOLROUTER_BASE_URL to the address that people reach the server at."
        )


def complete_solana(config: dict[str, Any]) -> None:
    """The network's own node and token where none are named. Raises UnsafeConfiguration."""
    cluster: Cluster = config["SOLROUTER_SOLANA_CLUSTER"]
    if not config["SOLROUTER_SOLANA_RPC_URLS"] and cluster.rpc_url:
        config["SOLROUTER_SOLANA_RPC_URLS"] = (RpcEndpoint.parse(cluster.rpc_url),)
    config["SOLROUTER_SOLANA_MINT"] = config["SOLROUTER_SOLANA_MINT"] or cluster.mint
    if config["SOLROUTER_SOLANA_WALLET"]:
        _refuse_worthless_tokens(config, cluster)
        _refuse_too_few_nodes(config, cluster)


def _refuse_worthless_tokens(config: Mapping[str, Any], cluster: Cluster) -> None:
    if config["SOLROUTER_ENV"] == "production" and not cluster.is_main:
        raise UnsafeConfiguration(
            "SOLROUTER_SOLANA_CLUSTER is not mainnet. Tokens of other networks cost nothing, and "
            "in production they would buy credits. Set it to mainnet, or unset "
            "SOLROUTER_SOLANA_WALLET."
        )
    if not config["SOLROUTER_SOLANA_MINT"]:
        raise UnsafeConfiguration(
            "SOLROUTER_SOLANA_MINT is not set, and a network of your own has no token that we know."
        )
    if config["SOLROUTER_SOLANA_MINT"] == config["SOLROUTER_SOLANA_WALLET"]:
        raise UnsafeConfiguration("SOLROUTER_SOLANA_WALLET is the token's mint, not a wallet.")


def _refuse_too_few_nodes(config: Mapping[str, Any], cluster: Cluster) -> None:
    nodes: tuple[RpcEndpoint, ...] = config["SOLROUTER_SOLANA_RPC_URLS"]
    if not nodes:
        raise UnsafeConfiguration("SOLROUTER_SOLANA_RPC_URLS is not set.")
    if config["SOLROUTER_SOLANA_AGREE_FROM"] is not None and len(nodes) < 2:
        raise UnsafeConfiguration(
            "SOLROUTER_SOLANA_AGREE_FROM asks two nodes, and SOLROUTER_SOLANA_RPC_URLS has one. "
            "Add another one."
        )
    if config["SOLROUTER_ENV"] == "production":
        for node in nodes:
            if not node.is_safe:
                raise UnsafeConfiguration(
                    f"SOLROUTER_SOLANA_RPC_URLS: {node} is asked over plain http, so whoever sits "
                    "in between could make up payments. Use https."
                )


def refuse_half_a_stripe(config: Mapping[str, Any]) -> None:
    key, secrets_ = config["STRIPE_SECRET_KEY"], config["STRIPE_WEBHOOK_SECRET"]
    if secrets_ and not key:
        raise UnsafeConfiguration(
            "STRIPE_WEBHOOK_SECRET is set and STRIPE_SECRET_KEY is not, so nobody could ask Stripe "
            "whether its news are true. Set both, or neither."
        )
    if not key:
        return
    if not key.startswith(("sk_", "rk_")):
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY must be a secret key (sk_…) or a restricted one (rk_…)."
        )
    if config["SOLROUTER_ENV"] != "production":
        return
    if not secrets_:
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not, so Stripe could not tell "
            "us of payments. Add a webhook for /webhooks/stripe at Stripe and set its secret."
        )
    if not config["PUBLIC_URL"]:
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY is set and SOLROUTER_BASE_URL is not, so people who have paid could "
            "not come back. Set SOLROUTER_BASE_URL to the address that they reach the server at."
        )
    if "_live_" not in key and not config["SOLROUTER_STRIPE_TEST_MODE"]:
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY is a test key, and with test cards anyone would get credit for "
            "nothing. Use the live key; for a rehearsal set SOLROUTER_STRIPE_TEST_MODE=1."
        )


def refuse_impossible_top_ups(config: Mapping[str, Any]) -> None:
    if config["SOLROUTER_TOP_UP_MIN"] > config["SOLROUTER_TOP_UP_MAX"]:
        raise UnsafeConfiguration(
            "SOLROUTER_TOP_UP_MIN is more than SOLROUTER_TOP_UP_MAX, so nobody could pay."
        )
    if config["SOLROUTER_TOP_UP_MAX"] > AT_ONCE_NANOS_MAX:
        raise UnsafeConfiguration(
            f"SOLROUTER_TOP_UP_MAX is more than {display_usd(AT_ONCE_NANOS_MAX)}, the most that "
            "comes in at once."
        )


def own_sender(config: Mapping[str, Any]) -> str:
    host = urlsplit(config["PUBLIC_URL"]).hostname or "localhost"
    return f"SolRouter <no-reply@{host}>"
