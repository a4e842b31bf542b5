//! The proof finds what a restore lost or changed, names it, and raises no false alarm.
//!
//! Wrong copies are made in two ways, without touching stackwarden: a database that damages itself while it is restored
//! (its last restored object calls a function that acts only on another server), and a stored file that was
//! exchanged for a wrong one.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Artefact, FreshServer, Stack, run};

/// Six tables alike, each with an index and a grant, and the identity of the server where all is as it should be.
const VICTIM: &str = "
CREATE TABLE here AS SELECT system_identifier FROM pg_control_system();
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['value', 'exchange', 'row', 'table', 'index', 'grant'] LOOP
        EXECUTE format('CREATE TABLE a_%s (id int PRIMARY KEY, owner text NOT NULL, amount numeric NOT NULL)', name);
        EXECUTE format('INSERT INTO a_%s SELECT i, ''owner '' || i, i * 10 FROM generate_series(1, 500) i', name);
        EXECUTE format('CREATE INDEX a_%s_owner ON a_%1$s (owner)', name);
        EXECUTE format('GRANT SELECT ON a_%s TO reader', name);
    END LOOP;
END $$;
";

/// What happens to the copy, and how the difference has to be named. Each to a table of its own.
const DAMAGES: [(&str, &str, &str); 6] = [
    (
        "UPDATE public.a_value SET amount = amount + 1 WHERE id = 77",
        "table public.a_value: holds other values",
        "",
    ),
    (
        "UPDATE public.a_exchange SET amount = 190 - amount WHERE id IN (9, 10)",
        "table public.a_exchange: holds other values",
        "",
    ),
    (
        "DELETE FROM public.a_row WHERE id = 7",
        "table public.a_row: has 499 rows, the snapshot had 500",
        "",
    ),
    (
        "DROP TABLE public.a_table",
        "table public.a_table: is missing in the restored copy",
        "",
    ),
    (
        "DROP INDEX public.a_index_owner",
        "schema INDEX",
        "a_index_owner",
    ),
    (
        "REVOKE SELECT ON public.a_grant FROM reader",
        "schema ACL",
        "a_grant",
    ),
];

/// A database whose last restored object does this, on any other server than its own.
fn victim(damage: &str) -> String {
    format!(
        "{VICTIM}
CREATE FUNCTION damage() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT h.system_identifier <> c.system_identifier FROM public.here h, pg_control_system() c) THEN
        {damage};
    END IF;
    RETURN 1;
END $$;
CREATE MATERIALIZED VIEW last_restored AS SELECT public.damage() AS done;
"
    )
}

#[test]
fn everything_that_differs_in_a_copy_is_named() {
    let stack = Stack::builder("proof").write();
    let damages: Vec<&str> = DAMAGES.iter().map(|(damage, _, _)| *damage).collect();
    stack.up_database(&[
        ("app", "CREATE ROLE reader"),
        ("app", "CREATE DATABASE damaged"),
        ("app", &victim("NULL")),
        ("damaged", &victim(&damages.join(";\n"))),
    ]);
    stack.up();
    let proven = stack.wait_for_verdict("app");
    assert_eq!(proven["level"], "content", "{proven:#}");
    let refuted = stack.wait_for_verdict("damaged");
    assert_eq!(refuted["standing"], "refuted", "{refuted:#}");
    assert!(refuted["level"].is_null(), "{refuted:#}");
    let differences = &refuted["proof"]["differences"];
    for (_, start, named) in DAMAGES {
        the_difference_is(differences, start, named);
    }
    // The damage of one table is not blamed on another.
    assert!(
        !differences.to_string().contains("public.here"),
        "{differences:#}"
    );
    assert!(
        !differences.to_string().contains("last_restored"),
        "{differences:#}"
    );
    whoever_asks_is_told(&stack, refuted["id"].as_str().expect("an id"));
}

