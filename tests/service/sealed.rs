//! Backups that are sealed with age: nobody reads them without a key, Debian's age opens them, and how far they are proven
//! with an identity, without one, and with a wrong one.

mod folder;

use serde_json::Value;

use crate::harness::{
    Artefact, PROOF, SIDECAR, SOON, Stack, StackBuilder, catch, docker, wait_until,
};
use crate::harness_gate::{App, gated};
pub use folder::Key;
use folder::{a_stranger_reads_nothing, nothing_is_readable, stock_tools_restore_it};

/// Rows that are looked for where nobody may find them; the role's password too.
const SECRETS: &str = "
CREATE ROLE keeper LOGIN PASSWORD 'kept';
CREATE TABLE patients (id int PRIMARY KEY, name text);
INSERT INTO patients SELECT i, 'plainly-' || i FROM generate_series(1, 40000) i;
ALTER TABLE patients OWNER TO keeper;
";
const CONTENT: &str = "SELECT count(*), sum(hashtext(name)) FROM patients; SELECT tableowner FROM pg_tables WHERE tablename = 'patients'";
const RECIPIENTS: &str = "STACKWARDEN_AGE_RECIPIENTS";
const IDENTITY: &str = "STACKWARDEN_AGE_IDENTITY_FILE";

/// Seals what its sidecar takes.
pub fn sealing(stack: StackBuilder, recipients: &[&Key]) -> StackBuilder {
    let names: Vec<&str> = recipients.iter().map(|key| key.public.as_str()).collect();
    stack.sidecar(|it| it.environment(RECIPIENTS, &names.join(",")))
}

/// Lets its sidecar open what is sealed.
pub fn opening(stack: StackBuilder, identities: &[&Key]) -> StackBuilder {
    let secrets: String = identities.iter().map(|key| key.secret.as_str()).collect();
    let stack = stack.file("identity.txt", &secrets);
    stack.sidecar(|it| {
        it.environment(IDENTITY, "/run/identity.txt")
            .volume("./identity.txt:/run/identity.txt:ro")
    })
}

#[track_caller]
fn newest(stack: &Stack, series: &str) -> Artefact {
    stack.artefacts(series).pop().expect("a backup")
}

/// Proven all the same: from the stream of the pass that sealed it.
#[track_caller]
fn the_proof_says_what_was_restored(artefact: &Artefact) {
    let proofs = artefact.proofs();
    let compared = proofs[0]["compared"].as_array().expect("a list");
    let file = compared
        .iter()
        .find(|it| it["kind"] == "file")
        .expect("the file");
    let why = file["why"].as_str().expect("a sentence");
    assert!(
        why.contains("was not opened") && proofs.len() == 1,
        "{proofs:#?}"
    );
}

