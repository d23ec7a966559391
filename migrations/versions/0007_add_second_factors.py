"""Second factors with their recovery codes, recent proof of sessions, deleted users.

New tables that the old version does not know, and new columns that may be null: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import RowNumber, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    asked_at = sa.Column(
        "second_factor_asked_at",
        UtcDateTime(),
        nullable=True,
        comment="operators are asked once to set one up",
    )
    op.add_column("users", asked_at)
    deleted_at = sa.Column(
        "deleted_at",
        UtcDateTime(),
        nullable=True,
        comment="anonymised; the row stays for the books",
    )
    op.add_column("users", deleted_at)
    proven_at = sa.Column(
        "proven_at",
        UtcDateTime(),
        nullable=True,
        comment="when the person last proved who they are; null: at the sign-in",
    )
    op.add_column("sessions", proven_at)
    op.create_table(
        "second_factors",
        sa.Column("user_id", RowNumber, autoincrement=False, nullable=False),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "confirmed_at",
            UtcDateTime(),
            nullable=True,
            comment="null: being set up, and not asked for yet",
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_second_factors_user_id_users")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", RowNumber, nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id_users")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_user_id"), "recovery_codes", ["user_id"])


def downgrade() -> None:
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
    op.drop_column("sessions", "proven_at")
    op.drop_column("users", "deleted_at")
    op.drop_column("users", "second_factor_asked_at")
