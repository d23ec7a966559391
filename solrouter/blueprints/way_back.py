"""Where the page of a form is: for somebody who asks for the address that a form is sent to.

A refused form is shown again at that address, so a reload by the address bar, a bookmark or a link
asks for it. The page lies above it in the path, but for those of ELSEWHERE.
"""

from collections.abc import Mapping

from flask import request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from solrouter.blueprints.redirects import path_of

# Forms whose page does not lie above them.
ELSEWHERE: Mapping[str, str] = {
    "account.begin_payment": "account.show_balance",
    "admin.announce": "admin.show_notices",
    "admin.end_announcement": "admin.show_notices",
    "admin.finish_refund": "admin.show_payments",
    "admin.open_incident": "admin.show_notices",
    "admin.reject_refund": "admin.show_payments",
    "admin.tell_incident": "admin.show_notices",
}


def page_of_form(routes: Map) -> str | None:
    """The path of the page that holds the form which is sent to the request's address, if any."""
    try:
        endpoint, _ = routes.bind("").match(request.path, method="POST")
    except HTTPException:
        return None
    if endpoint in ELSEWHERE:
        return url_for(ELSEWHERE[endpoint])
    path = request.path
    while path := path.rpartition("/")[0]:
        if found := path_of(routes, path):
            return found
    return None
