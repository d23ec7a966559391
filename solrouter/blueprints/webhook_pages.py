"""Pages of webhooks, the same in two rooms: an account's own, and the operators' for alerts.

A secret is printed by the POST that made it and can never be fetched again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx
from solrouter.errors import Refused
from solrouter.services import webhooks
from solrouter.services.webhooks import Delivery, Endpoint

# What each event is, for whoever chooses.
KINDS = {
    "balance.low": "The balance falls below the amount set under Notifications",
    "spend.reached": "A month’s spending passes the amount set under Notifications",
    "key.created": "An API key is created",
    "top_up.failed": "An automatic top-up fails",
    "alert.opened": "An alert opens",
    "alert.resolved": "An alert is over",
}


class WebhookPages:
    """The routes of one room. `account_id` says whose webhooks these are; None: the operators'."""

    def __init__(self, room: Blueprint, account_id: Callable[[], int | None]) -> None:
        self._room = room.name
        self._account_id = account_id
        one = "/webhooks/<public_id>"
        add = room.add_url_rule
        add("/webhooks", "show_webhooks", self.show_all, methods=["GET"])
        add("/webhooks", "add_webhook", self.add, methods=["POST"])
        add(one, "show_webhook", self.show, methods=["GET"])
        add(f"{one}/test", "try_webhook", self.send_test, methods=["POST"])
        add(f"{one}/secret", "renew_webhook_secret", self.renew_secret, methods=["POST"])
        add(f"{one}/on", "turn_webhook_on", self.turn_on, methods=["POST"])
        add(f"{one}/off", "turn_webhook_off", self.turn_off, methods=["POST"])
        add(f"{one}/remove", "show_remove_webhook", self.show_remove, methods=["GET"])
        add(f"{one}/remove", "remove_webhook", self.remove, methods=["POST"])
        again = f"{one}/messages/<message_id>/again"
        add(again, "redeliver_message", self.redeliver, methods=["POST"])

    def show_all(self) -> ResponseReturnValue:
        return self._list()

    def add(self) -> ResponseReturnValue:
        form = request.form
        kinds = form.getlist("kinds")
        try:
            new = webhooks.add(self._account_id(), form.get("url", ""), kinds, actor=_actor())
        except Refused as refused:
            errors = {refused.param: refused.message}
            return self._list(errors=errors, typed=form.get("url", ""), chosen=kinds)
        return self._one(new.endpoint, secret=new.secret)

    def show(self, public_id: str) -> ResponseReturnValue:
        return self._one(self._find(public_id))

    def send_test(self, public_id: str) -> ResponseReturnValue:
        return self._try(public_id, webhooks.send_test, "The test event is on its way.")

    def redeliver(self, public_id: str, message_id: str) -> ResponseReturnValue:
        def again(endpoint: Endpoint) -> None:
            webhooks.redeliver(endpoint, message_id)

        return self._try(public_id, again, "The message is on its way again.")

    def renew_secret(self, public_id: str) -> ResponseReturnValue:
        endpoint = self._find(public_id)
        return self._one(endpoint, secret=webhooks.renew_secret(endpoint, actor=_actor()))

    def turn_on(self, public_id: str) -> ResponseReturnValue:
        webhooks.turn_on(self._find(public_id), actor=_actor())
        flash("The webhook is on.", "success")
        return self._back(public_id)

    def turn_off(self, public_id: str) -> ResponseReturnValue:
        webhooks.turn_off(self._find(public_id), actor=_actor())
        flash("The webhook is off: it is told of nothing any more.", "success")
        return self._back(public_id)

    def show_remove(self, public_id: str) -> ResponseReturnValue:
        endpoint = self._find(public_id)
        return render_template("webhooks/remove.html", endpoint=endpoint, room=self._room)

    def remove(self, public_id: str) -> ResponseReturnValue:
        webhooks.remove(self._find(public_id), actor=_actor())
        flash("The webhook is removed.", "success")
        return hx.go_to(url_for(f"{self._room}.show_webhooks"))

    def _find(self, public_id: str) -> Endpoint:
        return webhooks.find(self._account_id(), public_id)

    def _try(
        self, public_id: str, act: Callable[[Endpoint], None], said: str
    ) -> ResponseReturnValue:
        try:
            act(self._find(public_id))
        except Refused as refused:
            flash(refused.message, "error")
        else:
            flash(said, "success")
        return self._back(public_id)

    def _back(self, public_id: str) -> Response:
        return hx.go_to(url_for(f"{self._room}.show_webhook", public_id=public_id))

    def _list(
        self,
        *,
        errors: Mapping[str | None, str] | None = None,
        typed: str = "",
        chosen: list[str] | None = None,
    ) -> ResponseReturnValue:
        account_id = self._account_id()
        kinds = webhooks.kinds_for(account_id)
        page = render_template(
            "webhooks/list.html",
            endpoints=webhooks.list_of(account_id),
            kinds=[(kind, KINDS[kind]) for kind in kinds],
            errors=errors or {},
            typed=typed,
            chosen=kinds if chosen is None else chosen,
            room=self._room,
        )
        return page, 422 if errors else 200

    def _one(self, endpoint: Endpoint, **news: Any) -> ResponseReturnValue:
        deliveries = webhooks.deliveries(endpoint)
        mark = hx.mark_of(deliveries, endpoint.disabled_at)
        if hx.is_known(mark):
            return hx.unchanged()
        return hx.page_or_fragment(
            "webhooks/webhook.html",
            "webhooks/_deliveries.html",
            endpoint=endpoint,
            deliveries=deliveries,
            mark=mark,
            is_waiting=any(map(_is_on_its_way, deliveries)),
            room=self._room,
            **news,
        )


def _is_on_its_way(delivery: Delivery) -> bool:
    """Whether its first try has not ended yet."""
    return delivery.due_at is not None and delivery.status is None and not delivery.problem


def _actor() -> str:
    return f"user:{current_user.user_id}"
