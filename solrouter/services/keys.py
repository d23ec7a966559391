"""API keys: made, shown once, found by digest, changed, revoked. Of money they know their limit.

`key_switches` stops them for a while, `rotations` gives them new secrets.
"""

import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from sqlalchemy import (
    BindParameter,
    Connection,
    Executable,
    Row,
    String,
    Subquery,
    bindparam,
    false,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)

from solrouter import config, database, secrets
from solrouter.clock import utcnow
from solrouter.errors import Forbidden, KeyInvalid, KeyRevoked, Refused
from solrouter.models import Account, ApiKey, FormerSecret, Plan, User
from solrouter.models.columns import db_now
from solrouter.services import (
    budgets,
    key_rows,
    key_rules,
    member_rows,
    principals,
    webhook_queue,
)
from solrouter.services.budgets import Limit, OfKey, Past
from solrouter.services.key_rules import Rules
from solrouter.services.key_text import hint, is_well_formed, make_text
from solrouter.services.principals import Proof

LAST_USED_EVERY_S = 60
SCOPE_INFERENCE = key_rules.INFERENCE
INVALID = "Invalid API key provided."
LIFETIME = budgets.LIFETIME
OTHER_VERSION = "This key was changed meanwhile. Look at what it is now, and change it again."

Key = key_rows.Key
NewKey = key_rows.NewKey
Limits = principals.Limits
Principal = principals.Principal
# What `require_live` looks at; the admission selects the same.
state_columns = key_rows.state_columns
require_live = key_rows.require_live
# How often a limit may begin anew.
RESETS = tuple(budgets.PERIODS)


class _Uncounted(Exception):
    """A limit is wished for a period of which nobody has counted what was spent."""

    def __init__(self, period: str) -> None:
        super().__init__(period)
        self.period = period


def create(
    account_id: int,
    *,
    user_id: int,
    name: str,
    limit_nanos: int | None = None,
    resets: str = budgets.NEVER,
    rules: Rules | None = None,
    actor: str | None = None,
    is_owner: bool = True,
    first: Callable[[Connection, str], None] | None = None,
) -> NewKey:
    """Makes a key and returns it with its text, for the only time. Raises Refused and Forbidden.

    The actor is who stands in the audit trail, if not the user; who is not the account's owner
    makes no management key. `first` begins the transaction, and is told the key's id and text.
    """
    name, limit = key_rows.named(name), key_rows.limited(limit_nanos, resets)
    rules = (rules or Rules()).checked()
    key_rows.require_owner(rules, is_owner=is_owner)
    key_rows.require_future(rules.expires_at)
    text = make_text()
    root = secrets.current().newest
    public_id, now = "key_" + random.token_hex(12), utcnow()
    values = {
        "public_id": public_id,
        "account_id": account_id,
        "user_id": user_id,
        "name": name,
        "hint": hint(text),
        "digest": root.digest(text),
        "digest_version": root.fingerprint,
        **key_rows.rule_columns(rules),
        "created_at": now,
        "updated_at": now,
    }
    set_rules = {what: rule for what, rule in key_rows.told(rules).items() if rule is not None}
    facts = {"name": name, "limit_nanos": limit_nanos, "resets": resets, **set_rules}
    most = config.current()["SOLROUTER_KEYS_PER_ACCOUNT_MAX"]

    def verb(connection: Connection) -> None:
        key_rows.lock_account(connection, account_id)
        role = refuse_who_left(connection, account_id, user_id)
        if first is not None:
            first(connection, f"{public_id} {text}")
        _refuse_too_many(connection, account_id, most)
        key_id = connection.execute(
            insert(ApiKey).values(**values).returning(ApiKey.id)
        ).scalar_one()
        _refuse_beyond(connection, key_id, role)
        if limit is not None:
            start = budgets.calendar(connection).start(limit.period)
            whose = OfKey(account_id, key_id)
            budgets.put(connection, whose, limit, start=start, spent=0)
        connection.execute(
            key_rows.event("created", account_id, key_id, actor or f"user:{user_id}", facts)
        )
        data = {"key": public_id, "name": name, "hint": values["hint"]}
        webhook_queue.put(connection, webhook_queue.KEY_CREATED, data, account_id=account_id)

    database.transact(verb)
    webhook_queue.ring()
    return NewKey(find(account_id, public_id), text)


def list_of(account_id: int) -> list[Key]:
    """The account's keys, those in use first, then the newest."""
    with database.read() as connection:
        rows = connection.execute(
            key_rows.owner_view().where(ApiKey.account_id == account_id)
        ).all()
    found = [key_rows.as_key(row) for row in rows]
    return sorted(found, key=lambda key: (key.status != "active", -key.created_at.timestamp()))


