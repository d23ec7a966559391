"""Each step of a request as one statement, for PostgreSQL.

Each runs behind the lock of the account's row (`solrouter.database.groups.LOCK`), and whoever
writes an account's money, holds, budgets or buckets takes that lock first. So what a statement
reads of them is what it changes, and one query can check every condition before the writes: they
all hang on one row, which is there when all hold.

A statement that returns no row has changed nothing. It may refuse what the careful way admits,
never admit what that refuses.
"""

from solrouter.database import Numbered
from solrouter.services import catalogue, gcra
from solrouter.services.admission import receipts
from solrouter.services.billing import REVENUE, USAGE
from solrouter.services.keys import LAST_USED_EVERY_S
from solrouter.services.limits import MINUTE_US, TOKENS
from solrouter.services.principals import TERMS

CATALOGUE_VERSION = catalogue.version_statement().compile(compile_kwargs={"literal_binds": True})
NOW_US = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

# One instant for a whole statement, so that a request counts in the period in which it began.
CLOCK = """
    SELECT now, (extract(epoch FROM now) * 1000000)::bigint AS now_us FROM clock_timestamp() AS now
"""
START = """
    CASE WHEN period = 'lifetime' THEN period_start ELSE date_trunc(period, now, 'UTC') END
"""
# The budgets of key and member in their current period, which begins anew by itself.
BUDGETS = f"""
    SELECT subject, period, start, limit_nanos,
           CASE WHEN period_start < start THEN 0 ELSE spent_nanos END AS carried_nanos
      FROM clock, budgets, LATERAL (SELECT {START}) AS current_period (start)
     WHERE subject = ANY(%(budget_subjects)s::text[])
"""

TAKE_BUDGETS = """
    UPDATE budgets
       SET spent_nanos = budget.carried_nanos + admitted.amount_nanos,
           period_start = GREATEST(budgets.period_start, budget.start)
      FROM budget, admitted
     WHERE (budgets.subject, budgets.period) = (budget.subject, budget.period)
"""

