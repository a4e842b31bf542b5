//! An engine that is absent, closed to us or silent, and a folder that is not there.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::program::{Ended, Program, closed_address, stackwarden};

const SECRET: &str = "a-token-nobody-may-read-0123456789";
/// The engine may come up after us, so half a minute of patience is right; more is not.
const PATIENCE: Duration = Duration::from_secs(45);

/// Asks with everything that could give a secret away.
fn loud(command: &[&str]) -> Program {
    stackwarden(command)
        .with("STACKWARDEN_PROJECT", "nobodys-stack")
        .with("STACKWARDEN_TOKEN", SECRET)
        .with("STACKWARDEN_LOG", "trace")
}

fn assert_refused(ended: &Ended, sentence: &str) {
    let everything = ended.everything();
    assert!(matches!(ended.code, 1 | 2), "{everything}");
    let problems = ended
        .errors
        .lines()
        .filter(|line| line.starts_with("stackwarden: "));
    let problems: Vec<&str> = problems.collect();
    assert_eq!(problems.len(), 1, "one sentence: {everything}");
    assert!(
        problems.concat().contains(sentence),
        "{sentence}: {everything}"
    );
    assert!(!everything.contains(SECRET), "{everything}");
    assert!(ended.took < PATIENCE, "{:?}", ended.took);
}

const COMMANDS: [&[&str]; 3] = [&["gate"], &["run"], &["backup"]];

#[test]
fn a_missing_socket_is_named_with_the_mount_to_write() {
    for command in COMMANDS {
        let ended = loud(command)
            .with("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .run();
        assert_refused(
            &ended,
            "docker socket /nowhere/docker.sock is not there; mount it: volumes: [/var/run/docker.sock:/var/run/docker.sock]",
        );
    }
}

#[test]
fn a_socket_of_another_user_is_named_with_the_group_to_add() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let path = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(&path, closed).unwrap();
    for command in COMMANDS {
        let host = format!("unix://{}", path.display());
        let ended = loud(command).with("DOCKER_HOST", &host).by_nobody().run();
        assert_refused(
            &ended,
            "may not be opened by this user; run as root or add the socket's group",
        );
    }
}

#[test]
fn a_port_without_an_engine_is_named() {
    let address = closed_address();
    for command in COMMANDS {
        let ended = loud(command)
            .with("DOCKER_HOST", &format!("tcp://{address}"))
            .run();
        let sentence =
            format!("no connection to docker at tcp://{address}; is the engine running?");
        assert_refused(&ended, &sentence);
    }
}

#[test]
fn an_engine_that_never_answers_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let ended = loud(&["gate"]).with("DOCKER_HOST", &host).run();
    assert_refused(&ended, "docker did not list containers within 10s");
}

#[test]
fn an_unknown_project_says_how_to_name_it() {
    for command in COMMANDS {
        let ended = stackwarden(command).run();
        assert_refused(
            &ended,
            "run this as a service of the stack, or set STACKWARDEN_PROJECT",
        );
    }
}

#[test]
fn a_missing_folder_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not-mounted");
    for command in [&["gate"], &["run"], &["backup"], &["backups"]] {
        let ended = loud(command)
            .with("STACKWARDEN_BACKUP_DIR", path.to_str().unwrap())
            .run();
        assert_refused(
            &ended,
            "does not exist; mount one: volumes: [./backups:/backups]",
        );
        assert!(!path.exists());
    }
}

#[test]
fn without_an_engine_the_backups_of_the_folder_are_still_listed() {
    let ended = loud(&["backups"])
        .with("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .run();
    assert_eq!(
        (ended.code, ended.output.as_str()),
        (0, "no backup exists yet\n"),
        "{}",
        ended.everything()
    );
}

#[test]
fn without_a_sidecar_status_says_how_to_start_it_and_verify_looks_by_itself() {
    for (command, said) in [
        (
            &["status"][..],
            "no sidecar answers; start it: docker compose up -d stackwarden",
        ),
        (&["verify", "latest"], "no backup is proven and trusted yet"),
    ] {
        let ended = loud(command).run();
        assert_eq!(ended.code, 1, "{}", ended.everything());
        assert_refused(&ended, said);
    }
}
