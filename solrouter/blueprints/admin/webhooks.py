"""Where operators want to be told of alerts, and what became of each message."""

from solrouter.blueprints.admin.room import admin
from solrouter.blueprints.webhook_pages import WebhookPages

pages = WebhookPages(admin, lambda: None)
