-- What belongs to the whole server: roles that the schema names, one for each damage to roles, and a tablespace.
CREATE ROLE k_reader;
CREATE ROLE k_writer;
CREATE ROLE k_password LOGIN PASSWORD 'a role''s secret';
CREATE ROLE k_attribute CONNECTION LIMIT 3;
CREATE ROLE k_setting BYPASSRLS;
ALTER ROLE k_setting SET work_mem TO '1MB';
CREATE ROLE "k Member" IN ROLE k_reader;
CREATE ROLE k_commented;
COMMENT ON ROLE k_commented IS 'with a
new line and ''quotes''';
CREATE ROLE k_dropped;
GRANT SET ON PARAMETER work_mem TO k_reader;
ALTER ROLE ALL SET log_duration TO off;
ALTER ROLE app SET extra_float_digits TO 1;
ALTER ROLE app SET search_path TO nowhere;
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir /var/lib/postgresql/fast';
CREATE TABLESPACE "k fast" OWNER k_writer LOCATION '/var/lib/postgresql/fast';
ALTER TABLESPACE "k fast" SET (random_page_cost = 1);
GRANT CREATE ON TABLESPACE "k fast" TO k_reader;
COMMENT ON TABLESPACE "k fast" IS 'elsewhere';
