-- What is set for databases and roles, and would change what is printed.
SELECT format('ALTER DATABASE %I SET %s', current_database(), setting) FROM (VALUES ('timezone TO ''Asia/Kathmandu'''), ('datestyle TO ''German'''),
    ('intervalstyle TO iso_8601'), ('extra_float_digits TO 0'), ('bytea_output TO escape'), ('search_path TO k, pg_catalog'), ('xmloption TO document'),
    ('standard_conforming_strings TO off'), ('backslash_quote TO on'), ('default_transaction_isolation TO serializable'), ('idle_session_timeout TO ''5s'''),
    ('idle_in_transaction_session_timeout TO ''5s'''), ('statement_timeout TO ''20s'''), ('lock_timeout TO ''2s'''), ('quote_all_identifiers TO on'),
    ('app.secret_key TO ''a database secret'''), ('client_encoding TO LATIN1')) AS v(setting) \gexec
SELECT format('ALTER ROLE k_reader IN DATABASE %I SET work_mem TO ''9MB''', current_database()) \gexec
SELECT format('COMMENT ON DATABASE %I IS %L', current_database(), 'it''s a comment') \gexec
SELECT format('ALTER DATABASE %I CONNECTION LIMIT 40', current_database()) \gexec
SELECT format('GRANT TEMPORARY ON DATABASE %I TO k_reader', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET default_transaction_read_only TO on', current_database()) \gexec
