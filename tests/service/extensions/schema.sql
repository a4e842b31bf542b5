-- What people keep in the usual extensions. One table for each, with a row that a damaged copy changes.
CREATE TABLE public.here AS SELECT system_identifier FROM pg_control_system();
CREATE EXTENSION postgis;
CREATE EXTENSION postgis_topology;
CREATE EXTENSION vector;
CREATE SCHEMA partman;
CREATE EXTENSION pg_partman SCHEMA partman;
CREATE EXTENSION plpython3u;
CREATE EXTENSION pgaudit;
CREATE SCHEMA contrib;
SET search_path = public, contrib;
CREATE EXTENSION citext SCHEMA contrib;
CREATE EXTENSION hstore SCHEMA contrib;
CREATE EXTENSION ltree SCHEMA contrib;
CREATE EXTENSION cube SCHEMA contrib;
CREATE EXTENSION seg SCHEMA contrib;
CREATE EXTENSION isn SCHEMA contrib;
CREATE EXTENSION intarray SCHEMA contrib;
CREATE EXTENSION lo SCHEMA contrib;
CREATE EXTENSION pg_trgm SCHEMA contrib;
CREATE EXTENSION btree_gist SCHEMA contrib;
CREATE EXTENSION bloom SCHEMA contrib;
CREATE EXTENSION pgcrypto SCHEMA contrib;
CREATE EXTENSION unaccent SCHEMA contrib;
CREATE EXTENSION "uuid-ossp" SCHEMA contrib;
CREATE EXTENSION pg_stat_statements SCHEMA contrib;
CREATE EXTENSION postgres_fdw SCHEMA contrib;
CREATE EXTENSION hstore_plpython3u CASCADE;
COMMENT ON EXTENSION hstore IS 'pairs';

CREATE TABLE place (id int PRIMARY KEY, at geometry(Point, 4326), around geography(Polygon), shape geometry(GeometryZM));
INSERT INTO place SELECT i, ST_SetSRID(ST_MakePoint(i, i / 2.0), 4326), ST_Buffer(ST_MakePoint(i, 1)::geography, 100)::geography,
    ST_MakePoint(i, 0.1, 1e-300, i) FROM generate_series(1, 20) i;
CREATE INDEX place_at ON place USING gist (at);
INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text) VALUES (990001, 'ours', 1, 'LOCAL_CS["ours"]', '+proj=longlat');
SELECT topology.CreateTopology('streets', 4326);
SELECT topology.AddNode('streets', 'SRID=4326;POINT(1 1)');

CREATE TABLE item (id int PRIMARY KEY, near vector(3), half halfvec(2), few sparsevec(5));
INSERT INTO item SELECT i, ('[' || i || ',0.1,1e-7]')::vector, '[1,2]', '{1:1,5:2}/5' FROM generate_series(1, 50) i;
CREATE INDEX item_near ON item USING hnsw (near vector_l2_ops);

CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, what text) PARTITION BY RANGE (at);
SELECT partman.create_parent(p_parent_table := 'public.event', p_control := 'at', p_interval := '1 month');
INSERT INTO event (at, what) SELECT now() - i * interval '1 day', 'e' || i FROM generate_series(1, 60) i;

CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpython3u IMMUTABLE AS $$ return 2 * n $$;
CREATE TABLE computed (n int CHECK (twice(n) > 0), doubled int GENERATED ALWAYS AS (twice(n)) STORED);
INSERT INTO computed SELECT i FROM generate_series(1, 10) i;
CREATE INDEX computed_twice ON computed (twice(n));

CREATE TABLE contrib_types (id int PRIMARY KEY, blind citext, pairs hstore, tree ltree, box cube, part seg, book isbn, picture contrib.lo, stay tstzrange,
    EXCLUDE USING gist (id WITH =, stay WITH &&));
INSERT INTO contrib_types VALUES (1, 'a', 'a=>1,b=>NULL', 'a.b', '(1,2)', '1.0 .. 2', '9780393040029', lo_from_bytea(0, 'picture'), '[2026-01-01,2026-02-01)'),
    (2, 'a', 'a=>1', 'a', '(1)', '1.0', NULL, NULL, NULL);
CREATE INDEX contrib_blind ON contrib_types USING gin (blind gin_trgm_ops);
CREATE INDEX contrib_bloom ON contrib_types USING bloom (id);
CREATE TABLE one_citext AS SELECT 'a'::citext AS v;
CREATE TABLE one_hstore AS SELECT 'a=>1'::hstore AS v;
CREATE TABLE one_ltree AS SELECT 'a.b'::ltree AS v;
CREATE TABLE one_seg AS SELECT '1.0'::seg AS v;
CREATE TABLE one_isbn AS SELECT '9780393040029'::isbn AS v;
CREATE TABLE one_vector AS SELECT '[1,2,3]'::vector AS v;
CREATE TABLE one_geometry AS SELECT ST_MakePoint(1, 1e-300) AS v;
CREATE TABLE one_geography AS SELECT ST_MakePoint(1, 2)::geography AS v;

CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere');
CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user 'u', password 'far secret');
CREATE FOREIGN TABLE elsewhere (id int) SERVER far;

-- A member that no dump carries, because somebody gave it to an extension.
CREATE TABLE given_away AS SELECT 1 AS one;
ALTER EXTENSION hstore ADD TABLE given_away;
CREATE SEQUENCE given_sequence;
ALTER EXTENSION hstore ADD SEQUENCE given_sequence;
-- One that the owner put into an extension's schema and that is the owner's.
CREATE TABLE partman.ours AS SELECT 1 AS one;
