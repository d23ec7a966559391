"""Every sample of the quickstart and of the streaming page runs as it stands, on each provider.

Only the host, the key and the model's id are filled in. A sample that leans on what the page showed
before it (a client, a type) is run behind just that, cut from the page too.
"""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest
from openai import OpenAI, Stream
from openai.types.chat import ChatCompletionChunk

from tests.conftest import ROOT
from tests.e2e.place import (
    DEMO_MODEL,
    LLAMA_MODEL,
    TINY_MODEL,
    Place,
    browser,
    command,
    make_customer,
    sign_up,
    until,
)
from tests.fakes.upstream import FakeUpstream
from tests.samples import DOCS_PAGES, Sample, samples

QUICKSTART = samples(DOCS_PAGES / "quickstart.md")
SAMPLES = {**QUICKSTART, **samples(DOCS_PAGES / "streaming.md")}
NEVER_RUN = {"annotated-response", "error-body"}  # They are compared with real answers instead.
MODEL_IDS = re.compile(r'"(?:openai/gpt-4o-mini|anthropic/claude-haiku-3-5)"')
MEANING = "What is the meaning of life?"
COUNT = "Count from one to five."
TINY_ANSWER = "So says the tiny model."
RUN_S = 60
CONCURRENCY_OF_FREE = 4
TYPESCRIPT = ("--import", "tsx")
WITH_ENV_FILE = ("--env-file=.env",)


@dataclass
class Project:
    """A newcomer's folder, with the `.env` of the quickstart in it."""

    folder: Path
    place: Place
    model: str
    key: str
    node: str = ""
    samples: Mapping[str, Sample] = field(default_factory=lambda: SAMPLES)

    def code(self, name: str) -> str:
        """A sample with this server's address, the key and the model put in."""
        code = MODEL_IDS.sub(f'"{self.model}"', self.samples[name].code)
        code = code.replace("{{ api_base_url }}", self.place.served.api)
        return code.replace("{{ key_hint }}", self.key)

    def write(self, name: str, text: str) -> str:
        """Writes a file, and returns its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a program in the folder, which must succeed."""
        result = subprocess.run(
            arguments,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=_environment(),
            timeout=RUN_S,
        )
        assert result.returncode == 0, result.stderr
        return result

    def bash(self, name: str) -> str:
        """What a shell sample prints, with the key of `.env` in the environment."""
        return self.run("bash", "-ec", f"set -a; . ./.env; set +a\n{self.code(name)}").stdout

    def python(self, code: str) -> str:
        """What a Python program prints, when the key of `.env` is in the environment."""
        script = self.write("main.py", code)
        load = f"set -a; . ./.env; set +a; exec {sys.executable!r} {script}"
        return self.run("bash", "-ec", load).stdout

    def javascript(self, code: str, *flags: str) -> str:
        """What a JavaScript program prints."""
        return self.run(self.node, *flags, self.write("index.js", code)).stdout

    def typescript(self, code: str) -> subprocess.CompletedProcess[str]:
        """What a TypeScript program prints, its types stripped by tsx."""
        script = self.write("index.ts", code)
        return self.run(self.node, *WITH_ENV_FILE, *TYPESCRIPT, script)

    @property
    def endings(self) -> tuple[str, ...]:
        """How the model may end; the real one likes to go on."""
        return ("stop", "length") if self.model == LLAMA_MODEL else ("stop",)

    def said(self, question: str) -> str:
        """What the model is known to answer to a question; of the real one nothing is known."""
        if self.model == DEMO_MODEL:
            return "it is 42." if question == MEANING else f"You said: “{question}”"
        return TINY_ANSWER if self.model == TINY_MODEL else ""

    def is_answered(self, question: str, *, by: str) -> bool:
        """Whether what was printed holds the answer to a question."""
        return bool(by.strip()) and self.said(question) in by


def _environment() -> dict[str, str]:
    """A newcomer's shell: without any setting of ours."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def before(code: str, mark: str) -> str:
    """The part of a sample above the first line that begins with the mark."""
    head, found, _ = code.partition(f"\n{mark}")
    assert found, f"the sample has no line that begins with {mark!r}"
    return head + "\n"


@pytest.fixture(params=[DEMO_MODEL, TINY_MODEL, pytest.param(LLAMA_MODEL, marks=pytest.mark.real)])
def project(
    request: pytest.FixtureRequest, place: Place, upstream: FakeUpstream, tmp_path: Path
) -> Project:
    """A newcomer's folder, for a model inside the server, one behind it, and a real one."""
    upstream.answers(TINY_ANSWER)
    if request.param == LLAMA_MODEL:
        request.getfixturevalue("llama_model")
    return new_project(tmp_path, place, request.param)


