"""Mails to send, tokens in them, invitations to sign up, and who was welcomed already.

New tables that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, RowNumber, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "email_tokens",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", RowNumber, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column(
            "email", sa.String(254), nullable=False, comment="the address that it was sent to"
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('verify_email', 'change_email', 'reset_password')",
            name=op.f("ck_email_tokens_purpose_known"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_email_tokens_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_email_tokens_digest")),
    )
    op.create_index(op.f("ix_email_tokens_user_id_purpose"), "email_tokens", ["user_id", "purpose"])
    op.create_index(op.f("ix_email_tokens_expires_at"), "email_tokens", ["expires_at"])
    op.create_table(
        "outgoing_mails",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("facts", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True, comment="null: sent, or given up"),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("failed_at", UtcDateTime(), nullable=True),
        sa.Column("problem", sa.String(200), server_default="", nullable=False),
        sa.Column("shown", sa.Text(), nullable=True, comment="the letter; in development only"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_mails")),
    )
    op.create_index(op.f("ix_outgoing_mails_due_at"), "outgoing_mails", ["due_at"])
    op.create_index(op.f("ix_outgoing_mails_failed_at"), "outgoing_mails", ["failed_at"])
    op.create_table(
        "signup_invitations",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(40), nullable=False),
        sa.Column("email", sa.String(254), nullable=False, comment="lower case"),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_by", sa.String(80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signup_invitations")),
        sa.UniqueConstraint("digest", name=op.f("uq_signup_invitations_digest")),
        sa.UniqueConstraint("email", name=op.f("uq_signup_invitations_email")),
        sa.UniqueConstraint("public_id", name=op.f("uq_signup_invitations_public_id")),
    )
    op.create_table(
        "welcome_claims",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_welcome_claims")),
    )


def downgrade() -> None:
    for table in ("welcome_claims", "signup_invitations", "outgoing_mails", "email_tokens"):
        op.drop_table(table)
