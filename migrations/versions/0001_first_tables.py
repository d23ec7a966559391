"""The first tables: who, balance, ledger, requests, prices, limits. Everything later costs more to
change.

Safe while an old version runs: there is none. Transfers, price cards and audit rows are append-only
by trigger on both databases, so that not even a mistake of ours can rewrite history.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, RowNumber, TimeOrderedId, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
expands = False


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", TimeOrderedId(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("network", sa.String(length=45), server_default="", nullable=False),
        sa.Column("request_id", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    op.create_index(
        "ix_audit_events_account_id_id", "audit_events", ["account_id", "id"], unique=False
    )

    op.create_table(
        "buckets",
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("tat_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "kind", name=op.f("pk_buckets")),
    )
    op.create_table(
        "budgets",
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("limit_nanos", sa.BigInteger(), nullable=False),
        sa.Column("spent_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("period_start", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "period IN ('lifetime', 'day', 'week', 'month')", name=op.f("ck_budgets_period_known")
        ),
        sa.CheckConstraint("limit_nanos >= 0", name=op.f("ck_budgets_limit_not_negative")),
        sa.CheckConstraint("spent_nanos >= 0", name=op.f("ck_budgets_spent_not_negative")),
        sa.PrimaryKeyConstraint("subject", "period", name=op.f("pk_budgets")),
    )
    op.create_table(
        "completions",
        sa.Column("id", TimeOrderedId(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("requested_model", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False, comment="the model that served"),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("offer_id", sa.BigInteger(), nullable=False),
        sa.Column("cost_card_id", sa.BigInteger(), nullable=False),
        sa.Column("sale_card_id", sa.BigInteger(), nullable=False),
        sa.Column("upstream_id", sa.String(length=200), nullable=True),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column(
            "reason", sa.String(length=60), nullable=False, comment="why it cost what it cost"
        ),
        sa.Column("finish_reason", sa.String(length=30), nullable=True),
        sa.Column("error_code", sa.String(length=60), nullable=True),
        sa.Column("usage", Json, nullable=False),
        sa.Column("usage_source", sa.String(length=10), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("held_nanos", sa.BigInteger(), nullable=False),
        sa.Column("charge_nanos", sa.BigInteger(), nullable=False),
        sa.Column("write_off_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "upstream_cost_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("attempts", Json, nullable=False),
        sa.Column("first_content_ms", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('finished', 'cancelled', 'failed', 'stopped', 'interrupted')",
            name=op.f("ck_completions_outcome_known"),
        ),
        sa.CheckConstraint(
            "usage_source IN ('upstream', 'estimated', 'none')",
            name=op.f("ck_completions_source_known"),
        ),
        sa.CheckConstraint("charge_nanos >= 0", name=op.f("ck_completions_charge_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_completions")),
    )
    op.create_index(
        "ix_completions_account_id_id", "completions", ["account_id", "id"], unique=False
    )
    op.create_index("ix_completions_key_id_id", "completions", ["key_id", "id"], unique=False)

    op.create_table(
        "holds",
        sa.Column("id", TimeOrderedId(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("requested_model", sa.String(length=200), nullable=False),
        sa.Column("offer_id", sa.BigInteger(), nullable=False),
        sa.Column("cost_card_id", sa.BigInteger(), nullable=False),
        sa.Column("sale_card_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False, comment="taken from the token limits"),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("worker_id", sa.String(length=80), nullable=False),
        sa.Column("deadline_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount_nanos >= 0", name=op.f("ck_holds_amount_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index("ix_holds_account_id", "holds", ["account_id"], unique=False)
    op.create_index("ix_holds_deadline_at", "holds", ["deadline_at"], unique=False)
    op.create_index("ix_holds_worker_id", "holds", ["worker_id"], unique=False)

    op.create_table(
        "language_models",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("slug", sa.String(length=200), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("context_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens_max", sa.Integer(), nullable=True),
        sa.Column("input_modalities", Json, nullable=False),
        sa.Column("output_modalities", Json, nullable=False),
        sa.Column("parameters", Json, nullable=False),
        sa.Column("facts", Json, nullable=False, comment="what adapters need to know"),
        sa.Column("released_on", sa.Date(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_language_models")),
        sa.UniqueConstraint("slug", name=op.f("uq_language_models_slug")),
    )
    op.create_index(op.f("ix_language_models_author"), "language_models", ["author"], unique=False)

    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("worker_id", sa.String(length=80), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "model_aliases",
        sa.Column("slug", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("retired_on", sa.Date(), nullable=True),
        sa.Column("former_rates", Json, nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_model_aliases")),
    )
    op.create_table(
        "payment_events",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_events")),
    )
    op.create_index(
        "uq_payment_events_provider_event_id",
        "payment_events",
        ["provider", "event_id"],
        unique=True,
    )

    op.create_table(
        "plans",
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.Column("free_requests_per_day", sa.Integer(), nullable=True),
        sa.Column("free_concurrency", sa.Integer(), nullable=True),
        sa.Column(
            "min_paid_nanos",
            sa.BigInteger(),
            nullable=True,
            comment="total paid that brings this plan; NULL: only the operator gives it",
        ),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_plans")),
    )
    op.create_table(
        "providers",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("base_url", sa.String(length=500), nullable=False),
        sa.Column("key_settings", Json, nullable=False, comment="settings that may hold its key"),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("needs_key", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("capabilities", Json, nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providers")),
        sa.UniqueConstraint("slug", name=op.f("uq_providers_slug")),
    )
    op.create_table(
        "secret_fingerprints",
        sa.Column("fingerprint", sa.String(length=16), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_secret_fingerprints")),
    )
    op.create_table(
        "transfers",
        sa.Column("id", TimeOrderedId(), nullable=False),
        sa.Column("leg", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True, comment="the customer it concerns"),
        sa.Column("debit", sa.String(length=60), nullable=False),
        sa.Column("credit", sa.String(length=60), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_transfers_amount_positive")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfers_two_sides")),
        sa.PrimaryKeyConstraint("id", "leg", name=op.f("pk_transfers")),
    )
    op.create_index("ix_transfers_account_id_id", "transfers", ["account_id", "id"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False, comment="lower case"),
        sa.Column("email_verified_at", UtcDateTime(), nullable=True),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True, comment="argon2id"),
        sa.Column("is_operator", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("public_id", name=op.f("uq_users_public_id")),
    )
    op.create_table(
        "versions",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_versions")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("plan_slug", sa.String(length=40), nullable=False),
        sa.Column("paid_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("granted_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("frozen_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("granted_nanos >= 0", name=op.f("ck_accounts_granted_not_negative")),
        sa.CheckConstraint("held_nanos >= 0", name=op.f("ck_accounts_held_not_negative")),
        sa.ForeignKeyConstraint(
            ["plan_slug"], ["plans.slug"], name=op.f("fk_accounts_plan_slug_plans")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_accounts_public_id")),
    )
    op.create_table(
        "identities",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("user_id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("login", sa.String(length=200), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_identities_user_id_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
    )
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"], unique=False)
    op.create_index(
        "uq_identities_provider_subject", "identities", ["provider", "subject"], unique=True
    )

    op.create_table(
        "offers",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("language_model_id", RowNumber, nullable=False),
        sa.Column("provider_id", RowNumber, nullable=False),
        sa.Column("upstream_model", sa.String(length=200), nullable=False),
        sa.Column("weight", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_free", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column(
            "bills_after_cancel", sa.Boolean(), server_default=sa.text("(false)"), nullable=False
        ),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["language_model_id"],
            ["language_models.id"],
            name=op.f("fk_offers_language_model_id_language_models"),
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_offers_provider_id_providers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
    )
    op.create_index(op.f("ix_offers_provider_id"), "offers", ["provider_id"], unique=False)
    op.create_index(
        "uq_offers_language_model_id_provider_id_upstream_model",
        "offers",
        ["language_model_id", "provider_id", "upstream_model"],
        unique=True,
    )

    op.create_table(
        "api_keys",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("user_id", RowNumber, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "hint", sa.String(length=20), nullable=False, comment="what may be shown: sr_Ab12…yZ90"
        ),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column(
            "digest_version",
            sa.String(length=16),
            nullable=False,
            comment="fingerprint of the root secret",
        ),
        sa.Column("scopes", sa.String(length=200), server_default="inference", nullable=False),
        sa.Column("models_allowed", Json, nullable=True),
        sa.Column("networks_allowed", Json, nullable=True),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_api_keys_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_api_keys_public_id")),
    )
    op.create_index(op.f("ix_api_keys_account_id"), "api_keys", ["account_id"], unique=False)

    op.create_table(
        "memberships",
        sa.Column("user_id", RowNumber, nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "role IN ('owner', 'billing', 'developer')", name=op.f("ck_memberships_role_known")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_memberships_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_memberships_user_id_users")
        ),
        sa.PrimaryKeyConstraint("user_id", "account_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_account_id"), "memberships", ["account_id"], unique=False)

    op.create_table(
        "payments",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("user_id", RowNumber, nullable=True),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("provider_payment_id", sa.String(length=255), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_payments_amount_positive")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_payments_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("public_id", name=op.f("uq_payments_public_id")),
    )
    op.create_index(op.f("ix_payments_account_id"), "payments", ["account_id"], unique=False)
    op.create_index(
        "uq_payments_provider_provider_payment_id",
        "payments",
        ["provider", "provider_payment_id"],
        unique=True,
    )

    op.create_table(
        "price_cards",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("offer_id", RowNumber, nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("rates", Json, nullable=False),
        sa.Column("tiers", Json, nullable=False),
        sa.Column("windows", Json, nullable=False),
        sa.Column("source", sa.String(length=80), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("side IN ('cost', 'sale')", name=op.f("ck_price_cards_side_known")),
        sa.ForeignKeyConstraint(
            ["offer_id"], ["offers.id"], name=op.f("fk_price_cards_offer_id_offers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_cards")),
    )
    op.create_index(
        "uq_price_cards_offer_id_side_effective_at",
        "price_cards",
        ["offer_id", "side", "effective_at"],
        unique=True,
    )

    op.create_table(
        "sessions",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", RowNumber, nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("network", sa.String(length=45), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_sessions_digest")),
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    append_only()
    seed_plans()


APPEND_ONLY = ("transfers", "price_cards", "audit_events")
# Limits of NULL are no limits. `min_paid` brings a plan by itself; NULL: only the operator gives
# it.
PLANS = (
    # slug, name, requests/min, tokens/min, concurrency, free requests/day, free concurrency, min
    # paid
    ("free", "Free", 20, 100_000, 4, 50, 1, None),
    ("pay-as-you-go", "Pay as you go", 600, 2_000_000, 64, 200, 2, 0),
    ("pro", "Pro", 6_000, 20_000_000, 512, 1_000, 8, 100 * 10**9),
    ("unlimited", "Unlimited", None, None, None, None, None, None),
)


def append_only() -> None:
    """Refuses UPDATE and DELETE on the tables that are history."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
                f"ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in APPEND_ONLY:
        for act in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act} BEFORE {act.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def seed_plans() -> None:
    """The plans that ship; an operator may change or add some."""
    plans = sa.table(
        "plans",
        *(
            sa.column(name)
            for name in (
                "slug",
                "name",
                "requests_per_minute",
                "tokens_per_minute",
                "concurrency",
                "free_requests_per_day",
                "free_concurrency",
                "min_paid_nanos",
            )
        ),
    )
    op.bulk_insert(plans, [dict(zip(plans.c.keys(), row, strict=True)) for row in PLANS])
    op.execute("INSERT INTO versions (name, number) VALUES ('catalogue', 1)")


def downgrade() -> None:
    op.drop_table("sessions")
    op.drop_table("price_cards")
    op.drop_table("payments")
    op.drop_table("memberships")
    op.drop_table("api_keys")
    op.drop_table("offers")
    op.drop_table("identities")
    op.drop_table("accounts")
    op.drop_table("workers")
    op.drop_table("versions")
    op.drop_table("users")
    op.drop_table("transfers")
    op.drop_table("secret_fingerprints")
    op.drop_table("providers")
    op.drop_table("plans")
    op.drop_table("payment_events")
    op.drop_table("model_aliases")
    op.drop_table("leases")
    op.drop_table("language_models")
    op.drop_table("holds")
    op.drop_table("completions")
    op.drop_table("budgets")
    op.drop_table("buckets")
    op.drop_table("audit_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
