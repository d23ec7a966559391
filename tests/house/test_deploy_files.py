"""The files that platforms read: held to their published schemas, and to what SolRouter needs.

None of these platforms runs here, and the docs say so. What is checked of a platform is its schema
(tests/data/schemas); of the Dockerfile, that what it copies is enough for a server.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from solrouter.config import SETTINGS
from tests import served as serving
from tests.conftest import SECRET_KEY, require, settings
from tests.served import ROOT

SCHEMAS = ROOT / "tests" / "data" / "schemas"
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NAMES = {setting.name for setting in SETTINGS} | {"PYTHON_VERSION", "PORT"}
DRAIN_AND_MORE_S = 25
# What systemd makes of such a file: systemd.exec(5), EnvironmentFile=.
SETTINGS_FILE = r"""# SOLROUTER_SELLER=Nobody
; OTHER=1
  #COMMENT=1

SOLROUTER_SELLER=ACME|Berlin
PARENTHESIS=a (b) < c > d
BACKTICKS=`touch ran`$(touch ran)${PATH}
SIGNS=a&touch ran; b # no comment
QUOTED="  a blank; and 'more' "
SINGLE='a "b" $c \d'
ESCAPED="a \"b\" \$c \d"
BARE=a\ b\\c
  SPACED =  a value
EMPTY=
WITH_SIGN=a=b==
not a name=1
1ST=1
a line without a sign
SOLROUTER_INSTANCE_PATH=/elsewhere
LAST=without a line's end"""
SETTINGS_READ = {
    "SOLROUTER_SELLER": "ACME|Berlin",
    "PARENTHESIS": "a (b) < c > d",
    "BACKTICKS": "`touch ran`$(touch ran)${PATH}",
    "SIGNS": "a&touch ran; b # no comment",
    "QUOTED": "  a blank; and 'more' ",
    "SINGLE": 'a "b" $c \\d',
    "ESCAPED": 'a "b" $c \\d',
    "BARE": "a b\\c",
    "SPACED": "a value",
    "EMPTY": "",
    "WITH_SIGN": "a=b==",
    "LAST": "without a line's end",
}


def read(name: str) -> dict[str, Any]:
    """A file of the root, as its platform reads it."""
    text = (ROOT / name).read_text()
    if name.endswith(".toml"):
        return tomllib.loads(text)
    found: dict[str, Any] = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    return found


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("app.json", "heroku-app"),
        ("render.yaml", "render"),
        ("railway.json", "railway"),
        ("fly.toml", "fly"),
        ("compose.yaml", "compose-spec"),
    ],
)
def test_it_is_what_the_platform_takes(name: str, schema: str) -> None:
    rules = json.loads((SCHEMAS / f"{schema}.schema.json").read_text())
    validator = jsonschema.validators.validator_for(rules)
    validator.check_schema(rules)
    validator(rules).validate(read(name))
    # A schema that takes anything proves nothing.
    with pytest.raises(jsonschema.ValidationError):
        validator(rules).validate({**read(name), "no such field": 1})


def settings_of(name: str) -> dict[str, Any]:
    """The settings that a file names, with their values where it has any."""
    found = read(name)
    if name == "app.json":
        return {key: entry.get("value") for key, entry in found["env"].items()}
    if name == "render.yaml":
        return {entry["key"]: entry.get("value") for entry in found["services"][0]["envVars"]}
    if name == "fly.toml":
        return dict(found["env"])
    return dict(found["services"]["web"]["environment"])


@pytest.mark.parametrize("name", ["app.json", "render.yaml", "fly.toml", "compose.yaml"])
def test_it_names_settings_that_there_are(name: str) -> None:
    assert set(settings_of(name)) <= NAMES


@pytest.mark.parametrize("name", ["app.json", "render.yaml", "fly.toml"])
def test_the_platforms_router_is_believed(name: str) -> None:
    assert settings_of(name)["SOLROUTER_PROXY_HOPS"] == "1"


