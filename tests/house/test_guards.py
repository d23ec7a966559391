"""Every room has a guard, and a room without one is closed."""

from flask import Blueprint, Flask

from solrouter.blueprints import guards


def test_every_route_belongs_to_a_room_with_a_guard(app: Flask) -> None:
    missing = {
        rule.endpoint.rpartition(".")[0]
        for rule in app.url_map.iter_rules()
        if (rule.endpoint.rpartition(".")[0] or None) not in guards.GUARDS
    }
    assert not missing, f"add to GUARDS in solrouter/blueprints/guards.py: {sorted(missing)}"


def test_what_belongs_to_no_room_is_in_the_table() -> None:
    assert guards.GUARDS[None] is guards.anyone


def test_only_files_belong_to_no_room(app: Flask) -> None:
    bare = [r.endpoint for r in app.url_map.iter_rules() if "." not in r.endpoint]
    assert bare == ["static"], "put the view into a blueprint, so that a guard stands before it"


def test_the_table_names_no_room_that_is_gone(app: Flask) -> None:
    assert {name for name in guards.GUARDS if name} == set(app.blueprints)


def test_a_room_without_a_guard_is_closed(app: Flask) -> None:
    cellar = Blueprint("cellar", __name__)
    cellar.add_url_rule("/cellar", "show", lambda: "come in")
    app.register_blueprint(cellar)
    answer = app.test_client().get("/cellar")
    assert answer.status_code == 500
    assert "come in" not in answer.text


def test_rooms_behind_a_sign_in_lead_strangers_to_it(app: Flask) -> None:
    adapter, client = app.url_map.bind("localhost"), app.test_client()
    closed = (guards.signed_in, guards.member, guards.operator)
    for rule in app.url_map.iter_rules():
        if guards.GUARDS[rule.endpoint.rpartition(".")[0] or None] not in closed:
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path = adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "x"), method)
            answer = client.open(path, method=method)
            assert answer.status_code == 303, (method, path)
            assert answer.headers["Location"].startswith("/login"), (method, path)


def test_the_members_table_names_no_page_that_is_gone(app: Flask) -> None:
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert set(guards.MEMBERS) <= endpoints


def test_a_page_that_the_members_table_does_not_name_is_the_owners() -> None:
    assert guards.MEMBERS.get("account.of_tomorrow", guards.OWNER_ALONE) == {guards.OWNER}