@pytest.fixture
def node_project(project: Project, node: str) -> Project:
    """The same after `npm install openai dotenv`."""
    return with_node(project, node)


@pytest.fixture
def tiny_project(place: Place, upstream: FakeUpstream, tmp_path: Path, node: str) -> Project:
    """A folder with Node, for what must be seen or arranged at the provider."""
    upstream.answers(TINY_ANSWER)
    return with_node(new_project(tmp_path, place, TINY_MODEL), node)


def new_project(
    folder: Path,
    place: Place,
    model: str,
    key: str | None = None,
    *,
    samples: Mapping[str, Sample] | None = None,
) -> Project:
    """A folder with the `.env` of the quickstart in it; its samples are this page's or those."""
    project = Project(folder, place, model, key or place.key)
    project.write(".env", project.code("env-file"))
    return project if samples is None else replace(project, samples=samples)


def with_node(project: Project, node: str) -> Project:
    """The folder after `npm install`."""
    project.node = node
    project.write("package.json", '{"type": "module"}\n')
    (project.folder / "node_modules").symlink_to(ROOT / ".node" / "node_modules")
    return project


# Setting up.


def test_sign_up_key_credit_and_first_answer(place: Place, upstream: FakeUpstream) -> None:
    """Steps one to three as the page tells them, and what follows."""
    email, url = "nora@example.com", place.served.url
    upstream.answers(TINY_ANSWER)
    with browser() as visitor:
        key = sign_up(place.served, email, visitor)
        assert key not in visitor.get(f"{url}/account/keys").text
        command(place.served, "users", "confirm", email)
        command(place.served, "credits", "grant", email, "2.50", "--note", "Welcome")
        assert "$2.50" in visitor.get(f"{url}/account/balance").text
        with OpenAI(base_url=place.served.api, api_key=key) as client:
            question: Any = [{"role": "user", "content": MEANING}]
            answer = client.chat.completions.create(model=TINY_MODEL, messages=question)
        assert answer.choices[0].message.content == TINY_ANSWER
        assert TINY_MODEL in visitor.get(f"{url}/account/activity").text


def test_the_line_that_make_run_prints_works_when_pasted(place: Place, tmp_path: Path) -> None:
    project = Project(tmp_path, place, DEMO_MODEL, "")
    welcome = command(place.served, "demo")
    line = welcome[welcome.index("curl ") :]
    answer = json.loads(project.run("bash", "-c", line).stdout)
    assert project.said(MEANING) in answer["choices"][0]["message"]["content"]
    assert "exists; its password and key were printed" in command(place.served, "demo")


def test_the_key_stays_out_of_version_control(project: Project) -> None:
    project.bash("gitignore")
    assert (project.folder / ".gitignore").read_text() == ".env\n"


def test_python_loads_the_key(project: Project) -> None:
    script = project.write("main.py", project.code("python-load-key") + "print(api_key)\n")
    assert project.run(sys.executable, script).stdout.strip() == project.key


def test_node_loads_the_key_with_dotenv(node_project: Project) -> None:
    # The client's own sample stands below it, "before any other imports".
    code = node_project.code("node-load-key") + node_project.code("node-first-request")
    assert node_project.is_answered(MEANING, by=node_project.javascript(code))


def test_next_finds_the_key_in_its_own_file(node_project: Project) -> None:
    """Next.js reads `.env.local` by itself; here Node does, in its place."""
    node_project.write(".env.local", node_project.code("next-env-file"))
    code = node_project.code("next-load-key") + "console.log(apiKey);\n"
    assert node_project.javascript(code, "--env-file=.env.local").strip() == node_project.key


# The first request.


def test_curl(project: Project) -> None:
    answer = json.loads(project.bash("curl-first-request"))
    assert project.is_answered(MEANING, by=answer["choices"][0]["message"]["content"])
    assert answer["model"] == project.model


def test_python(project: Project) -> None:
    script = project.write("main.py", project.code("python-first-request"))
    assert project.is_answered(MEANING, by=project.run(sys.executable, script).stdout)


def test_node(node_project: Project) -> None:
    printed = node_project.javascript(node_project.code("node-first-request"), *WITH_ENV_FILE)
    assert node_project.is_answered(MEANING, by=printed)


def test_fetch(node_project: Project) -> None:
    (node_project.folder / "node_modules").unlink()
    printed = node_project.javascript(node_project.code("fetch-first-request"), *WITH_ENV_FILE)
    assert node_project.is_answered(MEANING, by=printed)


def test_typescript_reads_the_answer_its_tokens_and_its_end(node_project: Project) -> None:
    printed = node_project.typescript(node_project.code("ts-access")).stdout
    assert node_project.is_answered(MEANING, by=printed)
    assert re.search(r"^Tokens used: [1-9]\d*$", printed, re.MULTILINE)
    assert re.findall(r"^Finished because: (.*)$", printed, re.MULTILINE)[0] in node_project.endings