def test_each_asks_for_a_database_and_makes_a_secret() -> None:
    heroku, render, compose = read("app.json"), read("render.yaml"), read("compose.yaml")
    assert any("heroku-postgresql" in addon["plan"] for addon in heroku["addons"])
    assert heroku["env"]["SECRET_KEY"] == {
        "description": heroku["env"]["SECRET_KEY"]["description"],
        "generator": "secret",
    }
    variables = {entry["key"]: entry for entry in render["services"][0]["envVars"]}
    [database] = render["databases"]
    assert variables["DATABASE_URL"]["fromDatabase"]["name"] == database["name"]
    assert variables["SECRET_KEY"]["generateValue"] is True
    assert compose["services"]["database"]["image"].startswith("postgres:")
    assert "database:/var/lib/postgresql/data" in compose["services"]["database"]["volumes"]


def test_each_runs_the_lines_of_the_procfile() -> None:
    release, web = PROCFILE["release"], PROCFILE["web"]
    [service] = read("render.yaml")["services"]
    assert (service["preDeployCommand"], service["startCommand"]) == (release, web)
    deploy = read("railway.json")["deploy"]
    assert (deploy["preDeployCommand"], deploy["startCommand"]) == ([release], web)
    assert read("fly.toml")["deploy"]["release_command"] == release
    assert read("compose.yaml")["services"]["migrate"]["command"] == shlex.split(release)
    assert json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[-1]) == shlex.split(web)


def test_each_gives_streams_the_time_to_end() -> None:
    assert read("fly.toml")["kill_timeout"] > DRAIN_AND_MORE_S
    assert read("fly.toml")["kill_signal"] == "SIGTERM"
    assert read("railway.json")["deploy"]["drainingSeconds"] > DRAIN_AND_MORE_S
    assert read("render.yaml")["services"][0]["maxShutdownDelaySeconds"] > DRAIN_AND_MORE_S
    assert read("compose.yaml")["services"]["web"]["stop_grace_period"] == "30s"


def test_traces_and_error_reports_are_one_setting_away_on_each() -> None:
    """Each platform installs one file, and their packages stand in it."""
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.M))
    assert {"opentelemetry-sdk", "opentelemetry-instrumentation-flask", "sentry-sdk"} <= pinned
    [service] = read("render.yaml")["services"]
    installs = "--require-hashes --only-binary :all: -r requirements.txt"
    for recipe in (DOCKERFILE, service["buildCommand"]):
        assert re.findall(r"-r \S+", recipe) == ["-r requirements.txt"]
        assert installs in recipe
    makefile = (ROOT / "Makefile").read_text()
    assert "$(PIP_INSTALL) -r requirements.txt" in makefile
    assert not list(ROOT.glob("requirements-observe*"))


def test_the_unit_migrates_before_it_loads_new_code() -> None:
    unit = (ROOT / "deploy" / "solrouter.service").read_text()
    reloads = re.findall(r"^ExecReload=(.*)$", unit, re.MULTILINE)
    assert [reload.split("/")[-1] for reload in reloads] == [
        PROCFILE["release"],
        "kill -s HUP $MAINPID",
    ]
    [starts] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert starts.split("/")[-1] == PROCFILE["web"]


def test_the_operators_commands_have_the_units_settings() -> None:
    unit = (ROOT / "deploy" / "solrouter.service").read_text()
    script = (ROOT / "deploy" / "solrouter").read_text()
    said = dict(re.findall(r"^(\w+)=(\S+)$", unit, re.MULTILINE))
    assert f"done < {said['EnvironmentFile']}\n" in script
    assert f"cd {said['WorkingDirectory']}\n" in script
    assert f"runuser -u {said['User']} -- " in script
    assert f"umask {said['UMask']}\n" in script
    [path] = re.findall(r"^export SOLROUTER_INSTANCE_PATH=(\S+)$", script, re.MULTILINE)
    assert f"Environment=SOLROUTER_INSTANCE_PATH={path}\n" in unit
    assert f"StateDirectory={Path(path).name}\n" in unit
    assert subprocess.run(["sh", "-n", ROOT / "deploy" / "solrouter"], check=False).returncode == 0


