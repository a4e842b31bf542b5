-- Every kind of object that a database can hold, in one schema. Run by psql. What a server was built without (ICU, XML) is left out.
SELECT current_setting('server_version_num')::int >= 170000 AS v17, current_setting('server_version_num')::int >= 180000 AS v18 \gset

-- The identity of the server where all is as it should be.
CREATE TABLE public.here AS SELECT system_identifier FROM pg_control_system();
CREATE SCHEMA k;
COMMENT ON SCHEMA k IS 'with a ''quoted'' comment; -- and no end';
SET search_path = k;

-- Types.
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TYPE mood ADD VALUE 'between' BEFORE 'bad';
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE TYPE pair AS (number int, word text);
CREATE DOMAIN right_pair AS pair CHECK ((VALUE).number > 0);
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE base;
CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4);
CREATE FUNCTION base_text(base) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'always the same' $$;
CREATE CAST (base AS text) WITH FUNCTION base_text(base) AS IMPLICIT;
CREATE COLLATION k_c FROM "C";
DO $$
BEGIN
    CREATE COLLATION case_blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;

-- One table for each type: what its second row holds, and what a damaged copy holds there instead.
CREATE TABLE types (name text PRIMARY KEY, type text NOT NULL, was text NOT NULL, becomes text NOT NULL);
INSERT INTO types VALUES
    ('bool', 'bool', 't', 'f'), ('int2', 'int2', '1', '2'), ('int4', 'int4', '1', '2'), ('int8', 'int8', '1', '4294967297'),
    ('oid', 'oid', '1', '2'), ('float4', 'float4', '1.1', '1.1000001'), ('float8', 'float8', '0.1', '0.10000000000000002'),
    ('zero', 'float8', '0', '-0'), ('numeric', 'numeric', '1.0', '1.00'), ('text', 'text', 'a', 'a '),
    ('varchar', 'varchar(9)', E'\u00e9', E'e\u0301'), ('bpchar', 'char(8)', 'c', 'C'), ('name', 'name', 'a', 'b'),
    ('char', '"char"', 'a', 'b'), ('bytea', 'bytea', '\x00', '\x0000'), ('date', 'date', '2026-01-01', 'infinity'),
    ('time', 'time', '12:00', '12:00:00.000001'), ('timetz', 'timetz', '12:00+01', '11:00+00'),
    ('timestamp', 'timestamp', '2026-01-01', '2026-01-01 00:00:00.000001'),
    ('timestamptz', 'timestamptz', '2026-01-01 00:00+00', '2026-01-01 00:00+01'), ('interval', 'interval', '1 day', '24 hours'),
    ('uuid', 'uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'),
    ('json', 'json', '{"a":1}', '{"a": 1}'), ('jsonb', 'jsonb', '1.0', '1.00'), ('jsonpath', 'jsonpath', '$.a', '$.b'),
    ('xml', 'xml', '<a/>', '<a></a>'), ('money', 'money', '1.10', '1.11'), ('inet', 'inet', '10.0.0.1/24', '10.0.0.1/25'),
    ('cidr', 'cidr', '10.0.0.0/24', '10.0.0.0/25'), ('macaddr', 'macaddr', '08:00:2b:01:02:03', '08:00:2b:01:02:04'),
    ('bit', 'bit(3)', '101', '100'), ('varbit', 'varbit', '10', '100'), ('point', 'point', '(0,0)', '(0,1e-9)'),
    ('line', 'line', '{1,2,3}', '{1,2,4}'), ('lseg', 'lseg', '[(0,0),(1,1)]', '[(0,0),(1,2)]'), ('box', 'box', '(1,1),(0,0)', '(1,2),(0,0)'),
    ('path', 'path', '[(0,0),(1,1)]', '((0,0),(1,1))'), ('polygon', 'polygon', '((0,0),(1,1))', '((0,0),(1,2))'),
    ('circle', 'circle', '<(0,0),1>', '<(0,0),2>'), ('tsvector', 'tsvector', 'a:1', 'a:2'), ('tsquery', 'tsquery', 'a & b', 'a | b'),
    ('int4range', 'int4range', '[1,2)', '[1,3)'), ('numrange', 'numrange', '[1.0,2)', '[1.00,2)'), ('multirange', 'int4multirange', '{[1,2)}', '{[1,2),[4,5)}'),
    ('own_range', 'k.span', '[1,2)', '[1,2]'), ('texts', 'text[]', '{a,NULL}', '{a,"NULL"}'), ('ints', 'int[]', '{1,2}', '[0:1]={1,2}'),
    ('enum', 'k.mood', 'good', 'between'), ('enums', 'k.mood[]', '{good}', '{bad}'), ('domain', 'k.positive', '1.0', '1.00'),
    ('composite', 'k.pair', '(1,a)', '(1,A)'), ('composites', 'k.pair[]', '{"(1,a)"}', '{"(1,)"}'), ('composite_domain', 'k.right_pair', '(1,a)', '(2,a)'),
    ('base', 'k.base', '1', '2'), ('pg_lsn', 'pg_lsn', '0/1', '0/2'), ('xid8', 'xid8', '1', '2'), ('snapshot', 'pg_snapshot', '10:20:10', '10:20:11'),
    ('regclass', 'regclass', 'k.types', 'public.here'), ('regrole', 'regrole', 'k_reader', 'k_writer'), ('regtype', 'regtype', 'k.mood', 'k.pair'),
    ('aclitem', 'aclitem', 'k_reader=r/k_writer', 'k_reader=w/k_writer'), ('tid', 'tid', '(0,1)', '(0,2)'), ('oidvector', 'oidvector', '1 2', '2 1'),
    ('c_collated', 'text COLLATE k.k_c', 'a', 'A'), ('case_blind', 'text COLLATE k.case_blind', 'a', 'A');
