"""The public API: bearer keys only, JSON only, one error shape. Never looks at a cookie."""

from flask import Blueprint

from solrouter.blueprints.mounts import API_MOUNT

api = Blueprint("api", __name__, url_prefix=API_MOUNT)

from solrouter.blueprints.api import account, chat, estimate, keys, models, rates  # noqa: E402, F401 (they add the routes)

api.after_request(rates.add_missing)