def page(account_id: int, *, offset: int, limit: int, with_disabled: bool) -> tuple[list[Key], int]:
    """So many of the account's keys, in the order in which they were made, and how many there are.

    Revoked ones are gone.
    """
    mine = [
        ApiKey.account_id == account_id,
        ApiKey.revoked_at.is_(None),
        key_rows.is_for_the_api(),
    ]
    if not with_disabled:
        mine.append(ApiKey.disabled_at.is_(None))
    rows = key_rows.owner_view().where(*mine).order_by(ApiKey.id).offset(offset).limit(limit)
    with database.read() as connection:
        found = [key_rows.as_key(row) for row in connection.execute(rows)]
        counted = select(func.count()).select_from(ApiKey).where(*mine)
        return found, connection.execute(counted).scalar_one()


def find(account_id: int, public_id: str) -> Key:
    """One key of the account. Raises NotFound, also for somebody else's."""
    return key_rows.as_key(key_rows.find(account_id, public_id))


class Wishes(TypedDict, total=False):
    """What is to become of a key. What is not named stays as it is, each rule by itself."""

    name: str
    # None takes the limit away.
    limit_nanos: int | None
    resets: str
    # Some fields of `Rules`.
    rules: Mapping[str, Any]
    is_disabled: bool


def change(
    account_id: int,
    public_id: str,
    *,
    actor: str,
    is_owner: bool = True,
    version: str | None = None,
    **wishes: Unpack[Wishes],
) -> Key:
    """Makes of a key what is wished, from the next request on, and returns it.

    All of it is read, compared and written behind the account's lock, or none of it, so two who
    change different things at once do not undo each other. With a `version` nothing is changed of
    a key that is of another by then. What is spent stays true: another amount leaves it, and for
    another period it is what the key's requests of that period were charged and hold.
    Raises Refused, Forbidden and NotFound.
    """
    whose, pasts = OfKey(account_id, key_rows.find(account_id, public_id).id), dict[str, Past]()

    def verb(connection: Connection) -> None:
        # Admissions and settlements of the account wait here, so that none is counted half.
        key_rows.lock_account(connection, account_id)
        row = key_rows.find_in(connection, account_id, public_id)
        name, limit, rules = _wished(row, wishes)
        for each in (key_rows.as_rules(row), rules):
            key_rows.require_owner(each, is_owner=is_owner)
        changes = _changes(row, name, limit, rules)
        if changes and version not in (None, key_rows.as_key(row).version):
            raise Refused(OTHER_VERSION, param="version")
        if changes:
            _write(connection, row, {"name": name, **key_rows.rule_columns(rules)}, changes)
            if changes.keys() & {"limit_nanos", "period"}:
                _write_limit(connection, whose, row, limit, pasts)
            connection.execute(key_rows.event("changed", account_id, row.id, actor, changes))
        if "is_disabled" in wishes:
            flag = wishes["is_disabled"]
            key_rows.switch(connection, account_id, row, flag, actor=actor, is_owner=is_owner)

    _transact_counted(verb, whose, pasts)
    return find(account_id, public_id)


def revoke(
    account_id: int, public_id: str, *, actor: str | None = None, is_owner: bool = True
) -> Key:
    """Ends a key, from the next request on; again does nothing. Raises NotFound and Forbidden.

    The actor is who stands in the audit trail, if not the account itself.
    """
    key_rows.require_owner(find(account_id, public_id).rules, is_owner=is_owner)
    statement = (
        update(ApiKey)
        .where(ApiKey.account_id == account_id, ApiKey.public_id == public_id)
        .where(ApiKey.revoked_at.is_(None))
        .values(revoked_at=db_now(), updated_at=utcnow())
        .returning(ApiKey.id)
    )

    def verb(connection: Connection) -> None:
        key_id = connection.execute(statement).scalar_one_or_none()
        if key_id is not None:
            who = actor or f"account:{account_id}"
            connection.execute(key_rows.event("revoked", account_id, key_id, who))

    database.transact(verb)
    return find(account_id, public_id)


def recall(text: str, *, address: str = "") -> Principal | None:
    """Who this key spoke for a moment ago: no proof before an admission has made it one."""
    if not is_well_formed(text):
        return None
    return principals.memory().recalled(secrets.current().newest.digest(text), address)