def test_the_operators_commands_read_settings_as_systemd_does(tmp_path: Path) -> None:
    """With programs of the same names: `flask` prints what it was given."""
    programs, place = tmp_path / "bin", tmp_path / "place"
    for folder in (programs, place / ".venv" / "bin"):
        folder.mkdir(parents=True)
    show = f"#!{sys.executable}\nimport json, os, sys\n"
    show += "print(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
    for path, text in (
        (programs / "runuser", '#!/bin/sh\nshift 3\nexec "$@"\n'),
        (place / ".venv" / "bin" / "flask", show),
    ):
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "settings").write_text(SETTINGS_FILE)
    script = (ROOT / "deploy" / "solrouter").read_text()
    script = script.replace("/etc/solrouter.env", str(tmp_path / "settings"))
    (tmp_path / "solrouter").write_text(script.replace("cd /opt/solrouter", f"cd {place}"))
    result = subprocess.run(
        ["sh", tmp_path / "solrouter", "credits", "grant", "a b"],
        env={"PATH": f"{programs}:/usr/bin:/bin"}, cwd=tmp_path,
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    arguments, environ = json.loads(result.stdout)
    assert arguments == ["credits", "grant", "a b"]
    assert SETTINGS_READ.items() <= environ.items()
    assert environ["SOLROUTER_INSTANCE_PATH"] == "/var/lib/solrouter"
    assert not {"COMMENT", "OTHER", "not a name", "1ST"} & environ.keys()
    assert not (tmp_path / "ran").exists() and not (place / "ran").exists()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """By systemd itself, with programs of the same names where it looks for them."""
    require("systemd-analyze (Debian's systemd)", shutil.which("systemd-analyze") is not None)
    unit = (ROOT / "deploy" / "solrouter.service").read_text()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("flask", "gunicorn"):
        (programs / name).symlink_to("/bin/true")
    checked = tmp_path / "solrouter.service"
    checked.write_text(unit.replace("/opt/solrouter/.venv/bin/", f"{programs}/"))
    result = subprocess.run(
        ["systemd-analyze", "verify", checked], check=False, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_image_has_no_compiler_and_no_root() -> None:
    *_, last = DOCKERFILE.split("FROM ")
    assert "apt-get" not in DOCKERFILE
    assert "-slim" in last.splitlines()[0]
    assert "--require-hashes --only-binary :all:" in DOCKERFILE
    assert last.index("USER solrouter") < last.index("CMD")


def test_what_the_image_copies_is_enough_to_serve(tmp_path: Path) -> None:
    """The lines of the Dockerfile, by hand: in a folder with a blank in its name."""
    image, data = tmp_path / "the image", tmp_path / "data"
    image.mkdir()
    data.mkdir()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert f"!{source}" in ignored, f".dockerignore keeps {source} away"
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, image / source, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(ROOT / source, image)
    environ = {
        **serving.bare_environment(),
        **settings(f"sqlite:///{data / 'solrouter.sqlite3'}", data),
        "SECRET_KEY": SECRET_KEY,
        "SOLROUTER_ENV": "production",
    }
    (image / ".env").write_text("SECRETKEY=canary-of-a-slip\nPOSTGRES_PASSWORD=of-the-database\n")
    for command in (shlex.split(PROCFILE["release"]), ["flask", "doctor"]):
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=image, env=environ, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
    assert "SECRETKEY in .env is no setting" in result.stdout
    assert "Did you mean SECRET_KEY?" in result.stdout
    assert "canary" not in result.stdout and "POSTGRES_PASSWORD" not in result.stdout
    checked = [sys.executable, "-m", "gunicorn", "--check-config", "wsgi:app"]
    assert subprocess.run(checked, cwd=image, env=environ, check=False).returncode == 0
    (image / ".env").write_bytes(b"SOLROUTER_SELLER=Caf\xe9\n")
    words = f"{image}/.env is not in UTF-8. Save it anew in that encoding.\n"
    [told] = re.findall(r"^OURSELVES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    environ |= dict(word.split("=") for word in told.split())
    for line in (checked, [sys.executable, "-m", "flask", "db", "upgrade"]):
        refused = subprocess.run(
            line, cwd=image, env=environ, check=False, capture_output=True, text=True
        )
        assert refused.returncode != 0
        assert refused.stderr == words