def test_the_answer_has_every_field_of_the_annotated_example(project: Project) -> None:
    example = json.loads(QUICKSTART["annotated-response"].code)
    answer = json.loads(project.bash("curl-first-request"))
    assert _fields(example) <= _fields(answer)
    assert answer["object"] == example["object"]
    assert answer["id"].startswith("chatcmpl-")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_wrong_key_is_answered_with_the_example_of_an_error(project: Project) -> None:
    project.key = "sr_YOUR_API_KEY"
    project.write(".env", project.code("env-file"))
    error = json.loads(project.bash("curl-first-request"))["error"]
    assert json.loads(QUICKSTART["error-body"].code)["error"].items() <= error.items()


# System prompts.


def test_system_prompt(node_project: Project) -> None:
    printed = node_project.javascript(node_project.code("node-system-prompt"), *WITH_ENV_FILE)
    assert node_project.is_answered("What is a closure in JavaScript?", by=printed)


def test_support_bot(node_project: Project, upstream: FakeUpstream) -> None:
    client = before(node_project.code("node-system-prompt"), "const completion")
    prompt = node_project.code("node-support-bot-prompt")
    call = node_project.code("node-support-bot-call")
    show = "console.log(completion.choices[0].message.content);\n"
    printed = node_project.javascript(client + prompt + call + show, *WITH_ENV_FILE)
    question = "Hi! My order hasn't arrived yet. Order #AX-99812."
    assert node_project.is_answered(question, by=printed)
    if node_project.model == TINY_MODEL:
        sent = upstream.last.body["messages"]  # type: ignore[index]
        assert [message["role"] for message in sent] == ["system", "user"]
        assert sent[0]["content"].startswith("You are Aria, a friendly")


# Conversation history.


def test_conversation_as_somebody_types_it(node_project: Project, upstream: FakeUpstream) -> None:
    script = node_project.write("index.ts", node_project.code("ts-conversation"))
    with Terminal(node_project, *WITH_ENV_FILE, *TYPESCRIPT, script) as terminal:
        terminal.shows("You: ")
        terminal.types("hello")
        terminal.shows(f"Assistant: {node_project.said('hello')}")
        terminal.shows("You: ")
        terminal.types("and again")
        terminal.shows(f"Assistant: {node_project.said('and again')}")
        terminal.shows("You: ")
        terminal.types("exit")
        assert terminal.ends() == 0
    if node_project.model == TINY_MODEL:
        sent = upstream.last.body["messages"]  # type: ignore[index]
        roles = ["system", "user", "assistant", "user"]
        assert [message["role"] for message in sent] == roles
        assert sent[2]["content"] == TINY_ANSWER


def test_sliding_window_keeps_the_system_prompt_and_the_last_twenty(
    tiny_project: Project, upstream: FakeUpstream
) -> None:
    conversation = before(tiny_project.code("ts-conversation"), "async function chat")
    more = 'for (let i = 0; i < 30; i++) messages.push({ role: "user", content: `Line ${i}` });\n'
    trim = tiny_project.code("ts-trim-history") + tiny_project.code("ts-trim-call")
    show = "console.log(completion.choices[0].message.content);\n"
    assert TINY_ANSWER in tiny_project.typescript(conversation + more + trim + show).stdout
    sent = upstream.last.body["messages"]  # type: ignore[index]
    lines = [f"Line {number}" for number in range(10, 30)]
    system = "You are a helpful assistant. Be concise and friendly."
    assert [message["content"] for message in sent] == [system, *lines]


# Retrying.


def test_the_retry_loop_outlasts_a_provider_that_fails_twice(
    tiny_project: Project, upstream: FakeUpstream
) -> None:
    upstream.answers(status=500, times=2)
    result = tiny_project.typescript(_retrying(tiny_project))
    assert TINY_ANSWER in result.stdout
    assert re.findall(r"Attempt (\d) failed \((\d+)\)", result.stderr) == [
        ("1", "502"),
        ("2", "502"),
    ]
    assert upstream.requests == 3


def test_the_retry_loop_outlasts_a_limit(tiny_project: Project, upstream: FakeUpstream) -> None:
    """The account's four places are taken by streams, which end once the loop was refused."""
    place = tiny_project.place
    plan = ("--plan", "free", "--credit", "1")
    tiny_project.key = make_customer(place.served, "bruno@example.com", *plan)
    tiny_project.write(".env", tiny_project.code("env-file"))
    script = tiny_project.write("index.ts", _retrying(tiny_project))
    upstream.streams(*["word "] * 500, stall_between_s=0.05, times=CONCURRENCY_OF_FREE)
    with ExitStack() as streams:
        client = OpenAI(base_url=place.served.api, api_key=tiny_project.key, max_retries=0)
        streams.enter_context(client)
        for _ in range(CONCURRENCY_OF_FREE):
            streams.enter_context(_open_stream(client))
        with Terminal(tiny_project, *WITH_ENV_FILE, *TYPESCRIPT, script) as terminal:
            terminal.shows("Attempt 1 failed (429). Retrying in ")
            streams.close()
            terminal.shows(TINY_ANSWER)
            assert terminal.ends() == 0


