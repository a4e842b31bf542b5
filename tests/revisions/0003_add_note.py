"""A good revision: a new column, filled for what is there."""
from alembic import op

revision = "0003_add_note"
down_revision = "0002_seed"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("ALTER TABLE items ADD COLUMN note text")
    op.execute("UPDATE items SET note = 'checked' WHERE status = 'sold'")


def downgrade():
    op.execute("ALTER TABLE items DROP COLUMN note")
