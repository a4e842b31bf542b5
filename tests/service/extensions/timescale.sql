-- A hypertable of several chunks, and a plain table beside it. The free build compresses nothing.
CREATE TABLE public.here AS SELECT system_identifier FROM pg_control_system();
CREATE EXTENSION timescaledb;
CREATE TABLE reading (at timestamptz NOT NULL, device int NOT NULL, value float8);
SELECT create_hypertable('reading', 'at', chunk_time_interval => interval '7 days');
INSERT INTO reading SELECT timestamptz '2026-01-01' + i * interval '1 hour', i % 5, i / 3.0 FROM generate_series(0, 700) i;
CREATE INDEX ON reading (device, at DESC);
CREATE TABLE plain AS SELECT i FROM generate_series(1, 20) i;