def authenticate(text: str, *, address: str = "") -> Principal:
    """Who this key speaks for, by the database. Raises KeyInvalid, KeyRevoked, KeyExpired.

    Whether it may be used from the address is for the caller to ask (`Principal.require_network`),
    who then knows whose refusal that is. The admission proves the key again in its own transaction;
    this answer only decides what a request may see before it.
    """
    if not is_well_formed(text):
        raise KeyInvalid(INVALID)
    newest = secrets.current().newest
    # Most keys are of the newest root secret, and then one look is enough.
    for root in secrets.current().roots:
        version, digest = root.fingerprint, root.digest(text)
        row = database.look_up(_find_by_digest, digest_version=version, digest=digest)
        if row is not None:
            break
    else:
        raise KeyInvalid(INVALID)
    require_live(row)
    if row.user_disabled_at is not None:
        raise KeyRevoked("The user who made this API key has been disabled.")
    if row.has_ended:
        raise KeyRevoked("This secret was replaced when its API key was rotated. Use the new one.")
    if row.was_seldom_seen:
        _touch_former(digest)
    if version != newest.fingerprint:
        _rewrite_digest(digest, version=newest.fingerprint, newer=newest.digest(text))
    principal = Principal(
        key_id=row.id,
        key_public_id=row.public_id,
        account_id=row.account_id,
        user_id=row.user_id,
        scopes=frozenset(row.scopes.split()),
        models_allowed=None if row.models_allowed is None else tuple(row.models_allowed),
        limits=limits_in(row),
        networks_allowed=None if row.networks_allowed is None else tuple(row.networks_allowed),
        address=address,
        content_days=row.content_days,
    )
    if row.is_own:
        principals.memory().remember(principal, Proof(digest, row.terms))
    return principal


@database.prepared
def _find_by_digest(_dialect: str) -> Executable:
    secret = _secret()
    statement = select(
        ApiKey.id,
        ApiKey.public_id,
        ApiKey.account_id,
        ApiKey.user_id,
        ApiKey.scopes,
        ApiKey.models_allowed,
        ApiKey.networks_allowed,
        literal_column(principals.TERMS, String).label("terms"),
        secret.c.is_own,
        secret.c.has_ended,
        secret.c.was_seldom_seen,
        Account.content_days,
        *state_columns(),
        *limit_columns(),
        User.disabled_at.label("user_disabled_at"),
    )
    statement = statement.select_from(secret).join(ApiKey, ApiKey.id == secret.c.key_id)
    statement = statement.join(User, User.id == ApiKey.user_id)
    statement = statement.join(Account, Account.id == ApiKey.account_id)
    return statement.join(Plan, Plan.slug == Account.plan_slug)


def _secret() -> Subquery:
    """The key of a digest: by its own secret, or by a former one. One unique index each."""
    digest: BindParameter[bytes] = bindparam("digest")
    version: BindParameter[str] = bindparam("digest_version")
    own = select(
        ApiKey.id.label("key_id"),
        true().label("is_own"),
        false().label("has_ended"),
        false().label("was_seldom_seen"),
    ).where(ApiKey.digest == digest, ApiKey.digest_version == version)
    former = select(
        FormerSecret.key_id,
        false(),
        FormerSecret.ends_at <= db_now(),
        _is_stale(FormerSecret.last_used_at),
    ).where(FormerSecret.digest == digest, FormerSecret.digest_version == version)
    return own.union_all(former).subquery("secret")


def limit_columns() -> tuple[Any, ...]:
    """What `limits_in` reads; the admission selects the same."""
    return (
        Plan.requests_per_minute,
        Plan.tokens_per_minute,
        Plan.concurrency,
        Plan.free_requests_per_day,
        Plan.free_concurrency,
        ApiKey.requests_per_minute.label("key_requests_per_minute"),
        ApiKey.tokens_per_minute.label("key_tokens_per_minute"),
        ApiKey.concurrency.label("key_concurrency"),
    )


def limits_in(row: Any) -> Limits:
    """The limits in a row that has the columns of `limit_columns`."""
    return Limits._make([getattr(row, name) for name in Limits._fields])


def touch(connection: Connection, key_id: int, address: str) -> None:
    """Notes a key's use and whence, at most once a minute; for the settlement."""
    _touch.changes(connection, key_id=key_id, address=address or None)


def note_use(principal: Principal) -> None:
    """Notes the use of a key that nothing is settled for."""
    database.transact(
        lambda connection: touch(connection, principal.key_id, principal.address), durable=False
    )


@database.prepared
def _touch(_dialect: str) -> Executable:
    of_key = update(ApiKey).where(ApiKey.id == bindparam("key_id"), _is_stale(ApiKey.last_used_at))
    address = bindparam("address", type_=String)
    return of_key.values(last_used_at=db_now(), last_used_address=address)


def _is_stale(last_used_at: Any) -> Any:
    return last_used_at.is_(None) | (last_used_at < db_now(-LAST_USED_EVERY_S))


def _touch_former(digest: bytes) -> None:
    """Notes the use of a former secret, so that its owner sees whether it can end."""
    used = update(FormerSecret).where(FormerSecret.digest == digest).values(last_used_at=db_now())
    database.transact(lambda connection: connection.execute(used), durable=False)