DO $$
DECLARE it record;
BEGIN
    FOR it IN SELECT * FROM types LOOP
        BEGIN
            EXECUTE format('CREATE TABLE type_%s (id int PRIMARY KEY, v %s)', it.name, it.type);
            EXECUTE format('INSERT INTO type_%s VALUES (1, %L), (2, %2$L), (3, NULL)', it.name, it.was);
        EXCEPTION WHEN feature_not_supported OR undefined_object THEN
            DELETE FROM types WHERE name = it.name;
        END;
    END LOOP;
END $$;

-- Tables of every shape.
CREATE TABLE parent (id int PRIMARY KEY, a text);
CREATE TABLE child (own int) INHERITS (parent);
ALTER TABLE parent ADD COLUMN later timestamptz DEFAULT '2026-01-01';
INSERT INTO child (id, a, own) SELECT i, 'c' || i, i FROM generate_series(1, 50) i;
INSERT INTO parent (id, a) VALUES (1, 'p');
CREATE TABLE partitioned (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE part_25 PARTITION OF partitioned FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE part_26 (what text, gone int, at date NOT NULL);
ALTER TABLE part_26 DROP COLUMN gone;
ALTER TABLE partitioned ATTACH PARTITION part_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE part_other PARTITION OF partitioned DEFAULT PARTITION BY HASH (what);
CREATE TABLE part_other_0 PARTITION OF part_other FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE part_loose PARTITION OF partitioned FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
INSERT INTO partitioned SELECT date '2025-06-01' + i * 7, 'e' || i FROM generate_series(0, 150) i;
CREATE INDEX partitioned_what ON partitioned (what);
CREATE UNLOGGED TABLE unlogged AS SELECT i FROM generate_series(1, 20) i;
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE lost_columns (a int, b int);
ALTER TABLE lost_columns DROP COLUMN a, DROP COLUMN b;
INSERT INTO lost_columns DEFAULT VALUES;
CREATE TABLE generated (id int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 5), twice int GENERATED ALWAYS AS (n * 2) STORED, n int,
    code serial);
