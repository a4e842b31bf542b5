use std::time::Duration;

use proptest::prelude::*;

use super::page::labels_page;
use super::table::{LABELS, Place};
use super::*;
use crate::domain::id::{DatabaseName, ProjectName};
use crate::domain::policy::{BackupBefore, EntrypointPolicy, Importance, ProbeTarget};

/// Compares a generated page with the one in docs/reference; `STACKWARDEN_BLESS` writes it.
pub(crate) fn compare_page(name: &str, page: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/reference")
        .join(name);
    if std::env::var_os("STACKWARDEN_BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{} is not what the table says; run the tests with STACKWARDEN_BLESS=1",
        path.display()
    );
}

fn defaults() -> StackDefaults {
    StackDefaults {
        schedule: Schedule::nightly(&ProjectName::new("stack"), Zone::UTC).unwrap(),
        drill: Schedule::weekly(&ProjectName::new("stack"), Zone::UTC).unwrap(),
        keep: value::parse_keep("within=7d,weekly=4,monthly=12").unwrap(),
        verify: Level::Content,
        databases: DatabaseSelection::All,
        zone: Zone::UTC,
    }
}

fn read(role: Role, labels: &[(&str, &str)]) -> (ServicePolicies, Vec<String>) {
    let labels = labels
        .iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
        .collect();
    let (policies, problems) = read_labels(&ServiceName::new("api"), &labels, role, &defaults());
    (policies, problems.iter().map(ToString::to_string).collect())
}

fn migration(labels: &[(&str, &str)]) -> MigrationReading {
    read(Role::App, labels).0.migration
}

#[test]
fn no_label_means_the_defaults_of_the_stack() {
    let (policies, problems) = read(Role::Database, &[("com.docker.compose.service", "x")]);
    assert_eq!(problems, [""; 0]);
    let backup = policies.backup.unwrap();
    assert!(backup.enabled);
    assert_eq!(backup.schedule, defaults().schedule);
    assert_eq!(policies.migration, MigrationReading::Absent);
    assert_eq!(policies.health.target, ProbeTarget::Docker);
    assert_eq!(policies.health.interval, Duration::from_secs(10));
    assert_eq!(read(Role::App, &[]).0.backup, None);
}

#[test]
fn every_label_of_a_database_is_read() {
    let (policies, problems) = read(
        Role::Database,
        &[
            ("stackwarden.backup", "false"),
            ("stackwarden.backup.schedule", "0 1 * * *"),
            ("stackwarden.backup.databases", "app, billing"),
            ("stackwarden.backup.keep", "within=14d,last=3"),
            ("stackwarden.backup.verify", "rows"),
        ],
    );
    assert_eq!(problems, [""; 0]);
    let backup = policies.backup.unwrap();
    assert!(!backup.enabled);
    assert_eq!(backup.schedule.to_string().split_at(9).0, "0 1 * * *");
    let names = ["app", "billing"].map(DatabaseName::new);
    assert_eq!(backup.databases, DatabaseSelection::Named(names.into()));
    assert_eq!(backup.keep.within, Some(Duration::from_hours(14 * 24)));
    assert_eq!((backup.keep.last, backup.keep.weekly), (3, 0));
    assert_eq!(backup.verify, Level::Rows);
}

