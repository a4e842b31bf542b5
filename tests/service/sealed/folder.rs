//! What whoever has the backup folder can read: nothing without a key, everything with it and stock tools.

use std::process::Command;

use super::{CONTENT, newest};
use crate::harness::{Artefact, FreshServer, Stack, finish};

/// What age-keygen made.
#[derive(Debug)]
pub struct Key {
    /// For whom is sealed.
    pub public: String,
    /// Who opens.
    pub secret: String,
}

impl Key {
    /// A new pair.
    pub fn make() -> Self {
        let secret = finish(&mut Command::new("age-keygen"), None).ok();
        let public = secret
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "));
        Self {
            public: public.expect("a public key").to_owned(),
            secret,
        }
    }
}

/// Nothing in the backup folder shows what is in the database.
#[track_caller]
pub fn nothing_is_readable(stack: &Stack, artefact: &Artefact, ending: &str) {
    let name = artefact.stored.to_string_lossy();
    assert!(name.ends_with(ending), "{name}");
    let bytes = std::fs::read(&artefact.stored).expect("read the stored file");
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    for plain in [
        "PGDMP",
        "plainly-",
        "CREATE ROLE",
        "SCRAM-SHA-256",
        "\u{28}\u{b5}\u{2f}\u{fd}",
    ] {
        let found = bytes.windows(plain.len()).any(|it| it == plain.as_bytes());
        assert!(!found, "{plain:?} is readable in {name}");
    }
    let folder = stack.backup_folder();
    let said = finish(
        Command::new("grep")
            .args(["-rlE", "plainly-|SCRAM-SHA-256"])
            .arg(folder),
        None,
    );
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (1, ""),
        "plain text is stored"
    );
}

/// The line of the manifest, with Debian's age and the image's own pg_restore.
#[track_caller]
pub fn stock_tools_restore_it(stack: &Stack, image: &str, key: &Key) {
    let folder = stack.folder().join("owner");
    std::fs::create_dir_all(&folder).expect("make a folder");
    std::fs::write(folder.join("KEY"), &key.secret).expect("write a key");
    let age = finish(Command::new("sh").args(["-c", "command -v age"]), None).ok();
    let mounts = [
        format!("{}:/owner:ro", folder.display()),
        format!("{}:/usr/bin/age:ro", age.trim()),
    ];
    let fresh = FreshServer::start_with(stack, image, &mounts);
    for series in ["globals", "app"] {
        let artefact = newest(stack, series);
        let line = artefact.manifest["restore"].as_str().expect("a line");
        assert!(line.starts_with("age -d -i KEY "), "{line}");
        let line = line.replace("-i KEY ", "-i /owner/KEY ");
        let folder = format!("{}/postgres/{series}", stack.project());
        let restored = fresh.shell(&folder, &line).ended_with(0);
        assert!(
            !restored.stderr.contains("ERROR"),
            "{line}: {}",
            restored.stderr
        );
    }
    assert_eq!(fresh.psql("app", CONTENT), stack.psql("app", CONTENT));
}

/// Another key opens nothing.
#[track_caller]
pub fn a_stranger_reads_nothing(stack: &Stack, stored: &Artefact) {
    let path = stack.folder().join("stranger");
    std::fs::write(&path, Key::make().secret).expect("write a key");
    let mut age = Command::new("age");
    age.arg("-d").arg("-i").arg(path).arg(&stored.stored);
    let said = finish(&mut age, None);
    assert!(said.code != 0 && said.stdout.is_empty(), "{}", said.said());
}
