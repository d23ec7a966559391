"""SolRouter: one OpenAI-compatible API in front of every model provider. Here the app is put
together.
"""

import importlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Request, Response
from werkzeug.routing import MapAdapter

from solrouter import blueprints, config, database, extensions, logs, secrets, tracebacks
from solrouter.blueprints import mounts, static_files
from solrouter.services import housekeeping, startup

ROOT = Path(__file__).resolve().parent.parent
# What is watched from outside, by the setting that asks for it.
OBSERVERS = {
    "SENTRY_DSN": "solrouter.error_reports",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "solrouter.tracing",
}


class _App(Flask):
    """Flask, told once for all what it would find out anew at every request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: no view and no hook of ours is a coroutine."""
        return func

    def send_static_file(self, filename: str) -> Response:
        """One of our own files, compressed, and to be kept by whoever asked for this version."""
        return static_files.finish(super().send_static_file(filename), filename)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """What finds the view of a request. The API knows no host, so none is looked at for it."""
        if request is None or not mounts.is_api_path(request.path):
            return super().create_url_adapter(request)
        environ = request.environ
        return MapAdapter(
            self.url_map,
            server_name=environ["SERVER_NAME"],
            script_name=environ.get("SCRIPT_NAME") or "/",
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=request.path,
            default_method=request.method,
        )


def create_app(environ: Mapping[str, str] | None = None, *, is_server: bool = False) -> Flask:
    """The app, bound to the settings of `environ` (default: the process's and `.env`).

    A server also proves that it may serve, and begins its periodic work. Raises UnsafeConfiguration
    when the settings are unusable.
    """
    environ = config.read_environment(ROOT) if environ is None else environ
    instance_path = _instance_path(environ)
    app = _App("solrouter", root_path=str(ROOT / "solrouter"), instance_path=str(instance_path))
    app.config.update(config.load(environ, instance_path=instance_path))

    logs.init_app(app)
    secrets.init_app(app)
    extensions.init_app(app)
    database.init_app(app, is_command=not is_server)
    blueprints.init_app(app)
    _observe(app)
    if is_server:
        _begin_serving(app)
    else:
        _add_commands(app)
    return app


def _instance_path(environ: Mapping[str, str]) -> Path:
    """The folder of the instance, made where it is not there. Raises UnsafeConfiguration."""
    path = Path(environ.get("SOLROUTER_INSTANCE_PATH") or ROOT / "instance")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise config.UnsafeConfiguration(
            f"The folder {path} cannot be made ({error.strerror}). Set SOLROUTER_INSTANCE_PATH to "
            "one that this server may write to."
        ) from None
    return path


def _add_commands(app: Flask) -> None:
    """The operator's commands. A server runs none, and what they need is a tenth of its memory."""
    importlib.import_module("solrouter.cli").init_app(app, migrations=ROOT / "migrations")


def _observe(app: Flask) -> None:
    """Error reports and traces, where they are set up; elsewhere not even their code is read."""
    for setting, module in OBSERVERS.items():
        if app.config[setting]:
            importlib.import_module(module).init_app(app)


def _begin_serving(app: Flask) -> None:
    tracebacks.take_over()
    with app.app_context():
        startup.begin()

    def keep_house() -> None:
        with app.app_context():
            housekeeping.run_for_ever()

    threading.Thread(target=keep_house, name="housekeeping", daemon=True).start()
