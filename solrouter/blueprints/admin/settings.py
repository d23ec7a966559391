"""The server's settings: what is set, and from where. Of a secret only whether there is one."""

from itertools import groupby

from flask import current_app, render_template

from solrouter.blueprints.admin.room import admin
from solrouter.config import Given

SOURCES = {"default": "Default", "environment": "Environment", "file": "The .env file"}


@admin.get("/settings")
def show_settings() -> str:
    found: list[Given] = list(current_app.config["SETTINGS_GIVEN"].values())
    groups = groupby(found, lambda each: each.setting.group)
    return render_template(
        "admin/settings.html",
        groups=[(name, list(each)) for name, each in groups],
        sources=SOURCES,
        number_set=sum(each.is_set for each in found),
        number_all=len(found),
    )
