"""Invitations into an account, whose keys were stopped when they left, and everybody's own account.

A new table and new nullable columns that the old version does not write: safe while it runs. Users
that it makes meanwhile have no `own_account_id`, which means the first account that they own.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import RowNumber, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "team_invitations",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(40), nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("email", sa.String(254), nullable=False, comment="lower case"),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("invited_by", RowNumber, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "role IN ('owner', 'billing', 'developer')",
            name=op.f("ck_team_invitations_role_known"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_team_invitations_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["users.id"], name=op.f("fk_team_invitations_invited_by_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team_invitations")),
        sa.UniqueConstraint("digest", name=op.f("uq_team_invitations_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_team_invitations_public_id")),
    )
    op.create_index(
        "uq_team_invitations_account_id_email",
        "team_invitations",
        ["account_id", "email"],
        unique=True,
    )
    op.add_column(
        "api_keys",
        sa.Column(
            "maker_left_at",
            UtcDateTime(),
            nullable=True,
            comment="disabled because who made it left the account; an owner may enable it",
        ),
    )
    op.add_column(
        "users",
        sa.Column(
            "own_account_id",
            sa.BigInteger(),
            nullable=True,
            comment="the account that the person came with; null: the first that they own",
        ),
    )


def downgrade() -> None:
    op.drop_column("users", "own_account_id")
    op.drop_column("api_keys", "maker_left_at")
    op.drop_table("team_invitations")
