"""The welcome credit, offered whenever a person's address may just have been verified."""

from flask import current_app

from solrouter.services import admission


def greet(user_id: int) -> None:
    """Grants the welcome credit to who has not had it; harmless each further time."""
    amount: int = current_app.config["SOLROUTER_WELCOME_CREDIT"]
    if amount:
        admission.welcome(user_id, amount)
