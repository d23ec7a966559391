"""How offers are doing, shared by all processes: rates of failure, cool-downs, speeds.

A new table that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "offer_health",
        sa.Column("offer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("changed_at_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("counted_at_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("errors", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("stalls", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("faults_in_a_row", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "cool_down_s",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how long this time; 0: in service",
        ),
        sa.Column("tripped_at_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cooling_until_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "probe_until_us",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="the lease of the one that probes",
        ),
        sa.Column(
            "speeds", Json, nullable=False, comment="tokens per second: how many answers, by bucket"
        ),
        sa.Column(
            "waits",
            Json,
            nullable=False,
            comment="ms to the first content: how many answers, by bucket",
        ),
        sa.PrimaryKeyConstraint("offer_id", name=op.f("pk_offer_health")),
    )


def downgrade() -> None:
    op.drop_table("offer_health")
