"""nginx in front of several machines, as deploy/nginx.conf has it; only the addresses differ."""

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.served import ROOT, free_port

RECIPE = ROOT / "deploy" / "nginx.conf"
STARTS_WITHIN_S = 10.0
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    log_format served '$upstream_addr $status';
    access_log {folder}/nginx-access.log served;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    include "{folder}/solrouter.conf";
}}
"""


class Front:
    """A running nginx."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.port = free_port()
        # A path of its own without a blank, which nginx could not take in every place.
        self.folder = folder / f"nginx-{self.port}"
        self.folder.mkdir()
        (self.folder / "solrouter.conf").write_text(self._written(RECIPE.read_text(), ports))
        user = "user root;" if self.folder.owner() == "root" else ""
        (self.folder / "nginx.conf").write_text(MAIN.format(folder=self.folder, user=user))
        program = nginx_program()
        assert program is not None, "nginx is not on this machine"
        self.process = subprocess.Popen(
            [program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")],
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _written(self, recipe: str, ports: Sequence[int]) -> str:
        """The recipe for these machines."""
        servers = iter(ports)
        known = re.sub(r"10\.0\.0\.\d+:8000", lambda _: f"127.0.0.1:{next(servers)}", recipe)
        assert next(servers, None) is None, "the recipe has a line for each machine"
        return known.replace("listen 80;", f"listen 127.0.0.1:{self.port};")

    def _wait(self) -> None:
        by_s = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < by_s:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError(f"nginx did not start: {self.log}")

    @property
    def log(self) -> str:
        """What it complained of."""
        return (self.folder / "nginx-error.log").read_text(errors="replace")

    @property
    def served_by(self) -> set[int]:
        """The ports of the machines that have answered."""
        lines = (self.folder / "nginx-access.log").read_text().splitlines()
        return {int(line.split()[-2].rpartition(":")[2]) for line in lines}

    def stop(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait()


def nginx_program() -> str | None:
    """Where nginx is; Debian puts it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