# The sizes are tried in order, the first that the purse can pay decides; then every limit must
# have room for it. The limits in the parameters are those of the key's authentication, so they
# are compared with what holds now.
ADMIT = Numbered(f"""
WITH clock AS MATERIALIZED ({CLOCK}),
budget AS MATERIALIZED ({BUDGETS}),
purse AS MATERIALIZED (
    SELECT LEAST(paid_nanos + granted_nanos, budgeted.left_nanos) AS all_nanos,
           LEAST(paid_nanos + granted_nanos - held_nanos, budgeted.left_nanos) AS free_nanos
      FROM api_keys
      JOIN users ON users.id = api_keys.user_id
      JOIN accounts ON accounts.id = api_keys.account_id
      JOIN plans ON plans.slug = accounts.plan_slug,
           (SELECT min(limit_nanos - carried_nanos) FROM budget) AS budgeted (left_nanos)
     WHERE api_keys.id = %(key_id)s
       AND api_keys.revoked_at IS NULL
       AND api_keys.disabled_at IS NULL
       AND (api_keys.expires_at <= clock_timestamp()) IS NOT TRUE
       AND users.disabled_at IS NULL
       AND accounts.frozen_at IS NULL
       AND accounts.keys_frozen_at IS NULL
       AND (%(key_digest)s::bytea IS NULL OR
            (api_keys.digest, {TERMS}) = (%(key_digest)s::bytea, %(key_terms)s::text))
       AND ({CATALOGUE_VERSION}) = %(catalogue_version)s
       AND (users.email_verified_at IS NOT NULL OR NOT %(is_free)s)
       AND (plans.requests_per_minute, plans.tokens_per_minute, plans.concurrency,
            plans.free_requests_per_day, plans.free_concurrency,
            api_keys.requests_per_minute, api_keys.tokens_per_minute, api_keys.concurrency)
           IS NOT DISTINCT FROM
           (%(requests_per_minute)s::int, %(tokens_per_minute)s::bigint, %(concurrency)s::int,
            %(free_requests_per_day)s::int, %(free_concurrency)s::int,
            %(key_requests_per_minute)s::int, %(key_tokens_per_minute)s::bigint,
            %(key_concurrency)s::int)
),
size AS MATERIALIZED (
    SELECT size.*
      FROM purse,
           unnest(%(amounts)s::bigint[], %(needs)s::bigint[], %(tokens)s::bigint[])
           WITH ORDINALITY AS size (amount_nanos, needs_nanos, tokens, place)
     WHERE needs_nanos <= free_nanos AND %(most_nanos)s <= all_nanos
     ORDER BY place
     LIMIT 1
),
bucket AS MATERIALIZED (
    SELECT wanted.subject, wanted.kind, wanted.place, window_us,
           CASE WHEN tat_us > now_us + {gcra.WINDOWS_MAX} * window_us THEN 0
                ELSE GREATEST(tat_us - now_us, 0) END
           + (CASE size.place WHEN 1 THEN step_us ELSE start_us END) AS ahead_us
      FROM size, clock,
           unnest(%(subjects)s::text[], %(kinds)s::text[], %(steps_us)s::bigint[],
                  %(start_steps_us)s::bigint[], %(windows_us)s::bigint[])
           WITH ORDINALITY AS wanted (subject, kind, step_us, start_us, window_us, place)
           LEFT JOIN buckets ON (buckets.subject, buckets.kind) = (wanted.subject, wanted.kind)
),
admitted AS MATERIALIZED (
    SELECT *
      FROM size
     WHERE NOT EXISTS (SELECT FROM bucket WHERE ahead_us > window_us)
       AND (%(concurrency)s::int IS NULL OR %(concurrency)s::int >
            (SELECT count(*) FROM holds WHERE account_id = %(account_id)s))
       AND (%(key_concurrency)s::int IS NULL OR %(key_concurrency)s::int >
            (SELECT count(*) FROM holds
              WHERE account_id = %(account_id)s AND key_id = %(key_id)s))
       AND (NOT %(is_free)s OR %(free_concurrency)s::int IS NULL OR %(free_concurrency)s::int >
            (SELECT count(*) FROM holds
              WHERE account_id = %(account_id)s AND holds.amount_nanos = 0))
),
held AS (
    UPDATE accounts
       SET held_nanos = held_nanos + amount_nanos
      FROM admitted
     WHERE accounts.id = %(account_id)s
),
spent AS ({TAKE_BUDGETS}),
counted AS (
    INSERT INTO buckets (subject, kind, tat_us)
    SELECT subject, kind, now_us + ahead_us FROM bucket, clock, admitted
    ON CONFLICT (subject, kind) DO UPDATE SET tat_us = excluded.tat_us
),
hold AS (
    INSERT INTO holds (id, account_id, key_id, user_id, requested_model, offer_id, cost_card_id,
                       sale_card_id, amount_nanos, tokens, streamed, worker_id, deadline_at,
                       created_at)
    SELECT %(id)s, %(account_id)s, %(key_id)s, %(user_id)s, %(requested_model)s, %(offer_id)s,
           %(cost_card_id)s, %(sale_card_id)s, amount_nanos, tokens, %(streamed)s, %(worker_id)s,
           now + make_interval(secs => %(lifetime_s)s), now
      FROM admitted, clock
)
SELECT place, ARRAY(SELECT ahead_us FROM bucket ORDER BY bucket.place) FROM admitted
""")

# A request counts in the period in which it was admitted: what grows after a budget's next period
# began is none of that budget's.
GROW = Numbered(f"""
WITH clock AS MATERIALIZED ({CLOCK}),
budget AS MATERIALIZED (
    {BUDGETS} AND start <= (SELECT created_at FROM holds WHERE id = %(id)s)
),
admitted AS MATERIALIZED (
    SELECT %(more_nanos)s::bigint AS amount_nanos
      FROM accounts, holds
     WHERE accounts.id = %(account_id)s
       AND holds.id = %(id)s
       AND paid_nanos + granted_nanos - held_nanos >= %(more_nanos)s::bigint
       AND NOT EXISTS (SELECT FROM budget
                        WHERE carried_nanos + %(more_nanos)s::bigint > limit_nanos)
),
held AS (
    UPDATE accounts
       SET held_nanos = held_nanos + admitted.amount_nanos
      FROM admitted
     WHERE accounts.id = %(account_id)s
),
spent AS ({TAKE_BUDGETS}),
hold AS (
    UPDATE holds
       SET amount_nanos = holds.amount_nanos + admitted.amount_nanos
      FROM admitted
     WHERE holds.id = %(id)s
)
SELECT amount_nanos FROM admitted
""")

