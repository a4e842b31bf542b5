"""Enough rows for a backup to be worth measuring: about 360 000, made by the server itself."""
from alembic import op

revision = "0002_seed"
down_revision = "0001_schema"
branch_labels = None
depends_on = None

SEED = """
INSERT INTO users (email, display_name, status, settings, created_at)
SELECT format('user%s@example.org', n), 'User ' || n, CASE WHEN n % 50 = 0 THEN 'blocked' ELSE 'active' END,
       jsonb_build_object('language', CASE WHEN n % 3 = 0 THEN 'en' ELSE 'fr' END, 'newsletter', n % 2 = 0),
       timestamptz '2024-01-01 08:00+00' + n * interval '37 minutes'
FROM generate_series(1, 20000) n;

INSERT INTO categories (name, kind)
SELECT initcap(kind::text), kind FROM unnest(enum_range(NULL::category_kind)) kind;
INSERT INTO categories (parent_id, name, kind)
SELECT p.id, p.name || ' ' || n, p.kind FROM categories p, generate_series(1, 9) n WHERE p.parent_id IS NULL;

INSERT INTO items (category_id, owner_id, title, weight_kg, price, status, attributes, tags, photo, created_at)
SELECT 1 + n % 50, 1 + n % 20000, 'Item ' || n || ' ' || left(md5(n::text), 8), 0.1 + (n % 5000) / 100.0,
       CASE WHEN n % 10 > 0 THEN (n % 900) / 10.0 END, (ARRAY['stocked', 'sold', 'recycled'])[1 + n % 3],
       jsonb_build_object('colour', (ARRAY['red', 'green', 'blue'])[1 + n % 3], 'shelf', n % 200),
       ARRAY['lot-' || n % 100, 'été'], CASE WHEN n % 100 = 0 THEN decode(md5(n::text), 'hex') END,
       timestamptz '2024-01-01 09:00+00' + n * interval '7 minutes'
FROM generate_series(1, 120000) n;

INSERT INTO events (happened_at, item_id, kind, payload)
SELECT timestamptz '2024-01-01 10:00+00' + n * interval '6 minutes', 1 + n % 120000,
       (ARRAY['received', 'sorted', 'priced', 'sold'])[1 + n % 4], CASE WHEN n % 5 = 0 THEN jsonb_build_object('by', n % 20000) END
FROM generate_series(1, 220000) n;

INSERT INTO documents (title, archived_on) SELECT 'Document ' || n, date '2024-01-01' + n FROM generate_series(1, 500) n;
INSERT INTO invoices (title, archived_on, total, paid)
SELECT 'Invoice ' || n, CASE WHEN n % 2 = 0 THEN date '2024-06-01' + n % 300 END, n * 1.1, n % 3 = 0 FROM generate_series(1, 2000) n;

REFRESH MATERIALIZED VIEW weight_by_category;
"""


def upgrade():
    op.get_bind().exec_driver_sql(SEED, execution_options={"no_parameters": True})


def downgrade():
    op.get_bind().exec_driver_sql("TRUNCATE invoices, documents, events, items, categories, users RESTART IDENTITY")