def _rewrite_digest(digest: bytes, *, version: str, newer: bytes) -> None:
    """Moves a secret from a former root secret to the newest, at its first use after the change.

    Found by its digest and not by its key, which may have been rotated since.
    """

    def verb(connection: Connection) -> None:
        for table in (ApiKey, FormerSecret):
            moved = update(table).where(table.digest == digest)
            connection.execute(moved.values(digest=newer, digest_version=version))

    database.transact(verb)


def refuse_who_left(connection: Connection, account_id: int, user_id: int) -> str:
    """The role of a key's maker. Raises Forbidden for who belongs to the account no longer.

    Behind the account's lock, so that nobody makes a key while they are being removed.
    """
    role = member_rows.role_of(connection, account_id, user_id)
    if role is None:
        raise Forbidden("You belong to this account no longer.")
    return role


def _refuse_beyond(connection: Connection, key_id: int, role: str) -> None:
    """Raises Forbidden for a key that its maker's role may not have, whatever a page let through
    a moment before they got it.
    """
    beyond = select(ApiKey.id).where(ApiKey.id == key_id, member_rows.is_beyond(role))
    if connection.execute(beyond).first() is not None:
        raise Forbidden("Your role in this account may not have such a key.", code="role_required")


def _refuse_too_many(connection: Connection, account_id: int, most: int) -> None:
    statement = select(func.count()).where(
        ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None), key_rows.is_for_the_api()
    )
    if connection.execute(statement).scalar_one() >= most:
        raise Refused(f"An account has at most {most} keys. Revoke one first.", param="name")


def _wished(row: Row[*tuple[Any, ...]], wishes: Wishes) -> tuple[str, Limit | None, Rules]:
    """The name, the limit and the rules of the key once it is as wished. Raises Refused."""
    name = key_rows.named(wishes["name"]) if "name" in wishes else row.name
    before = rules = key_rows.as_rules(row)
    if wishes.get("rules"):
        rules = replace(before, **wishes["rules"]).checked()
    if rules.expires_at != before.expires_at:
        key_rows.require_future(rules.expires_at)
    return name, _limit(row, wishes), rules


def _limit(row: Row[*tuple[Any, ...]], wishes: Wishes) -> Limit | None:
    """The limit of the key once it is as wished. Raises Refused."""
    nanos = wishes.get("limit_nanos", row.limit_nanos)
    resets = wishes.get("resets", budgets.RESETS[row.period or LIFETIME])
    limit = key_rows.limited(nanos, resets)
    if limit is None and "limit_nanos" not in wishes and resets != budgets.NEVER:
        raise Refused("The key has no limit that could begin anew. Give it one.", param="resets")
    return limit


def _write(
    connection: Connection,
    row: Row[*tuple[Any, ...]],
    columns: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> None:
    """Writes what of the key's own row changes. Raises Refused for a revoked key."""
    values = {column: value for column, value in columns.items() if column in changes}
    named = update(ApiKey).where(ApiKey.id == row.id, ApiKey.revoked_at.is_(None))
    if connection.execute(named.values(updated_at=utcnow(), **values)).rowcount != 1:
        raise Refused(key_rows.IS_REVOKED, param="name")


def _transact_counted(
    verb: Callable[[Connection], None], whose: OfKey, pasts: dict[str, Past]
) -> None:
    """Runs the verb, and anew whenever a period's past is missing, which is counted outside of it.

    That is once for each of the five periods, even if others change it meanwhile.
    """
    while True:
        try:
            return database.transact(verb)
        except _Uncounted as error:
            pasts[error.period] = budgets.past(whose, error.period)


def _write_limit(
    connection: Connection,
    whose: OfKey,
    row: Row[*tuple[Any, ...]],
    limit: Limit | None,
    pasts: Mapping[str, Past],
) -> None:
    """Writes the limit; for another period with what was spent of that, counted beforehand."""
    if limit is None:
        budgets.remove(connection, whose)
    elif limit.period == row.period:
        budgets.change_amount(connection, whose, limit)
    elif limit.period in pasts:
        budgets.begin(connection, whose, limit, pasts[limit.period])
    else:
        raise _Uncounted(limit.period)


def _changes(
    row: Row[*tuple[Any, ...]], name: str, limit: Limit | None, rules: Rules
) -> dict[str, Any]:
    """What is not as it was, as [before, after]."""
    nanos, period = (limit.nanos, limit.period) if limit is not None else (None, None)
    before, after = key_rows.told(key_rows.as_rules(row)), key_rows.told(rules)
    pairs = {
        "name": [row.name, name],
        "limit_nanos": [row.limit_nanos, nanos],
        "period": [row.period, period],
        **{what: [before[what], after[what]] for what in before},
    }
    return {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}
