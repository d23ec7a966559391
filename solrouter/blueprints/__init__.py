"""The edge: parse, ask, render. This file says which rooms it has; guards.py says who may enter
each.
"""

from flask import Flask

from solrouter.blueprints import (
    compression,
    confirm,
    cross_origin,
    errors,
    filters,
    guards,
    mounts,
    request_ids,
    security_headers,
    sessions,
    slow_clients,
    static_files,
    unstorable,
)
from solrouter.blueprints.account import account
from solrouter.blueprints.admin import admin
from solrouter.blueprints.api import api
from solrouter.blueprints.auth import auth
from solrouter.blueprints.catalogue import catalogue
from solrouter.blueprints.development import development
from solrouter.blueprints.docs import docs
from solrouter.blueprints.metrics import metrics
from solrouter.blueprints.openapi import openapi
from solrouter.blueprints.pages import pages
from solrouter.blueprints.playground import playground
from solrouter.blueprints.policies import policies
from solrouter.blueprints.search_engines import search_engines
from solrouter.blueprints.status import status
from solrouter.blueprints.webhooks import webhooks

ROOMS = (
    pages,
    auth,
    account,
    playground,
    catalogue,
    status,
    policies,
    docs,
    search_engines,
    admin,
    api,
    openapi,
    metrics,
    webhooks,
    development,
)
# Rooms whose pages hold no secret of anybody's: no key, no code, no link that lets somebody in.
COMPRESSED_ROOMS = (pages, catalogue, status, policies, docs, search_engines, openapi)
for _room in COMPRESSED_ROOMS:
    _room.after_request(compression.compress)


def init_app(app: Flask) -> None:
    """Registers every room, then the doors in front of them, in the order a request meets them."""
    mounts.init_app(app)
    request_ids.init_app(app)
    security_headers.init_app(app)
    slow_clients.init_app(app)
    sessions.init_app(app)
    guards.init_app(app)
    cross_origin.init_app(app)
    unstorable.init_app(app)
    confirm.init_app(app)
    filters.init_app(app)
    static_files.init_app(app)
    errors.init_app(app)
    for room in ROOMS:
        app.register_blueprint(room)
