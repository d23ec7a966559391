"""How the house is doing: alerts, periodic jobs, server processes, queues."""

from flask import Response, flash, url_for
from flask.typing import ResponseReturnValue

from solrouter import clock
from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin
from solrouter.services import jobs, operator_alerts, outbox, system


@admin.get("/system")
def show_system() -> Response:
    now = clock.utcnow()
    rows = jobs.overview()
    return hx.page_or_fragment(
        "admin/system.html",
        "admin/_system.html",
        alerts=operator_alerts.recent(),
        jobs=rows,
        is_busy=any(row.is_due_at(now) or row.is_running for row in rows),
        now=now,
        processes=system.processes(),
        queues=system.queues(),
        mail_is_on=outbox.is_on(),
    )


@admin.post("/system/jobs/<name>/run")
def run_job(name: str) -> ResponseReturnValue:
    """Makes the job due now; the process that leads runs it within seconds."""
    jobs.ask(name)
    flash("The job runs within seconds.", "success")
    return hx.go_to(url_for("admin.show_system"))
