"""Where the account wants to be told of events, and what became of each message. Owners alone."""

from solrouter.blueprints import sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.webhook_pages import WebhookPages

pages = WebhookPages(account, lambda: sessions.signed_in().account_id)
