-- pg_cron lives in one database of a server.
CREATE EXTENSION pg_cron;
SELECT cron.schedule('never', '0 0 30 2 *', 'SELECT 1/0');
SELECT cron.schedule('vacuum', '* * * * *', 'SELECT 1');
