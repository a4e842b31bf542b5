-- Changes of owners, rights, comments, the database itself and the roles: one of each kind, made in a restored copy before it is compared. The line after each says
-- how the difference has to begin, and after the dots what it has to contain.
ALTER SCHEMA k_owned OWNER TO k_writer;
--> schema SCHEMA k_owned: … k_writer
ALTER TABLE k.d_owner OWNER TO k_writer;
--> schema TABLE k.d_owner: … k_writer
ALTER FUNCTION k.d_definer() OWNER TO k_writer;
--> schema FUNCTION k.d_definer(): … k_writer
COMMENT ON SCHEMA k IS 'another';
--> schema COMMENT SCHEMA k: 
COMMENT ON COLUMN k.d_columns.commented IS NULL;
--> schema COMMENT k.COLUMN d_columns.commented: is missing
COMMENT ON FUNCTION k.d_body() IS 'another';
--> schema COMMENT k.FUNCTION d_body(): 
COMMENT ON CONSTRAINT d_check ON k.d_checked IS 'another';
--> schema COMMENT k.CONSTRAINT d_check ON d_checked: 
REVOKE SELECT (granted) ON k.d_columns FROM k_reader;
--> schema ACL k.COLUMN d_columns.granted: … is missing
GRANT UPDATE ON k.d_options TO k_reader;
--> schema ACL k.TABLE d_options: … UPDATE
REVOKE USAGE ON SEQUENCE k.d_sequence FROM k_reader;
--> schema ACL k.SEQUENCE d_sequence: is missing
REVOKE GRANT OPTION FOR EXECUTE ON FUNCTION k.d_body() FROM k_reader;
--> schema ACL k.FUNCTION d_body(): … GRANT OPTION
GRANT USAGE ON TYPE k.d_enum TO PUBLIC;
--> schema ACL k.TYPE d_enum: 
GRANT CREATE ON SCHEMA k TO k_reader;
--> schema ACL SCHEMA k: 
REVOKE USAGE ON FOREIGN SERVER d_server FROM k_reader;
--> schema ACL FOREIGN SERVER d_server: is missing
REVOKE USAGE ON FOREIGN DATA WRAPPER d_wrapper FROM k_reader;
--> schema ACL FOREIGN DATA WRAPPER d_wrapper: is missing
ALTER DEFAULT PRIVILEGES IN SCHEMA k GRANT INSERT ON TABLES TO k_reader;
--> schema DEFAULT ACL k.DEFAULT PRIVILEGES FOR TABLES: … INSERT
ALTER DEFAULT PRIVILEGES FOR ROLE k_writer GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
--> schema DEFAULT ACL DEFAULT PRIVILEGES FOR FUNCTIONS: is missing
EXECUTE 'REVOKE GRANT OPTION FOR SELECT ON k.d_grantor FROM k_reader';
--> schema ACL k.TABLE d_grantor: 
GRANT UPDATE ON LARGE OBJECT 900001 TO k_reader;
--> table large objects: holds other values
EXECUTE format('ALTER DATABASE %I SET timezone TO ''Asia/Tokyo''', current_database());
--> schema DATABASE PROPERTIES rights: is defined otherwise
EXECUTE format('COMMENT ON DATABASE %I IS NULL', current_database());
--> schema COMMENT DATABASE rights: is missing
EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM k_reader', current_database());
--> schema ACL DATABASE rights: 
ALTER ROLE k_password PASSWORD 'other';
--> role k_password: … PASSWORD '***'
--> role k_password: … copy alone
ALTER ROLE k_attribute CREATEDB VALID UNTIL 'infinity';
--> role k_attribute: … CREATEDB
--> role k_attribute: … copy alone
ALTER ROLE k_setting SET work_mem TO '2MB';
--> role k_setting: … work_mem
--> role k_setting: … copy alone
REVOKE k_reader FROM "k Member";
--> role k_reader: … k Member
COMMENT ON ROLE k_commented IS 'another';
--> role k_commented: … is missing
--> role k_commented: … copy alone
DROP ROLE k_dropped;
--> role k_dropped: … is missing
--> role k_dropped: … is missing
