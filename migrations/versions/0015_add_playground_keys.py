"""What stands for a signed-in member in the playground: a key without a text.

A new column with a default that the old version does not write, and an index of few rows: safe
while the old version runs, which would only list such keys among the others.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None

IS_PLAYGROUND = sa.text("purpose = 'playground'")


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column(
            "purpose",
            sa.String(20),
            server_default="api",
            nullable=False,
            comment="api, or playground: no secret",
        ),
    )
    op.create_index(
        "uq_api_keys_playground",
        "api_keys",
        ["account_id", "user_id"],
        unique=True,
        sqlite_where=IS_PLAYGROUND,
        postgresql_where=IS_PLAYGROUND,
    )


def downgrade() -> None:
    op.drop_index("uq_api_keys_playground", "api_keys")
    op.drop_column("api_keys", "purpose")