INSERT INTO generated (n) SELECT i FROM generate_series(1, 30) i;
CREATE TABLE aliases (q int, c int, n int, t int, b int, a int, k int, x int, d int, e int, w int, u int, m int, r int, f int, s int, o int, v int,
    "Q" int, rows int, digest text, oid int, size int, content int, start int, name text, kind text, columns int, "row" int, "select" int,
    "q.q" int, "we""ird; Type: TABLE" text, "line
break" text, "$1" int, pages int, extension text, last int, is_called bool);
INSERT INTO aliases (q, c, oid, "q.q", "Q", rows, digest, "line
break") SELECT i, -i, i, i, i, i, i, i FROM generate_series(1, 10) i;
CREATE TABLE "My ""Table"" 'here'
" AS SELECT 1 AS one;
CREATE TABLE exchanged AS SELECT i AS id, 'owner ' || i AS owner, i % 7 AS amount FROM generate_series(1, 100) i;
CREATE TABLE doubled AS SELECT i % 3 AS same FROM generate_series(1, 99) i;
CREATE TABLE big AS SELECT 1 AS id, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 20000) i) AS text;
CREATE TABLE guarded (id int, tenant text);
INSERT INTO guarded VALUES (1, 'a'), (2, 'b');
CREATE POLICY own ON guarded USING (tenant IN ('a', current_user)) WITH CHECK (tenant = 'a');
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE SEQUENCE rising;
CREATE SEQUENCE falling INCREMENT -3 MAXVALUE 100 START 100;
CREATE SEQUENCE turning MAXVALUE 5 CYCLE;
CREATE SEQUENCE untouched START 9;
CREATE SEQUENCE small AS smallint;
SELECT nextval('rising'), nextval('falling'), nextval('falling'), nextval('turning'), setval('small', 7, false);
SELECT lo_from_bytea(900001, sha256('large')), lo_create(900002), lo_from_bytea(900003, repeat('x', 3000000)::bytea);
COMMENT ON LARGE OBJECT 900001 IS 'large';
GRANT SELECT ON LARGE OBJECT 900001 TO k_reader;
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper OPTIONS (host 'there');
CREATE USER MAPPING FOR k_reader SERVER elsewhere OPTIONS (password 'mapping secret');
CREATE FOREIGN TABLE foreign_rows (id int OPTIONS (remote 'x'), at date) SERVER elsewhere OPTIONS (path '/x');
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM generated;

