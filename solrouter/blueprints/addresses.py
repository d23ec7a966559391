"""The server's own addresses, as samples on pages show them. Never for links in mail.

A setting wins; without one, the address that the reader used is the honest answer.
"""

from urllib.parse import urlsplit

from flask import current_app, request


def site_url() -> str:
    """The address of the website, without a slash at its end."""
    configured: str = current_app.config["SOLROUTER_BASE_URL"]
    return configured or request.url_root.rstrip("/")


def site_host() -> str:
    """The name that people type: host, and port where it is not the usual one."""
    return urlsplit(site_url()).netloc


def api_base_url() -> str:
    """The base URL that an OpenAI client takes."""
    configured: str = current_app.config["SOLROUTER_API_BASE_URL"]
    return configured or f"{site_url()}/v1"