fn without_an_identity(test: &str, image: &str, ending: &str) {
    let key = Key::make();
    let stack = Stack::builder(test).postgres(|it| it.image(image));
    let stack = sealing(stack, &[&key]).write();
    stack.up_database(&[("app", SECRETS)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    let artefact = newest(&stack, "app");
    the_proof_says_what_was_restored(&artefact);
    assert_eq!(stack.made_containers(), Vec::<String>::new());
    nothing_is_readable(&stack, &artefact, ending);
    nothing_is_readable(&stack, &newest(&stack, "globals"), ".sql.age");
    let manifest = &artefact.manifest;
    assert_eq!(
        manifest["recipients"],
        serde_json::json!([key.public]),
        "{manifest:#}"
    );
    assert_eq!(
        (&manifest["level"], &manifest["decoded"]),
        (&"archive".into(), &"stream".into())
    );
    assert!(
        manifest["plain_bytes"].as_u64() < manifest["stored_bytes"].as_u64(),
        "{manifest:#}"
    );
    assert_eq!(
        manifest["schema_fingerprint"].as_str().map(str::len),
        Some(64)
    );
    stock_tools_restore_it(&stack, image, &key);
    a_stranger_reads_nothing(&stack, &artefact);

    // It is said why it goes no further and what to set, once.
    let said = stack
        .stackwarden(&["verify", &artefact.id])
        .ended_with(0)
        .stdout;
    assert!(
        said.contains("proven at level archive and no further: it is sealed"),
        "{said}"
    );
    assert!(said.contains(IDENTITY), "{said}");
    let listed = stack.wait_for_proof("app", "content");
    assert_eq!(id_of(&listed), artefact.id);
    for words in [["--into", "copy"].as_slice(), &["--swap", "--yes"]] {
        let words = [&["restore", artefact.id.as_str()], words].concat();
        let said = stack.stackwarden(&words).ended_with(1).said();
        assert!(said.contains(IDENTITY), "{said}");
    }
    assert_eq!(databases(&stack), "app|postgres");
    // The bytes are still proven by their hash.
    flip(&artefact);
    let said = stack
        .stackwarden(&["verify", &artefact.id])
        .ended_with(1)
        .said();
    assert!(said.contains("SHA-256 differs"), "{said}");
}

#[test]
fn without_an_identity_a_sealed_backup_is_read_by_its_owner_alone() {
    without_an_identity("sealed", "postgres:17", ".dump.age");
}

#[test]
fn a_dump_that_is_packed_from_outside_is_sealed_as_well() {
    without_an_identity("sealed-15", "postgres:15", ".dump.zst.age");
}

fn recreate_the_sidecar(stack: &Stack) {
    let words = ["up", "-d", "--force-recreate", SIDECAR];
    drop(stack.compose(&words).ok());
    wait_until("the sidecar answers", SOON, || {
        let said = stack.stackwarden(&["healthcheck"]);
        if said.code == 0 {
            Ok(())
        } else {
            Err(said.said())
        }
    });
}

fn databases(stack: &Stack) -> String {
    let sql =
        "SELECT string_agg(datname, '|' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    stack.psql("postgres", sql)
}

/// Its owner alone can read what a migration may have to be taken back to.
#[test]
fn the_gate_seals_what_it_takes_before_a_migration() {
    let key = Key::make();
    let app = App::idle().migrating("DELETE FROM patients");
    let stack = gated("sealed-gate")
        .gate(|it| it.environment(RECIPIENTS, &key.public))
        .service("app", &app.yaml())
        .write();
    stack.up_database(&[("app", SECRETS)]);
    stack.up();
    assert_eq!(stack.psql("app", "SELECT count(*) FROM patients"), "0");
    let artefact = newest(&stack, "app");
    assert_eq!(artefact.manifest["reason"], "pre-migration");
    assert_eq!(artefact.manifest["level"], "archive");
    nothing_is_readable(&stack, &artefact, ".dump.age");
    nothing_is_readable(&stack, &newest(&stack, "globals"), ".sql.age");
    // What was is what comes back.
    drop(stack.psql("app", "DROP TABLE patients; DROP ROLE keeper"));
    drop(stack.psql("app", SECRETS));
    stock_tools_restore_it(&stack, "postgres:17", &key);
}

fn flip(artefact: &Artefact) {
    let mut bytes = std::fs::read(&artefact.stored).expect("read the stored file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&artefact.stored, bytes).expect("write the stored file");
}

fn id_of(listed: &Value) -> &str {
    listed["id"].as_str().expect("an id")
}

fn with_an_identity(test: &str, image: &str) -> (Stack, Key) {
    let key = Key::make();
    let stack = Stack::builder(test).postgres(|it| it.image(image));
    let stack = opening(sealing(stack, &[&key]), &[&key]).write();
    stack.up_database(&[("app", SECRETS)]);
    stack.up();
    let listed = stack.wait_for_proof("app", "content");
    let artefact = newest(&stack, "app");
    assert_eq!(artefact.id, id_of(&listed));
    assert_eq!(
        artefact.manifest["decoded"], "stored",
        "{:#}",
        artefact.manifest
    );
    nothing_is_readable(&stack, &artefact, ".age");
    let said = stack
        .stackwarden(&["verify", &artefact.id])
        .ended_with(0)
        .stdout;
    assert!(said.contains("proven at level content"), "{said}");
    let live = stack.psql("app", CONTENT);
    drop(stack.psql("app", "DROP TABLE patients; DROP ROLE keeper"));
    let said = stack
        .stackwarden(&["restore", &artefact.id, "--into", "copy"])
        .ended_with(0)
        .stdout;
    assert!(
        said.contains("proven at level content") && said.contains("keeper"),
        "{said}"
    );
    assert_eq!(stack.psql("copy", CONTENT), live);
    without_its_manifest_it_is_opened_too(&stack, &artefact);
    assert_eq!(stack.psql("elsewhere", CONTENT), live);
    (stack, key)
}

fn without_its_manifest_it_is_opened_too(stack: &Stack, artefact: &Artefact) {
    let file = "elsewhere.dump.age";
    let path = stack.backup_folder().join(file);
    std::fs::copy(&artefact.stored, path).expect("copy the stored file");
    let words = ["restore", file, "--into", "elsewhere"];
    let said = stack.stackwarden(&words).ended_with(0).stdout;
    assert!(said.contains("level restore and no further"), "{said}");
    let words = ["verify", &format!("./{file}")];
    let said = stack.stackwarden(&words).ended_with(1).said();
    assert!(said.contains("open it first: age -d"), "{said}");
}

#[test]
fn with_the_identity_a_sealed_backup_is_proven_and_restored_whoever_it_is_sealed_for_later() {
    let (mut stack, key) = with_an_identity("opened", "postgres:17");
    let artefact = newest(&stack, "app");
    let logs = stack.logs(SIDECAR);
    let inspected = docker(&["inspect", &stack.container(SIDECAR)]).ok();
    for shown in [logs, inspected] {
        assert!(!shown.contains("AGE-SECRET-KEY"), "the identity is shown");
    }
    let other = Key::make();
    let fresh = for_another_key(&mut stack, &artefact, &other);

    // With both keys both open, also where no more is sealed.
    stack.change(|it| {
        let it = opening(it, &[&other, &key]);
        it.sidecar(|it| it.environment(RECIPIENTS, ""))
    });
    recreate_the_sidecar(&stack);
    for (id, name) in [(artefact.id.as_str(), "first"), (&fresh, "second")] {
        let words = ["restore", id, "--into", name];
        drop(stack.stackwarden(&words).ended_with(0));
    }
    drop(stack.back_up());
    let plain = newest(&stack, "app");
    assert_eq!(plain.manifest["recipients"], Value::Null);
    assert_eq!(plain.stored.extension(), Some("dump".as_ref()));

    // A flipped byte refutes, and is never restored.
    flip(&artefact);
    let words = ["restore", &artefact.id, "--into", "x"];
    let said = stack.stackwarden(&words).ended_with(1).said();
    assert!(
        said.contains("holds other bytes than were written"),
        "{said}"
    );
    let said = stack
        .stackwarden(&["verify", &artefact.id])
        .ended_with(1)
        .said();
    assert!(said.contains("SHA-256 differs"), "{said}");
    assert_eq!(
        databases(&stack),
        "app|copy|elsewhere|first|postgres|second"
    );
}

/// Another key from now on: what is there stays what it is, and says what it needs. Gives the backup for the other.
fn for_another_key(stack: &mut Stack, old: &Artefact, other: &Key) -> String {
    stack.change(|it| opening(sealing(it, &[other]), &[other]));
    recreate_the_sidecar(stack);
    let said = stack.stackwarden(&["verify", &old.id]).ended_with(0).stdout;
    let sentence = "for other recipients than STACKWARDEN_AGE_IDENTITY opens";
    assert!(said.contains(sentence), "{said}");
    let words = ["restore", &old.id, "--into", "x"];
    let said = stack.stackwarden(&words).ended_with(1).said();
    assert!(said.contains(sentence), "{said}");
    let listed = stack.backups_of("app");
    let listed = listed
        .iter()
        .find(|it| id_of(it) == old.id)
        .expect("the old backup");
    let stands = (&listed["standing"], &listed["level"]);
    assert_eq!(stands, (&"proven".into(), &"content".into()));
    drop(stack.back_up());
    let fresh = newest(stack, "app").id;
    assert_ne!(fresh, old.id);
    drop(stack.wait_for_listed("app", PROOF, |it| {
        id_of(it) == fresh && it["level"] == "content"
    }));
    fresh
}

#[test]
fn a_sealed_stream_is_opened_and_unpacked_for_its_proof() {
    drop(with_an_identity("opened-15", "postgres:15"));
}

/// The stream is gone then: it is said why it goes no further, once, and the next backup is proven. With an identity it is
/// proven by itself, as soon as there is one.
#[test]
fn a_sidecar_killed_before_the_proof_of_a_sealed_backup_leaves_it_at_archive_until_there_is_a_key()
{
    let key = Key::make();
    let mut stack = sealing(Stack::builder("sealed-kill"), &[&key]).write();
    stack.up_database(&[("app", SECRETS)]);
    stack.up();
    catch("the backup stands", PROOF, || {
        let found = stack.artefacts("app");
        found.first().map(drop).ok_or("no manifest".to_owned())
    });
    stack.kill(SIDECAR);
    assert_eq!(newest(&stack, "app").proofs().len(), 0);
    stack.start(SIDECAR);
    let listed = stack.wait_for_verdict("app");
    assert_eq!(listed["level"], "archive", "{listed:#}");
    assert_eq!(stack.made_containers(), Vec::<String>::new());
    let proofs = newest(&stack, "app").proofs();
    let reason = proofs[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains(IDENTITY), "{reason}");
    drop(stack.back_up());
    let fresh = newest(&stack, "app");
    assert_eq!(fresh.proofs()[0]["level"], "content");
    let left = stack.artefacts("app").remove(0);
    assert_eq!(left.proofs().len(), 1);

    // A stranger's key is no reason to try again; one of its recipients' is.
    for identities in [&[&Key::make()][..], &[&Key::make(), &key]] {
        assert_eq!(left.proofs().len(), 1);
        stack.change(|it| opening(it, identities));
        recreate_the_sidecar(&stack);
    }
    let proofs = wait_until("it is proven by itself", PROOF, || {
        let proofs = left.proofs();
        if proofs.len() > 1 {
            Ok(proofs)
        } else {
            Err(format!("{proofs:?}"))
        }
    });
    assert_eq!(proofs[0]["not_opened_by"], serde_json::json!([]));
    assert_eq!(proofs[1]["level"], "content", "{:#}", proofs[1]);
    let listed = stack.backups_of("app");
    let listed = listed.iter().find(|it| id_of(it) == left.id);
    assert_eq!(listed.expect("the backup")["level"], "content");
}