RECEIPT_COLUMNS = ", ".join(receipts.COLUMNS)
RECEIPT_VALUES = ", ".join(f"%({name})s" for name in receipts.COLUMNS)

# Only what its hold and the balance pay whole; gifts are spent first.
SETTLE = Numbered(f"""
WITH hold AS MATERIALIZED (
    SELECT holds.amount_nanos, holds.tokens - %(used_tokens)s AS unused_tokens, holds.created_at,
           LEAST(%(charge_nanos)s, granted_nanos) AS granted_nanos,
           %(charge_nanos)s - LEAST(%(charge_nanos)s, granted_nanos) AS paid_nanos
      FROM holds
      JOIN accounts ON accounts.id = holds.account_id
     WHERE holds.id = %(id)s
       AND accounts.id = %(account_id)s
       AND paid_nanos + granted_nanos - held_nanos + amount_nanos >= %(charge_nanos)s
),
gone AS (
    DELETE FROM holds USING hold WHERE holds.id = %(id)s
),
posted AS (
    UPDATE accounts
       SET held_nanos = accounts.held_nanos - hold.amount_nanos,
           granted_nanos = accounts.granted_nanos - hold.granted_nanos,
           paid_nanos = accounts.paid_nanos - hold.paid_nanos
      FROM hold
     WHERE accounts.id = %(account_id)s
),
receipt AS (
    INSERT INTO completions (id, {RECEIPT_COLUMNS}, ended_at)
    SELECT %(id)s, {RECEIPT_VALUES}, clock_timestamp() FROM hold
),
moved AS (
    INSERT INTO transfers (id, leg, account_id, debit, credit, amount_nanos, kind, actor, note,
                           created_at)
    SELECT %(id)s, leg, %(account_id)s, debit, '{REVENUE}', moved_nanos, '{USAGE}', 'system',
           %(model)s, clock_timestamp()
      FROM hold,
           LATERAL (VALUES (0, %(granted)s::text, granted_nanos),
                           (1, %(paid)s::text, paid_nanos))
           AS moved (leg, debit, moved_nanos)
     WHERE moved_nanos > 0
),
spent AS (
    UPDATE budgets
       SET spent_nanos = GREATEST(spent_nanos - (hold.amount_nanos - %(charge_nanos)s), 0)
      FROM hold, clock_timestamp() AS now
     WHERE subject = ANY(%(budget_subjects)s::text[]) AND {START} <= hold.created_at
),
counted AS (
    UPDATE buckets
       SET tat_us = LEAST(tat_us + CASE WHEN unused_tokens > 0 THEN -GREATEST(
                   {MINUTE_US} * unused_tokens / per_minute - taken_ago_us, 0)
               ELSE {MINUTE_US} * -unused_tokens / per_minute END, {NOW_US} + {MINUTE_US})
      FROM hold,
           LATERAL (SELECT GREATEST(extract(epoch FROM clock_timestamp() - hold.created_at), 0)
                           * 1000000) AS since (microseconds),
           LATERAL (SELECT microseconds::bigint) AS taken (taken_ago_us),
           (SELECT %(account_subject)s::text, plans.tokens_per_minute
              FROM accounts JOIN plans ON plans.slug = plan_slug WHERE accounts.id = %(account_id)s
             UNION ALL
            SELECT %(key_subject)s::text, tokens_per_minute FROM api_keys WHERE id = %(key_id)s)
           AS token_limit (subject, per_minute)
     WHERE buckets.subject = token_limit.subject AND kind = '{TOKENS}' AND per_minute > 0
),
used AS (
    UPDATE api_keys
       SET last_used_at = clock_timestamp(), last_used_address = %(client_address)s
      FROM hold
     WHERE api_keys.id = %(key_id)s
       AND (last_used_at < clock_timestamp() - interval '{LAST_USED_EVERY_S} s') IS NOT FALSE
)
SELECT granted_nanos, paid_nanos FROM hold
""")