fn the_difference_is(differences: &Value, start: &str, named: &str) {
    let all = differences.as_array().expect("differences");
    let mut found = all.iter().filter_map(Value::as_str);
    let found = found.any(|it| it.starts_with(start) && it.contains(named));
    assert!(found, "{start:?} is not in {differences:#}");
}

fn whoever_asks_is_told(stack: &Stack, id: &str) {
    let verified = stack.stackwarden(&["verify", id]).ended_with(1);
    assert!(
        verified.stdout.contains("a_"),
        "the first difference is named: {}",
        verified.stdout
    );
    let status = stack.stackwarden(&["status"]).stdout;
    assert!(
        status.contains("refuted") && status.contains(id),
        "{status}"
    );
}

#[test]
fn an_exchanged_stored_file_is_refuted() {
    let stack = Stack::builder("forged").write();
    stack.up_database(&[("app", "CREATE ROLE reader"), ("app", &victim("NULL"))]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    let artefacts = stack.artefacts("app");
    let artefact = &artefacts[0];
    let original = std::fs::read(&artefact.stored).expect("read the dump");

    // Bytes that changed under the manifest: seen without any restore.
    for (case, bytes) in [
        ("flipped", flipped(&original)),
        ("truncated", truncated(&original)),
    ] {
        std::fs::write(&artefact.stored, bytes).expect("write the dump");
        let told = refuted(&stack, artefact);
        assert!(told.contains("SHA-256 differs"), "{case}: {told}");
    }
    // A truncation that the manifest knows nothing of: pg_restore refuses.
    let told = forge(&stack, artefact, &truncated(&original));
    assert!(told.contains("pg_restore could not restore it"), "{told}");

    let forger = Forger::begin(&stack, artefact, &original);
    // The way of forging itself is not what the proof finds.
    the_manifest_fits(artefact, &forger.dump("SELECT 1"));
    drop(stack.stackwarden(&["verify", &artefact.id]).ok());
    let told = forge(
        &stack,
        artefact,
        &forger.dump("UPDATE a_value SET amount = 1 WHERE id = 77; DROP INDEX a_index_owner"),
    );
    assert!(
        told.contains("table public.a_value: holds other values"),
        "{told}"
    );
    assert!(
        told.contains("its schema is not the one the manifest recorded"),
        "{told}"
    );
}

#[test]
fn a_stored_stream_that_does_not_unpack_is_refuted() {
    let stack = Stack::builder("torn")
        .postgres(|it| it.image("postgres:15"))
        .write();
    stack.up_database(&[("app", "CREATE ROLE reader"), ("app", &victim("NULL"))]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    let artefact = stack.artefacts("app").pop().expect("a backup");
    let original = std::fs::read(&artefact.stored).expect("read the dump");
    for bytes in [
        truncated(&original),
        flipped(&original),
        b"no stream at all".to_vec(),
    ] {
        let told = forge(&stack, &artefact, &bytes);
        assert!(told.contains("its zstd stream does not unpack: "), "{told}");
    }
    the_manifest_fits(&artefact, &original);
    drop(stack.stackwarden(&["verify", &artefact.id]).ok());
}

#[test]
fn a_backup_without_counts_is_proven_as_far_as_it_can_be_and_says_why_no_further() {
    let stack = Stack::builder("uncounted")
        .sidecar(|it| it.environment("STACKWARDEN_BACKUP_VERIFY", "archive"))
        .write();
    stack.up_database(&[("app", "CREATE ROLE reader"), ("app", &victim("NULL"))]);
    stack.up();
    let taken = stack.wait_for_backup("app");
    let id = taken["id"].as_str().expect("an id");
    let words = ["verify", id, "--level", "content"];
    let said = stack.stackwarden(&words).ended_with(0).stdout;
    let sentence = "proven at level restore and no further: rows were not counted: when it was taken, \
                    stackwarden.backup.verify asked for archive";
    assert!(said.contains(sentence), "{said}");
    let listed = stack.wait_for_verdict("app");
    assert_eq!(listed["level"], "restore", "{listed:#}");
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes
}

fn truncated(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() * 2 / 3].to_vec()
}

/// Puts bytes in place of the stored file, as if they had been written at the backup, and proves them.
fn forge(stack: &Stack, artefact: &Artefact, bytes: &[u8]) -> String {
    the_manifest_fits(artefact, bytes);
    refuted(stack, artefact)
}

fn the_manifest_fits(artefact: &Artefact, bytes: &[u8]) {
    std::fs::write(&artefact.stored, bytes).expect("write the dump");
    let sum = run("sha256sum", &[&artefact.stored.display().to_string()], None).ok();
    let sum = sum.split_whitespace().next().expect("a sum");
    let mut manifest = artefact.manifest.clone();
    manifest["stored_sha256"] = json!(sum);
    manifest["stored_bytes"] = json!(bytes.len());
    artefact.write_manifest(&manifest);
}

/// The differences of a verification that has to fail.
#[track_caller]
fn refuted(stack: &Stack, artefact: &Artefact) -> String {
    drop(stack.stackwarden(&["verify", &artefact.id]).ended_with(1));
    let listed = stack.wait_for_verdict("app");
    assert_eq!(listed["standing"], "refuted", "{listed:#}");
    listed["proof"]["differences"].to_string()
}

/// Makes wrong dumps of a right one, with stock tools.
struct Forger {
    server: FreshServer,
    folder: String,
    path: std::path::PathBuf,
}

impl Forger {
    fn begin(stack: &Stack, artefact: &Artefact, original: &[u8]) -> Self {
        let server = FreshServer::start(stack, "postgres:17");
        let folder = format!("{}/postgres/app", stack.project());
        std::fs::write(&artefact.stored, original).expect("write the dump");
        let file = Path::new(&artefact.stored)
            .file_name()
            .expect("a name")
            .to_string_lossy();
        let roles = "CREATE ROLE app SUPERUSER LOGIN; CREATE ROLE reader";
        drop(server.psql("postgres", roles));
        let line = format!("pg_restore -C -d postgres {file}");
        drop(server.shell(&folder, &line).ok());
        drop(server.psql("postgres", "ALTER DATABASE app RENAME TO pristine"));
        let path = stack.series_folder("app").join("forged");
        Self {
            server,
            folder,
            path,
        }
    }

    fn dump(&self, mutation: &str) -> Vec<u8> {
        drop(self.server.psql(
            "postgres",
            "CREATE DATABASE app TEMPLATE pristine OWNER app",
        ));
        drop(self.server.psql("app", mutation));
        let line = "pg_dump -Fc --compress=zstd:1 -d app -f forged";
        drop(self.server.shell(&self.folder, line).ok());
        drop(self.server.psql("postgres", "DROP DATABASE app"));
        let bytes = std::fs::read(&self.path).expect("read the forged dump");
        std::fs::remove_file(&self.path).expect("remove the forged dump");
        bytes
    }
}

/// What restores differently than it was, though nothing is wrong: each of these has raised a false alarm somewhere.
const AWKWARD: &str = "
CREATE TABLE parent (id int PRIMARY KEY, a text);
CREATE TABLE child (own int) INHERITS (parent);
ALTER TABLE parent ADD COLUMN later timestamptz DEFAULT now();
INSERT INTO child (id, a, own) SELECT i, 'c' || i, i FROM generate_series(1, 100) i;
INSERT INTO parent (id, a) VALUES (1, 'p');

CREATE TABLE member (id int, status varchar CHECK (status IN ('a', 'b')), gone int);
ALTER TABLE member DROP COLUMN gone;
INSERT INTO member VALUES (1, 'a'), (2, 'b'), (3, NULL);
CREATE VIEW well AS SELECT * FROM member WHERE status IN ('a', 'b');

CREATE TABLE event (at date NOT NULL, what text COLLATE \"C\") PARTITION BY RANGE (at);
CREATE TABLE event_25 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE event_26 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO event SELECT date '2025-06-01' + i, 'e' || i FROM generate_series(0, 400) i;
CREATE INDEX ON event (what);

CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TYPE mood ADD VALUE 'between' BEFORE 'bad';
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE TABLE everything (
    id bigint GENERATED BY DEFAULT AS IDENTITY (START 5 INCREMENT 5),
    doubled bigint GENERATED ALWAYS AS (id * 2) STORED,
    mood mood, body jsonb, price positive, ratio float8, tags text[], code char(8),
    span interval, bytes bytea, seen timestamptz, net inet
);
INSERT INTO everything (mood, body, price, ratio, tags, code, span, bytes, seen, net)
    SELECT (ARRAY['good', 'bad', 'between'])[1 + i % 3]::mood, jsonb_build_object('z', i, 'a', 1.10),
        i + 0.10, 1.0 / i, ARRAY['x', NULL, i::text], 'c' || i, i * interval '1 hour',
        sha256(i::text::bytea), '2026-01-01'::timestamptz + i * interval '1 day', '10.0.0.1/24'
    FROM generate_series(1, 300) i;
CREATE SEQUENCE falling INCREMENT -3 MAXVALUE 100 START 100;
SELECT nextval('falling'), nextval('falling');
SELECT lo_from_bytea(0, sha256('large')), lo_create(0);
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM everything;
CREATE TABLE fresh (id int PRIMARY KEY) WITH (fillfactor = 70);
CREATE POLICY own ON member USING (status IN ('a', 'b'));
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE INSERT ON member FOR EACH ROW
    WHEN (NEW.status IN ('a', 'b')) EXECUTE FUNCTION touch();
COMMENT ON TABLE member IS 'with a ''quoted'' comment';
ALTER DATABASE app SET timezone TO 'Asia/Kathmandu';
ALTER DATABASE app SET datestyle TO 'German';
ALTER ROLE app SET extra_float_digits TO 0;
";

#[test]
fn awkward_but_right_copies_raise_no_false_alarm() {
    let stack = Stack::builder("awkward").write();
    stack.up_database(&[("app", AWKWARD)]);
    stack.up();
    let proven = stack.wait_for_verdict("app");
    assert_eq!(proven["standing"], "proven", "{proven:#}");
    assert_eq!(proven["level"], "content", "{proven:#}");
    let artefacts = stack.artefacts("app");
    let compared = &artefacts[0].proofs()[0]["compared"];
    let how = |name: &str| -> Vec<String> {
        let all = compared.as_array().expect("a list").iter();
        let ours = all.filter(|it| it["name"] == name);
        ours.map(|it| format!("{} {}", it["kind"], it["compared"]))
            .collect()
    };
    for table in [
        "parent",
        "child",
        "member",
        "event_25",
        "event_26",
        "everything",
    ] {
        let how = how(&format!("public.{table}"));
        assert!(
            how.contains(&r#""table" "digest""#.to_owned()),
            "{table}: {how:?}"
        );
    }
}

#[test]
fn roles_that_are_not_those_that_were_written_refute_what_stands_on_them() {
    let stack = Stack::builder("roles-altered").write();
    stack.up_database(&[("app", "CREATE ROLE keeper; CREATE TABLE t AS SELECT 1 AS a")]);
    stack.up();
    let proven = stack.wait_for_proof("app", "content");
    let id = proven["id"].as_str().expect("an id");
    let roles = stack.artefacts("globals").pop().expect("roles").stored;
    let text = std::fs::read_to_string(&roles).expect("read the roles");
    // They restore as before, and are not what was written.
    std::fs::write(&roles, format!("{text}-- a line of somebody's\n")).expect("write");
    let said = stack.stackwarden(&["verify", id]).ended_with(1).stdout;
    assert!(
        said.contains("the roles that it stands on are not those that were written"),
        "{said}"
    );
    let refused = stack.stackwarden(&["restore", id, "--into", "copy"]);
    drop(refused.ended_with(1));
    std::fs::write(&roles, text).expect("write");
    let said = stack.stackwarden(&["verify", id]).ended_with(0).stdout;
    assert!(said.contains("proven at level content"), "{said}");
}
