//! Databases in another encoding than UTF-8, or in none, whatever their names: proven to the letter, and restorable by
//! stock tools.

use crate::harness::{FreshServer, Stack};
use crate::kinds::damaging;

/// Letters that are no UTF-8 in the dump of a database in LATIN1.
const LATIN1: &str = "
SET client_encoding = UTF8;
CREATE TABLE here AS SELECT system_identifier FROM pg_control_system();
CREATE TABLE \"café\" AS SELECT i, 'naïve ' || i AS \"ÿ\" FROM generate_series(1, 100) i;
CREATE FUNCTION word() RETURNS text LANGUAGE sql AS $$ SELECT 'é'::text $$;
COMMENT ON TABLE \"café\" IS 'où';
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET timezone TO ''Asia/Kathmandu''', current_database());
    EXECUTE format('COMMENT ON DATABASE %I IS ''ü''', current_database());
END $$;
CREATE TABLE owned (id int);
-- Names of roles are bytes: those that another database wrote in UTF-8.
SET client_encoding = LATIN1;
ALTER TABLE owned OWNER TO \"rené\";
";

/// The same in a database that knows no encoding.
const OCTETS: &str = "
CREATE TABLE here AS SELECT system_identifier FROM pg_control_system();
DO $$ BEGIN
    EXECUTE format('CREATE FUNCTION word() RETURNS text LANGUAGE sql AS %L',
        'SELECT ''' || convert_from('\\xe9', 'SQL_ASCII') || '''::text');
END $$;
";

/// Another letter, of which a careless reader sees the same sign.
const OTHER_LETTER: &str =
    "EXECUTE replace(pg_get_functiondef('public.word()'::regprocedure), chr(233), chr(232));";
const OTHER_OCTET: &str = "EXECUTE replace(pg_get_functiondef('public.word()'::regprocedure), \
convert_from('\\xe9', 'SQL_ASCII'), convert_from('\\xe8', 'SQL_ASCII'));";

fn create(stack: &Stack, name: &str, encoding: &str) {
    let create = format!(
        "CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    drop(stack.psql("app", &create));
}

#[test]
fn databases_in_any_encoding_are_proven_and_a_changed_letter_is_named() {
    let stack = Stack::builder("encodings").write();
    stack.up_database(&[(
        "app",
        "CREATE ROLE rene; ALTER ROLE rene RENAME TO \"rené\"",
    )]);
    for (name, encoding, sql) in [
        ("plain", "LATIN1", LATIN1),
        ("garçon", "LATIN1", LATIN1),
        ("forêt", "LATIN1", LATIN1),
        ("octets", "SQL_ASCII", OCTETS),
        ("œuvre", "SQL_ASCII", OCTETS),
    ] {
        create(&stack, name, encoding);
        drop(stack.psql(name, sql));
    }
    drop(stack.psql("app", "ALTER DATABASE plain OWNER TO \"rené\""));
    drop(stack.psql("forêt", &damaging(OTHER_LETTER)));
    drop(stack.psql("œuvre", &damaging(OTHER_OCTET)));
    stack.up();
    for name in ["plain", "garçon", "octets"] {
        let proven = stack.wait_for_verdict(name);
        assert_eq!(proven["standing"], "proven", "{name}: {proven:#}");
        assert_eq!(proven["level"], "content", "{name}: {proven:#}");
    }
    for name in ["forêt", "œuvre"] {
        let refuted = stack.wait_for_verdict(name);
        assert_eq!(refuted["standing"], "refuted", "{name}: {refuted:#}");
        let differences = refuted["proof"]["differences"].as_array().expect("a list");
        let first = differences[0].as_str().expect("a sentence");
        assert!(
            differences.len() == 1
                && first.starts_with("schema FUNCTION public.word(): ")
                && first.contains("xe9")
                && first.contains("xe8"),
            "{name}: {differences:#?}"
        );
    }
    stock_tools_restore_them(&stack);
}

fn stock_tools_restore_them(stack: &Stack) {
    let question = "SET client_encoding = UTF8; SELECT public.word(), (SELECT max(\"ÿ\") FROM \"café\"), \
current_setting('timezone')";
    for (name, folder) in [("plain", "plain"), ("garçon", "gar%C3%A7on")] {
        let fresh = FreshServer::start(stack, "postgres:17");
        for series in ["globals", folder] {
            let artefacts = stack.artefacts(series);
            let line = artefacts[0].manifest["restore"].as_str().expect("a line");
            let folder = format!("{}/postgres/{series}", stack.project());
            let restored = fresh.shell(&folder, line).ended_with(0);
            assert!(
                !restored.stderr.contains("ERROR"),
                "{line}: {}",
                restored.stderr
            );
        }
        let answer = fresh.psql(name, question);
        assert_eq!(answer, "é|naïve 99|Asia/Kathmandu", "{name}");
    }
}