#[test]
fn every_label_of_an_app_is_read() {
    let (policies, problems) = read(
        Role::App,
        &[
            ("stackwarden.migrate", "alembic -x 'a b' upgrade head"),
            ("stackwarden.migrate.after", "worker,billing"),
            ("stackwarden.migrate.status", r#"["alembic", "current"]"#),
            ("stackwarden.migrate.entrypoint", "clear"),
            ("stackwarden.migrate.database", "postgres/app"),
            ("stackwarden.migrate.backup", "always"),
            ("stackwarden.migrate.backup.max-age", "1h"),
            ("stackwarden.migrate.timeout", "2h"),
            ("stackwarden.health", "http://localhost:8000/health?full=1"),
            ("stackwarden.health.required", "false"),
            ("stackwarden.health.interval", "30s"),
            ("stackwarden.health.timeout", "2s"),
            ("stackwarden.health.failures", "5"),
        ],
    );
    assert_eq!(problems, [""; 0]);
    let MigrationReading::Valid(policy) = policies.migration else {
        panic!("{:?}", policies.migration);
    };
    assert_eq!(
        policy.command.0,
        ["alembic", "-x", "a b", "upgrade", "head"]
    );
    assert_eq!(
        policy.after,
        ["billing", "worker"].map(ServiceName::new).into()
    );
    assert_eq!(policy.status.unwrap().0, ["alembic", "current"]);
    assert_eq!(policy.entrypoint, EntrypointPolicy::Clear);
    assert_eq!(policy.database.unwrap().to_string(), "postgres/app");
    assert_eq!(policy.backup, BackupBefore::Always);
    assert_eq!(policy.backup_max_age, Duration::from_hours(1));
    assert_eq!(policy.timeout, Duration::from_hours(2));
    let target = ProbeTarget::Http {
        host: "localhost:8000".to_owned(),
        port: 8000,
        path: "/health?full=1".to_owned(),
    };
    assert_eq!(policies.health.target, target);
    assert_eq!(policies.health.importance, Importance::Optional);
    assert_eq!(policies.health.failures, 5);
}

#[test]
fn every_label_in_effect_is_read_and_every_later_one_says_so() {
    for spec in LABELS {
        let role = match spec.on {
            Place::Database => Role::Database,
            Place::App | Place::Any => Role::App,
        };
        let with_migration = [("stackwarden.migrate", "true"), (spec.key, "\u{1}'")];
        let (_, problems) = read(role, &with_migration[usize::from(role == Role::Database)..]);
        match spec.standing {
            Standing::InEffect => {
                assert_eq!(problems.len(), 1, "{}: {problems:?}", spec.key);
                assert!(problems[0].contains("meanwhile"), "{problems:?}");
            }
            Standing::Later => {
                assert!(
                    problems[0].contains("no effect in this version"),
                    "{problems:?}"
                );
            }
        }
    }
}

#[test]
fn a_typo_gets_a_hint_and_the_rest_keeps_working() {
    let (policies, problems) = read(
        Role::Database,
        &[
            ("stackwarden.backup.shedule", "0 1 * * *"),
            ("stackwarden.backups", "false"),
            ("stackwarden.backup.keep", "within=1"),
            ("stackwarden.backup.verify", "contents"),
            ("stackwarden.backup.databases", "app,,"),
            ("stackwarden.whatever", "x"),
            ("Stackwarden.Backup.Verify", "rows"),
            ("stackwarden_backup", "false"),
        ],
    );
    assert_eq!(problems.len(), 8, "{problems:#?}");
    let all = problems.join("\n");
    assert!(
        all.contains("did you mean stackwarden.backup.schedule?"),
        "{all}"
    );
    assert!(all.contains("did you mean stackwarden.backup?"), "{all}");
    assert!(all.contains("docs/reference/labels.md"), "{all}");
    let backup = policies.backup.unwrap();
    // A mistake never switches backups off nor shortens their life.
    assert!(backup.enabled);
    assert_eq!(backup.keep, defaults().keep);
    assert_eq!(backup.verify, Level::Content);
    assert_eq!(backup.databases, DatabaseSelection::All);
}

#[test]
fn a_quoted_value_is_refused_and_says_how_to_write_it() {
    let (policies, problems) = read(Role::Database, &[("stackwarden.backup", "\"false\"")]);
    assert!(policies.backup.unwrap().enabled);
    assert!(problems[0].contains("without them"), "{problems:?}");
    let (policies, problems) = read(
        Role::App,
        &[("stackwarden.migrate", "'alembic upgrade head'")],
    );
    assert_eq!(policies.migration, MigrationReading::Broken);
    assert_eq!(problems.len(), 1);
    // Two quoted words are a command.
    let two = migration(&[("stackwarden.migrate", "'my tool' 'up'")]);
    assert!(matches!(two, MigrationReading::Valid(_)), "{two:?}");
}

#[test]
fn a_migration_that_cannot_be_read_is_broken_and_never_absent() {
    let valid = ("stackwarden.migrate", "alembic upgrade head");
    for labels in [
        &[("stackwarden.migrate", "")][..],
        &[("stackwarden.migrate", "   ")],
        &[("stackwarden.migrate", "alembic 'upgrade")],
        &[("stackwarden.migrate", "[\"alembic\"")],
        &[("stackwarden.migrate", "[]")],
        &[("stackwarden.migrate", "[1]")],
        &[("stackwarden.migrat", "alembic upgrade head")],
        &[
            ("stackwarden.migrate.command", "x"),
            ("stackwarden.migrates", "alembic upgrade head"),
        ],
        &[valid, ("stackwarden.migrate.afer", "worker")],
        &[valid, ("stackwarden.migrate.after", "worker,")],
        &[valid, ("stackwarden.migrate.entrypoint", "cleared")],
        &[valid, ("stackwarden.migrate.database", "app")],
    ] {
        let (policies, problems) = read(Role::App, labels);
        assert_eq!(policies.migration, MigrationReading::Broken, "{labels:?}");
        assert!(!problems.is_empty(), "{labels:?}");
    }
    // On a database nobody would run it.
    assert_eq!(
        read(Role::Database, &[valid]).0.migration,
        MigrationReading::Broken
    );
    // These have a harmless default.
    for label in [
        ("stackwarden.migrate.timeout", "15"),
        ("stackwarden.migrate.backup", "yes"),
        ("stackwarden.migrate.backup.max-age", "0s"),
        ("stackwarden.migrate.status", "'"),
        ("stackwarden.migrate.down", "alembic downgrade {revision}"),
    ] {
        let (policies, problems) = read(Role::App, &[valid, label]);
        assert!(
            matches!(policies.migration, MigrationReading::Valid(_)),
            "{label:?}"
        );
        assert_eq!(problems.len(), 1, "{label:?}");
    }
}

#[test]
fn a_command_is_never_shown() {
    let (_, problems) = read(
        Role::App,
        &[("stackwarden.migrate", "tool --password=hunter2 '")],
    );
    assert!(!problems.join("").contains("hunter2"), "{problems:?}");
}

#[test]
fn labels_in_the_wrong_place_say_where_they_belong() {
    let (policies, problems) = read(Role::App, &[("stackwarden.backup.keep", "within=1d")]);
    assert_eq!(policies.backup, None);
    assert!(
        problems[0].contains("stackwarden.backup: \"true\""),
        "{problems:?}"
    );
    assert_eq!(
        read(Role::App, &[("stackwarden.backup", "false")]).1,
        [""; 0]
    );
    let (policies, problems) = read(Role::App, &[("stackwarden.migrate.timeout", "1m")]);
    assert_eq!(policies.migration, MigrationReading::Absent);
    assert!(
        problems[0].contains("without stackwarden.migrate"),
        "{problems:?}"
    );
    let (policies, problems) = read(Role::App, &[("stackwarden.migrate", "watch")]);
    assert_eq!(policies.migration, MigrationReading::Absent);
    assert!(
        problems[0].contains("no effect in this version"),
        "{problems:?}"
    );
}

#[test]
fn probes_are_read_and_others_refused() {
    let http = |host: &str, port, path: &str| ProbeTarget::Http {
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    };
    for (text, target) in [
        ("docker", ProbeTarget::Docker),
        ("http://localhost", http("localhost", 80, "/")),
        (
            "http://localhost:3000?x=/y#z",
            http("localhost:3000", 3000, "/?x=/y"),
        ),
        ("http://[::1]:8080/a/b", http("[::1]:8080", 8080, "/a/b")),
        ("http://[::1]/a", http("[::1]", 80, "/a")),
        ("tcp://localhost:6379", ProbeTarget::Tcp { port: 6379 }),
    ] {
        assert_eq!(value::parse_probe(text), Ok(target), "{text}");
    }
    for text in [
        "",
        "http://",
        "http:///health",
        "https://localhost/health",
        "localhost:8000",
        "tcp://localhost",
        "tcp://localhost:0",
        "http://localhost:99999/",
        "http://a b/",
        "http://user:secret@localhost/",
        "tcp://:5432",
        "http://[::1",
        "Docker",
        "http://[]x/",
    ] {
        assert!(value::parse_probe(text).is_err(), "{text:?}");
    }
}

#[test]
fn keep_rules_are_read_in_any_order_and_nothing_at_all_is_refused() {
    let policy = value::parse_keep("yearly=1, within=36h").unwrap();
    assert_eq!(
        (policy.yearly, policy.within),
        (1, Some(Duration::from_hours(36)))
    );
    for text in [
        "",
        "7d",
        "within=",
        "within=0s",
        "yearly=0",
        "daily=-1",
        "daily=1,daily=2",
        "hourly=3",
        "within=7d,",
        "weekly=4;monthly=1",
        "last=1000000000000",
    ] {
        assert!(value::parse_keep(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_reference_page_is_the_table() {
    compare_page("labels.md", &labels_page());
}

proptest! {
    #[test]
    fn no_value_panics_and_quoted_ones_are_refused(
        place in 0..LABELS.len(),
        text in "\\PC{0,30}",
        database in proptest::bool::ANY,
    ) {
        let role = if database { Role::Database } else { Role::App };
        let spec = LABELS[place];
        read(role, &[(spec.key, &text)]);
        let inner = text.replace(['"', '\''], "");
        let (policies, problems) = read(role, &[(spec.key, &format!("\"{inner}\""))]);
        prop_assert!(problems.iter().any(|problem| problem.contains(spec.key)));
        prop_assert!(policies.backup.is_none_or(|backup| backup.enabled));
    }

    #[test]
    fn no_key_panics_and_ours_are_never_ignored(tail in "[a-z.-]{1,20}") {
        let key = format!("stackwarden.{tail}");
        let known = LABELS.iter().any(|spec| spec.key == key);
        let (_, problems) = read(Role::App, &[(&key, "x")]);
        prop_assert!(known || !problems.is_empty());
    }

    #[test]
    fn commands_come_back_word_by_word(words in proptest::collection::vec("\\PC{1,8}", 1..5)) {
        let text = shell_words::join(&words);
        prop_assert_eq!(value::parse_command(&format!(" {text}")).map(|line| line.0), Ok(words.clone()));
        let json = serde_json::to_string(&words).unwrap();
        prop_assert_eq!(value::parse_command(&json).map(|line| line.0), Ok(words));
    }
}
