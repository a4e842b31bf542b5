"""A bad revision: some of its work is done when it fails on what the data really holds."""
from alembic import op

revision = "0004_fails"
down_revision = "0003_add_note"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("ALTER TABLE items ADD COLUMN checked_by bigint REFERENCES users")
    op.execute("CREATE TABLE half_done (id integer PRIMARY KEY)")
    op.execute("ALTER TABLE items ALTER COLUMN price SET NOT NULL")


def downgrade():
    op.execute("DROP TABLE half_done")
    op.execute("ALTER TABLE items ALTER COLUMN price DROP NOT NULL, DROP COLUMN checked_by")
