"""The playground: a signed-in member asks models, and the account pays as for any other request.

A session is enough here, and here alone; that another site cannot borrow it is the business of
`cross_origin`, and of asking for JSON, which no form of another site can send.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from solrouter import interruptions
from solrouter.blueprints import addresses, hx, request_ids, samples, typed
from solrouter.blueprints.api import authenticate, bodies, chat, errors
from solrouter.blueprints.contexts import notes_itself, request_itself
from solrouter.blueprints.sessions import signed_in
from solrouter.errors import BadRequest, SolRouterError, UnsupportedMediaType
from solrouter.interruptions import ClientLeft, Wait
from solrouter.services import catalogue, completions
from solrouter.services import playground as members
from solrouter.services.catalogue import Model
from solrouter.services.principals import Principal

JSON = "application/json"
# Form field to the request's own, and how it is read.
NUMBERS: Mapping[str, Callable[[str], float | None]] = {
    "temperature": float,
    "top_p": float,
    "max_tokens": typed.whole_or_none,
}

playground = Blueprint("playground", __name__, url_prefix="/playground")


@playground.get("")
def show_playground() -> str:
    return _page(form=request.args)


@playground.post("")
def ask() -> ResponseReturnValue:
    """One whole answer, for browsers without scripts."""
    form = request.form
    try:
        answer = _whole(_principal(), orjson.dumps(_asked(form)))
    except ClientLeft:
        return Response(status=chat.CLIENT_CLOSED_REQUEST)
    except SolRouterError as error:
        status, _ = errors.classify(error)
        return _page(form=form, error=error.message), status
    return _page(form=form, answer=answer)


@playground.post("/completions")
def create_completion() -> Response:
    """What `/v1/chat/completions` answers, for the page's own script."""
    try:
        if request.mimetype != JSON:
            raise UnsupportedMediaType(f"Send JSON, with the header Content-Type: {JSON}.")
        return chat.respond(_principal(), chat.parsed(bodies.read()))
    except SolRouterError as error:
        return errors.respond(error)


@playground.get("/balance")
def show_balance() -> ResponseReturnValue:
    """The balance in the header, as it is now; without HTMX, the page."""
    if not hx.is_htmx():
        return hx.go_to(url_for("playground.show_playground"))
    return hx.page_or_fragment("_balance.html", "_balance.html")


def _principal() -> Principal:
    member = signed_in()
    address = authenticate.client_address()
    principal = members.principal(member.account_id, member.user_id, address=address)
    notes_itself().principal = principal
    request_ids.note(account=str(principal.account_id), key=principal.key_public_id)
    return principal


def _whole(principal: Principal, data: bytes) -> dict[str, Any]:
    """The answer in one piece. Raises SolRouterError and ClientLeft."""
    wait = Wait()
    watch = interruptions.watch(request_itself().environ, wait)
    try:
        completion = completions.start(principal, chat.parsed(data), wait)
        try:
            return next(body for body in completion.answer() if body is not None)
        finally:
            completion.close()
    finally:
        chat.stop(watch)


def _asked(form: Mapping[str, str]) -> dict[str, Any]:
    """The request that the form stands for. Raises BadRequest."""
    if not form.get("message", "").strip():
        raise BadRequest("Write what you want to ask.", param="message")
    messages = [{"role": "user", "content": form["message"]}]
    if form.get("system", "").strip():
        messages.insert(0, {"role": "system", "content": form["system"]})
    body: dict[str, Any] = {"model": form.get("model", ""), "messages": messages}
    for name, read in NUMBERS.items():
        text = form.get(name, "").strip()
        if text:
            body[name] = _number(name, text, read)
    return body


def _number(name: str, text: str, read: Callable[[str], float | None]) -> float:
    try:
        number = read(text)
    except ValueError:
        number = None
    if number is None:
        raise BadRequest(f"Write {name} as a number.", param=name)
    return number


def _page(
    *, form: Mapping[str, str], answer: Mapping[str, Any] | None = None, error: str = ""
) -> str:
    models = [
        model for model in catalogue.listing() if model.is_available and model.status == "live"
    ]
    return render_template(
        "playground/playground.html",
        models=_by_author(models),
        chosen=form.get("model") or samples.model_to_try(models),
        form=form,
        answer=answer,
        error=error,
        base_url=addresses.api_base_url(),
    )


def _by_author(models: list[Model]) -> dict[str, list[Model]]:
    found: dict[str, list[Model]] = {}
    for model in models:
        found.setdefault(model.author, []).append(model)
    return found
