"""GET /openapi.json: the public API for programs that read OpenAPI 3.1."""

import orjson
from flask import Blueprint, Response, request

from solrouter.blueprints import addresses
from solrouter.blueprints.openapi.document import document

AGE_S_MAX = 300

openapi = Blueprint("openapi", __name__)


@openapi.get("/openapi.json")
def show_document() -> Response:
    """The document, with this server's own address."""
    body = orjson.dumps(document(addresses.api_base_url()))
    response = Response(body, mimetype="application/json")
    response.headers["Cache-Control"] = f"public, max-age={AGE_S_MAX}"
    response.add_etag()
    response.make_conditional(request)
    return response
