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
    rows, alerts = jobs.overview(), operator_alerts.recent()
    processes, queues = system.processes(), system.queues()
    # When a process was heard of last changes all the time, and is told when something else has.
    alive = [(process.name, process.is_leader) for process in processes]
    stand = [(row.job.name, row.state, row.is_due_at(now)) for row in rows]
    mark = hx.mark_of(alerts, stand, alive, queues)
    if hx.is_known(mark):
        return hx.unchanged()
    return hx.page_or_fragment(
        "admin/system.html",
        "admin/_system.html",
        alerts=alerts,
        jobs=rows,
        is_busy=any(row.is_due_at(now) or row.is_running for row in rows),
        now=now,
        mark=mark,
        processes=processes,
        queues=queues,
        mail_is_on=outbox.is_on(),
    )


@admin.post("/system/jobs/<name>/run")
def run_job(name: str) -> ResponseReturnValue:
    """Makes the job due now; the process that leads runs it within seconds."""
    jobs.ask(name)
    flash("The job runs within seconds.", "success")
    return hx.go_to(url_for("admin.show_system"))