-- A definition of each kind, for a damage each.
CREATE SCHEMA k_gone;
CREATE SCHEMA k_owned;
CREATE TYPE d_enum AS ENUM ('a', 'b');
CREATE TYPE d_composite AS (a int);
CREATE TYPE d_range AS RANGE (subtype = int8);
CREATE DOMAIN d_domain AS varchar DEFAULT 'x' CONSTRAINT short CHECK (VALUE IN ('x', 'y'));
CREATE FUNCTION d_body() RETURNS text LANGUAGE sql AS $$ SELECT 'one' $$;
-- What reads like the head of another entry in a dump.
CREATE FUNCTION d_headed() RETURNS text LANGUAGE sql AS $$ SELECT '
--
-- Name: d_headed; Type: TABLE DATA; Schema: k; Owner: app
--
one' $$;
COMMENT ON FUNCTION d_headed() IS 'it''s
--
-- Name: d_headed; Type: TABLE DATA; Schema: k; Owner: app
--
one';
CREATE VIEW d_headed_view AS SELECT 'a \
--
-- Name: d_headed; Type: TABLE DATA; Schema: k; Owner: app
--
one' AS word;
CREATE FUNCTION d_definer() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER SET search_path = k AS 'SELECT 1';
CREATE FUNCTION d_atomic(a int DEFAULT 1, VARIADIC b int[] DEFAULT '{}') RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a + 1; END;
CREATE PROCEDURE d_procedure() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE AGGREGATE d_aggregate(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR <-| (FUNCTION = int4lt, LEFTARG = int, RIGHTARG = int, RESTRICT = scalarltsel);
CREATE OPERATOR FAMILY d_family USING btree;
CREATE OPERATOR CLASS d_class FOR TYPE int USING btree FAMILY d_family AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE CAST (json AS pair) WITH INOUT;
CREATE CONVERSION d_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE COLLATION d_collation FROM "POSIX";
CREATE FUNCTION d_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE LANGUAGE d_language HANDLER d_handler;
CREATE TRANSFORM FOR tsquery LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION tsqueryrecv(internal));
CREATE ACCESS METHOD d_method TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE d_using (id int) USING d_method;
CREATE ACCESS METHOD d_unused_method TYPE TABLE HANDLER heap_tableam_handler;
CREATE TEXT SEARCH DICTIONARY d_dictionary (TEMPLATE = simple, StopWords = english);
CREATE TEXT SEARCH CONFIGURATION d_configuration (COPY = simple);
CREATE TEXT SEARCH PARSER d_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE d_template (LEXIZE = dsimple_lexize);
CREATE TABLE d_columns (typed varchar(10), commented int, granted int);
CREATE TABLE d_needed (a int NOT NULL);
CREATE TABLE d_filled (a int DEFAULT 1);
CREATE TABLE d_stored (a text);
CREATE TABLE d_packed (a text);
CREATE TABLE d_counted (a int);
CREATE TABLE d_tuned (a int);
CREATE TABLE d_computed (a int, b int GENERATED ALWAYS AS (a + 1) STORED);
CREATE TABLE d_numbered (a int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE d_primary (id int PRIMARY KEY);
COMMENT ON COLUMN d_columns.commented IS 'said';
GRANT SELECT (granted) ON d_columns TO k_reader;
CREATE STATISTICS d_statistics ON typed, commented FROM d_columns;
CREATE TABLE d_dropped_column (a int, b int);
CREATE TABLE d_extra_column (a int);
CREATE TABLE d_options (id int) WITH (fillfactor = 70);
CREATE TABLE d_owner (id int);
CREATE TABLE d_placed (id int CONSTRAINT d_placed_key PRIMARY KEY USING INDEX TABLESPACE "k fast") TABLESPACE "k fast";
INSERT INTO d_placed VALUES (1);
CREATE TABLE d_logged (id int);
CREATE TABLE d_typed OF d_composite;
CREATE TABLE d_heir () INHERITS (d_owner);
CREATE TABLE d_identity (id int PRIMARY KEY);
ALTER TABLE d_identity REPLICA IDENTITY USING INDEX d_identity_pkey;
CREATE TABLE d_clustered (id int PRIMARY KEY);
ALTER TABLE d_clustered CLUSTER ON d_clustered_pkey;
CREATE TABLE d_secure (id int);
ALTER TABLE d_secure ENABLE ROW LEVEL SECURITY;
CREATE TABLE d_forced (id int);
ALTER TABLE d_forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY d_policy ON guarded FOR SELECT TO k_reader USING (id IN (1, 2));
CREATE TABLE d_checked (id int CONSTRAINT d_check CHECK (id IN (1, 2, 3)), state varchar CHECK (state IN ('a', 'b')));
CREATE TABLE d_unchecked (n int);
ALTER TABLE d_unchecked ADD CONSTRAINT d_valid CHECK (n > 0) NOT VALID;
CREATE TABLE d_unique (a int, b int CONSTRAINT d_deferred UNIQUE DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE d_unique ADD CONSTRAINT d_unique_a UNIQUE NULLS NOT DISTINCT (a);
CREATE TABLE d_excluded (r int4range, CONSTRAINT d_exclude EXCLUDE USING gist (r WITH &&));
CREATE TABLE d_referring (id int CONSTRAINT d_reference REFERENCES d_identity ON DELETE CASCADE);
CREATE TABLE d_indexed (a int, b text, c text);
CREATE UNIQUE INDEX d_index_unique ON d_indexed (a) INCLUDE (b);
CREATE INDEX d_index_where ON d_indexed (b) WHERE b IN ('x', 'y');
CREATE INDEX d_index_expression ON d_indexed (lower(c) COLLATE "C" text_pattern_ops DESC NULLS LAST) WITH (fillfactor = 50);
CREATE INDEX d_index_gone ON d_indexed (c);
CREATE INDEX d_index_statistics ON d_indexed ((a + 1));
CREATE VIEW d_view AS SELECT a, b FROM d_indexed WHERE b IN ('x', 'y');
CREATE VIEW d_barrier WITH (security_barrier) AS SELECT * FROM d_indexed;
CREATE RECURSIVE VIEW d_recursive (n) AS SELECT 1 UNION ALL SELECT n + 1 FROM d_recursive WHERE n < 5;
CREATE VIEW d_default AS SELECT 1 AS one;
ALTER VIEW d_default ALTER COLUMN one SET DEFAULT 7;
CREATE MATERIALIZED VIEW d_materialized AS SELECT 1 AS one WITH NO DATA;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER d_trigger BEFORE INSERT ON d_indexed FOR EACH ROW WHEN (NEW.b IN ('x', 'y')) EXECUTE FUNCTION touch();
CREATE TRIGGER d_disabled AFTER UPDATE OF a ON d_indexed FOR EACH ROW EXECUTE FUNCTION touch();
CREATE CONSTRAINT TRIGGER d_constraint AFTER INSERT ON d_indexed DEFERRABLE FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE d_rule AS ON DELETE TO d_indexed WHERE OLD.a = 1 DO INSTEAD NOTHING;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER d_event ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION watch();
SET client_min_messages = error;
CREATE PUBLICATION d_publication FOR TABLE d_identity, d_indexed (a) WHERE (a > 1) WITH (publish = 'insert');
CREATE PUBLICATION d_publication_schema FOR TABLES IN SCHEMA k_owned WITH (publish = 'insert');
CREATE PUBLICATION d_publication_all FOR ALL TABLES WITH (publish = 'insert');
CREATE SUBSCRIPTION d_subscription CONNECTION 'host=nowhere password=subscription' PUBLICATION p WITH (connect = false, slot_name = NONE, enabled = false);
RESET client_min_messages;
CREATE FOREIGN DATA WRAPPER d_wrapper OPTIONS (a '1');
CREATE SERVER d_server TYPE 't' VERSION '1' FOREIGN DATA WRAPPER d_wrapper OPTIONS (host 'there');
CREATE USER MAPPING FOR k_reader SERVER d_server OPTIONS (password 'one');
CREATE FOREIGN TABLE d_foreign (id int OPTIONS (remote 'x')) SERVER d_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA k GRANT SELECT ON TABLES TO k_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE k_writer REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE SEQUENCE d_sequence INCREMENT 2 CACHE 3;
CREATE TABLE d_serial (id serial);
GRANT SELECT ON d_options TO k_reader;
GRANT USAGE ON SEQUENCE d_sequence TO k_reader;
REVOKE EXECUTE ON FUNCTION d_body() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION d_body() TO k_reader WITH GRANT OPTION;
REVOKE USAGE ON TYPE d_enum FROM PUBLIC;
GRANT USAGE ON SCHEMA k TO k_reader, k_writer;
GRANT USAGE ON FOREIGN SERVER d_server TO k_reader;
GRANT USAGE ON FOREIGN DATA WRAPPER d_wrapper TO k_reader;
COMMENT ON FUNCTION d_body() IS 'a body';
COMMENT ON CONSTRAINT d_check ON d_checked IS 'a check';
CREATE TABLE d_grantor (id int);
ALTER TABLE d_grantor OWNER TO k_writer;
SET ROLE k_writer;
GRANT SELECT ON k.d_grantor TO k_reader WITH GRANT OPTION;
RESET ROLE;
\if :v17
CREATE TABLE d_identity_parts (id int GENERATED ALWAYS AS IDENTITY, at int) PARTITION BY LIST (at);
CREATE TABLE d_identity_parts_1 PARTITION OF d_identity_parts FOR VALUES IN (1, NULL);
INSERT INTO d_identity_parts (at) VALUES (1), (NULL);
\endif
\if :v18
CREATE TABLE d_virtual (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL, CONSTRAINT a_needed NOT NULL a);
INSERT INTO d_virtual VALUES (1), (2);
CREATE TABLE d_not_enforced (a int, CONSTRAINT enforced_not CHECK (a IN (1, 2)) NOT ENFORCED);
CREATE TABLE d_periods (id int4range, valid_at daterange, CONSTRAINT d_periods_key PRIMARY KEY (id, valid_at WITHOUT OVERLAPS));
INSERT INTO d_periods VALUES ('[1,2)', '[2026-01-01,2026-02-01)');
\endif
