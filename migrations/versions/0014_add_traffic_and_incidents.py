"""Attempts and failures of each offer by 5 minutes, hour and day; incidents for the status page.

New tables that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, RowNumber, UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "offer_traffic",
        sa.Column("offer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("span_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("begins_at_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "offer_id", "span_s", "begins_at_us", name=op.f("pk_offer_traffic")
        ),
    )
    op.create_table(
        "incidents",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("affects", Json, nullable=False, comment="ids of models, slugs of providers"),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('outage', 'degraded', 'maintenance')", name=op.f("ck_incidents_kind_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        sa.UniqueConstraint("public_id", name=op.f("uq_incidents_public_id")),
    )
    op.create_index("ix_incidents_started_at", "incidents", ["started_at"])
    op.create_table(
        "incident_notes",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_notes")),
    )
    op.create_index("ix_incident_notes_incident_id", "incident_notes", ["incident_id"])


def downgrade() -> None:
    op.drop_table("incident_notes")
    op.drop_table("incidents")
    op.drop_table("offer_traffic")