def test_the_sdk_retries_by_itself(tiny_project: Project, upstream: FakeUpstream) -> None:
    upstream.answers(status=500, times=2)
    code = tiny_project.code("node-first-request")
    code = code.replace("new OpenAI({\n", "new OpenAI({\n  maxRetries: 3,\n")
    assert "maxRetries: 3" in code
    assert TINY_ANSWER in tiny_project.javascript(code, *WITH_ENV_FILE)
    assert upstream.requests == 3


# Streaming.


def test_python_stream(project: Project) -> None:
    printed = project.python(project.code("python-stream"))
    said, _, tokens = printed.removesuffix("\n").rpartition("\n")
    assert project.is_answered(COUNT, by=said)
    assert re.fullmatch(r"[1-9]\d* tokens", tokens)


def test_node_stream(node_project: Project) -> None:
    printed = node_project.javascript(node_project.code("node-stream"), *WITH_ENV_FILE)
    said, _, tokens = printed.removesuffix("\n").rpartition("\n")
    assert node_project.is_answered(COUNT, by=said)
    assert re.fullmatch(r"[1-9]\d* tokens", tokens)


def test_curl_stream(project: Project) -> None:
    *events, last = project.bash("curl-stream").rstrip("\n").split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert project.is_answered(COUNT, by=said)
    assert chunks[-1]["choices"][0]["finish_reason"] in project.endings
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert {chunk["model"] for chunk in chunks} == {project.model}
    assert last == "data: [DONE]"


# The list itself.


def test_every_sample_is_run_by_a_test_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    run = {name for name in SAMPLES if f'code("{name}")' in source or f'bash("{name}")' in source}
    assert run == SAMPLES.keys() - NEVER_RUN


def _fields(value: object, path: str = "") -> set[str]:
    """The names in a JSON value with their places, lists taken as one."""
    if isinstance(value, dict):
        return {path} | {
            name for key, inner in value.items() for name in _fields(inner, f"{path}.{key}")
        }
    if isinstance(value, list):
        return {name for inner in value for name in _fields(inner, f"{path}[]")}
    return {path}


def _retrying(project: Project) -> str:
    """The page's retry loop, with a client that leaves retrying to it, and one call."""
    client = before(project.code("ts-access"), "const completion").replace(
        "new OpenAI({\n", "new OpenAI({\n  maxRetries: 0,\n"
    )
    call = (
        "const completion = await chatWithRetry(client, "
        f'{{ model: "{project.model}", messages: [{{ role: "user", content: "{MEANING}" }}] }});\n'
        "console.log(completion.choices[0].message.content);\n"
    )
    return client + project.code("ts-retry") + call


def _open_stream(client: OpenAI) -> Stream[ChatCompletionChunk]:
    """A stream that has begun."""
    stream = client.chat.completions.create(
        model=TINY_MODEL,
        messages=[{"role": "user", "content": "Go on and on."}],
        max_tokens=1000,
        stream=True,
    )
    assert next(iter(stream)).choices
    return stream


class Terminal:
    """A Node program at work, and somebody who types when they see what they waited for.

    The keyboard is a real terminal's: Node does not end while a pipe to it stays open.
    """

    def __init__(self, project: Project, *arguments: str) -> None:
        self._screen = project.folder / "screen.txt"
        self._read_to = 0
        self._keyboard, keyboard_of_node = pty.openpty()
        with self._screen.open("wb") as output:
            self._process = subprocess.Popen(
                [project.node, *arguments],
                cwd=project.folder,
                env=_environment(),
                stdin=keyboard_of_node,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        os.close(keyboard_of_node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._keyboard)

    def shows(self, text: str) -> None:
        """Waits until the text stands on the screen, below what was waited for before."""
        until(lambda: self._has_come(text), within_s=RUN_S)

    def types(self, line: str) -> None:
        """Types a line."""
        os.write(self._keyboard, f"{line}\n".encode())

    def ends(self) -> int:
        """The exit code, once the program has ended."""
        return self._process.wait(RUN_S)

    def _has_come(self, text: str) -> bool:
        screen = self._screen.read_text(encoding="utf-8")
        place = screen.find(text, self._read_to)
        if place >= 0:
            self._read_to = place + len(text)
        return place >= 0
