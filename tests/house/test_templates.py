"""The rules of STYLE 2.10, read from every template: fragments, CSP, forms, components on show."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "solrouter" / "templates"
TEMPLATES = sorted(FOLDER.rglob("*.html"))
FRAGMENTS = [path for path in TEMPLATES if path.name.startswith("_")]
COMPONENTS = sorted((FOLDER / "components").glob("*.html"))
HTMX_ORDER = (
    "id", "class", "method", "action", "href",
    "hx-get", "hx-post", "hx-target", "hx-swap", "hx-push-url", "hx-trigger",
)  # fmt: skip
STATIC = FOLDER.parent / "static"


def name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def markup(path: Path) -> str:
    """The template without comments and statements."""
    text = re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL)


def tags(path: Path) -> list[str]:
    """Every opening tag, its expressions left out so that a `>` in them is none of ours."""
    return re.findall(
        r"<[a-z][^>]*>", re.sub(r"\{\{.*?\}\}", "VALUE", markup(path), flags=re.DOTALL)
    )


def attributes(tag: str) -> list[str]:
    return re.findall(r"\s([a-z][a-z-]*)(?==|\s|>)", re.sub(r'"[^"]*"', '""', tag))


@pytest.mark.parametrize("path", FRAGMENTS, ids=name)
def test_a_fragment_has_one_root_named_as_its_file(path: Path) -> None:
    expected = path.stem.removeprefix("_").replace("_", "-")
    text = markup(path).strip()
    first = re.match(r"<([a-z]+)[^>]*>", text)
    assert first, "a fragment begins with its root"
    assert f'id="{expected}"' in first.group(0), f"the root's id is {expected}"
    assert text.endswith(f"</{first.group(1)}>"), "a fragment ends with its root"


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_nothing_is_inline_and_nothing_is_safe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "|safe" not in text.replace(" ", ""), "wrap trusted HTML as Markup in Python"
    assert "autoescape" not in text
    for tag in tags(path):
        assert not tag.startswith("<style"), "styles live in site.css"
        assert not tag.startswith("<script") or "src=" in tag, "scripts live in files"
        for attribute in attributes(tag):
            assert attribute != "style", tag
            assert not attribute.startswith(("on", "hx-on")), tag
            assert attribute != "hx-boost", tag
    assert "js:" not in text
    assert "javascript:" not in text


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_every_form_has_method_and_action(path: Path) -> None:
    for tag in tags(path):
        if tag.startswith("<form"):
            assert 'method="' in tag, tag
            assert 'action="' in tag, tag


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_htmx_is_written_out_and_in_order(path: Path) -> None:
    for tag in tags(path):
        names = attributes(tag)
        if "hx-get" not in names and "hx-post" not in names:
            continue
        assert "hx-target" in names, tag
        assert "hx-swap" in names, tag
        assert "action" in names or "href" in names, f"works without script: {tag}"
        known = [attribute for attribute in names if attribute in HTMX_ORDER]
        assert known == sorted(known, key=HTMX_ORDER.index), tag


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_addresses_come_from_url_for(path: Path) -> None:
    for tag in tags(path):
        assert not re.search(r'(href|action|src|hx-get|hx-post)="/', tag), tag
        assert not re.search(r'(src|href)="https?:', tag), tag


@pytest.mark.parametrize("path", COMPONENTS, ids=name)
def test_components_know_values_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("url_for", "current_user", "request."):
        assert word not in text


@pytest.mark.parametrize("path", COMPONENTS, ids=name)
def test_every_component_is_on_the_patterns_page(path: Path) -> None:
    shown = (
        (FOLDER / "patterns.html").read_text(encoding="utf-8").replace("sample_tabs(", "samples(")
    )
    for macro in re.findall(r"\{% macro (\w+)\(", path.read_text(encoding="utf-8")):
        assert re.search(rf"(?<![\w-]){macro}\(", shown), f"{macro} is not on patterns.html"


def test_pages_extend_the_only_shell() -> None:
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        if "<html" in text:
            assert name(path) == "layout.html"


def test_the_shell_has_two_blocks() -> None:
    text = (FOLDER / "layout.html").read_text(encoding="utf-8")
    assert re.findall(r"\{% block (\w+)", text) == ["title", "main"]


def test_the_script_is_small_and_htmx_bears_its_version() -> None:
    assert len((STATIC / "site.js").read_text(encoding="utf-8").splitlines()) < 100
    [vendored] = STATIC.glob("htmx-*.min.js")
    version = vendored.name.removeprefix("htmx-").removesuffix(".min.js")
    assert f'version:"{version}"' in vendored.read_text(encoding="utf-8")


def test_the_stylesheet_uses_tokens_for_colours() -> None:
    text = (STATIC / "site.css").read_text(encoding="utf-8")
    _, _, after_tokens = text.partition("@layer base {")
    bare = re.findall(r"(?<!light-dark\()(?<!, )#[0-9a-f]{3,8}\b(?![^{]*\{)", after_tokens)
    assert not bare, f"colours are named in the tokens layer: {bare}"
