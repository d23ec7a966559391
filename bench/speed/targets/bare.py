"""What does less than a router: nothing at all, nginx, and the floor."""

import shutil
import sys
from collections.abc import Mapping

from bench.speed.targets.base import Target
from tests.served import ROOT

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream provider {{
        server 127.0.0.1:{upstream_port};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /healthz {{ return 200 "ok"; }}
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


class Direct(Target):
    """The upstream itself, with nothing before it: what the callers and it can do at most."""

    name = "direct"
    title = "the upstream itself"
    keeps_books = "–"

    def start(self) -> float:
        """It runs already."""
        self.port = self.around.upstream_port
        return 0.0

    def stop(self) -> None:
        """It runs on."""


class Floor(Target):
    """`bench.speed.floor`, served as SolRouter is."""

    name = "floor"
    title = "bare Flask + gevent relay (the floor)"

    def command(self) -> list[str]:
        """gunicorn with the settings of our gunicorn.conf.py."""
        settings = ("-k", "gevent", "--worker-connections", "2000", "--backlog", "4096")
        more = ("--keep-alive", "5", "--no-control-socket", "-b", f"127.0.0.1:{self.port}")
        gunicorn = (sys.executable, "-m", "gunicorn", "-c", "/dev/null")
        return [*gunicorn, *settings, *more, "bench.speed.floor:app"]

    def environ(self) -> Mapping[str, str]:
        """Where the upstream is, and where this package is."""
        port = str(self.around.upstream_port)
        return {"FLOOR_UPSTREAM_PORT": port, "PYTHONPATH": str(ROOT)}


class Nginx(Target):
    """nginx as a plain proxy."""

    name = "nginx"
    title = "nginx as a plain proxy"

    def missing(self) -> str:
        """Debian puts it where only root looks."""
        return "" if self._program() else "no nginx on this machine (apt-get install nginx)"

    @staticmethod
    def _program() -> str | None:
        return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

    def command(self) -> list[str]:
        """One worker, with keep-alive on both sides and no buffering."""
        folder = self.around.folder
        is_root = folder.owner() == "root"
        conf = NGINX.format(
            folder=folder,
            port=self.port,
            upstream_port=self.around.upstream_port,
            user="user root;" if is_root else "",
        )
        (folder / "nginx.conf").write_text(conf)
        program = self._program()
        assert program is not None
        return [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
