"""Former secrets of keys, where a key was last used, the freeze of all keys, usage by key and day.

A rotated key's new secret stands in `api_keys` as ever; the one that it replaces moves to
`former_secrets`. `key_days` is filled by the housekeeping from `completions`, up to `roll_ups`.
New tables and new columns that may be null: safe while the old version runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import RowNumber, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    address = sa.Column(
        "last_used_address", sa.String(45), nullable=True, comment="the client's, at its last use"
    )
    op.add_column("api_keys", address)
    op.add_column("api_keys", sa.Column("updated_at", UtcDateTime(), nullable=True))
    op.add_column("accounts", sa.Column("keys_frozen_at", UtcDateTime(), nullable=True))
    op.create_table(
        "former_secrets",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("key_id", RowNumber, nullable=False),
        sa.Column("hint", sa.String(20), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("digest_version", sa.String(16), nullable=False),
        sa.Column("replaced_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.id"], name=op.f("fk_former_secrets_key_id_api_keys")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_secrets")),
        sa.UniqueConstraint("digest", name=op.f("uq_former_secrets_digest")),
    )
    op.create_index(op.f("ix_former_secrets_key_id"), "former_secrets", ["key_id"], unique=False)
    op.create_table(
        "key_days",
        sa.Column("key_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("charge_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "day", name=op.f("pk_key_days")),
    )
    op.create_table(
        "roll_ups",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_roll_ups")),
    )


def downgrade() -> None:
    op.drop_table("roll_ups")
    op.drop_table("key_days")
    op.drop_index(op.f("ix_former_secrets_key_id"), table_name="former_secrets")
    op.drop_table("former_secrets")
    op.drop_column("accounts", "keys_frozen_at")
    op.drop_column("api_keys", "updated_at")
    op.drop_column("api_keys", "last_used_address")
