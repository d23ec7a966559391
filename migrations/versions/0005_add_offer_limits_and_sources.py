"""Limits, deadlines and parameters of each offer; where the rows of the catalogue came from.

What came from a catalogue source may be changed and retired by the next one, what an operator made
may not: so each row says which it is. New columns with defaults: safe while the old version runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
expands = True

OFFER_COLUMNS = ("context_tokens", "output_tokens_max", "deadlines", "parameters", "retired_at")
SOURCED_TABLES = ("language_models", "model_aliases", "offers", "providers")

# Until now everything came with the package, but for what `flask providers add`, `flask models add`
# and the admin pages made.
PACKAGED = (
    "UPDATE providers SET source = 'package' WHERE needs_key OR kind = 'demo'",
    "UPDATE model_aliases SET source = 'package'",
    (
        "UPDATE offers SET source = 'package' WHERE EXISTS (SELECT 1 FROM price_cards"
        " WHERE price_cards.offer_id = offers.id AND price_cards.source = 'package')"
    ),
    (
        "UPDATE language_models SET source = 'package' WHERE EXISTS (SELECT 1 FROM offers"
        " WHERE offers.language_model_id = language_models.id AND offers.source = 'package')"
    ),
)


def upgrade() -> None:
    op.add_column("offers", sa.Column("context_tokens", sa.Integer(), nullable=True))
    op.add_column("offers", sa.Column("output_tokens_max", sa.Integer(), nullable=True))
    deadlines = sa.Column(
        "deadlines",
        Json,
        server_default="{}",
        nullable=False,
        comment="seconds by name, instead of the settings",
    )
    op.add_column("offers", deadlines)
    parameters = sa.Column(
        "parameters", Json, nullable=True, comment="request fields that it honours"
    )
    op.add_column("offers", parameters)
    op.add_column("offers", sa.Column("retired_at", UtcDateTime(), nullable=True))
    op.add_column("language_models", sa.Column("retired_at", UtcDateTime(), nullable=True))
    collects_data = sa.Column(
        "collects_data",
        sa.Boolean(),
        nullable=True,
        comment="whether it keeps prompts, in the operator's word; null: see capabilities",
    )
    op.add_column("providers", collects_data)
    for table in SOURCED_TABLES:
        source = sa.Column("source", sa.String(80), server_default="operator", nullable=False)
        op.add_column(table, source)
    for statement in PACKAGED:
        op.execute(statement)


def downgrade() -> None:
    for table in SOURCED_TABLES:
        op.drop_column(table, "source")
    op.drop_column("providers", "collects_data")
    op.drop_column("language_models", "retired_at")
    for name in reversed(OFFER_COLUMNS):
        op.drop_column("offers", name)
