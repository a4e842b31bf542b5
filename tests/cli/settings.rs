//! Variables: what they mean, where they come from, and every mistake at once.

use std::collections::BTreeMap;
use std::fs;

use insta::assert_snapshot;

use crate::program::{Ended, stackwarden};

const TOKEN: &str = "a-token-nobody-may-read-0123456789";

#[test]
fn config_shows_every_setting_and_its_origin() {
    let program = stackwarden(&["config"])
        .without("STACKWARDEN_BACKUP_DIR")
        .without("STACKWARDEN_CONTROL")
        .with("TZ", "Europe/Paris")
        .with("STACKWARDEN_TOKEN", TOKEN)
        .with("STACKWARDEN_RPO", "");
    let ended = program.run();
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    assert_snapshot!(ended.output, @r#"
    SETTING                       VALUE                                                          FROM
    DOCKER_HOST                   unix:///var/run/docker.sock                                    default
    STACKWARDEN_PROJECT           the project of our own container                               default
    TZ                            Europe/Paris                                                   variable
    STACKWARDEN_LISTEN            0.0.0.0:9180                                                   default
    STACKWARDEN_CONTROL           0.0.0.0:9181                                                   default
    STACKWARDEN_TOKEN             ***                                                            variable
    STACKWARDEN_BACKUP_DIR        /backups                                                       default
    STACKWARDEN_STATE_DIR         /backups/.stackwarden                                          default
    STACKWARDEN_BACKUP_SCHEDULE   02:00 plus up to 29 minutes that depend on the project's name  default
    STACKWARDEN_BACKUP_KEEP       within=7d,weekly=4,monthly=12                                  default
    STACKWARDEN_BACKUP_VERIFY     content                                                        default
    STACKWARDEN_BACKUP_DATABASES  *                                                              default
    STACKWARDEN_LOG               info                                                           default
    STACKWARDEN_LOG_FORMAT        json                                                           default
    STACKWARDEN_RPO               24h                                                            default
    STACKWARDEN_RTO               4h                                                             default
    STACKWARDEN_SILENCE           10m                                                            default
    STACKWARDEN_PROOF_MEMORY      1GB                                                            default
    STACKWARDEN_PROOF_RESERVE     5GB                                                            default
    STACKWARDEN_DEADLINE          12h                                                            default
    STACKWARDEN_YIELD             10s                                                            default
    TELEGRAM_BOT_TOKEN            nobody is told by Telegram                                     default
    ADMIN_TELEGRAM_IDS            none                                                           default
    STACKWARDEN_TELEGRAM_API      https://api.telegram.org                                       default
    STACKWARDEN_PING_URL          nobody is pinged                                               default
    SSL_CERT_FILE                 /etc/ssl/certs/ca-certificates.crt                             default
    STACKWARDEN_EXTERNAL          none                                                           default
    STACKWARDEN_S3_BUCKET         no bucket: backups are on disk only                            default
    STACKWARDEN_S3_PREFIX         none                                                           default
    STACKWARDEN_S3_ENDPOINT       Amazon S3 in the region                                        default
    STACKWARDEN_S3_REGION         what the endpoint's name tells, or us-east-1                   default
    STACKWARDEN_S3_PATH_STYLE     true with an endpoint, false at Amazon                         default
    AWS_ACCESS_KEY_ID             none                                                           default
    AWS_SECRET_ACCESS_KEY         none                                                           default
    AWS_SESSION_TOKEN             none                                                           default
    AWS_REGION                    none                                                           default
    AWS_ENDPOINT_URL              none                                                           default
    AWS_DEFAULT_REGION            none                                                           default
    SCW_ACCESS_KEY                none                                                           default
    SCW_SECRET_KEY                none                                                           default
    STACKWARDEN_AGE_RECIPIENTS    backups are not sealed                                         default
    STACKWARDEN_AGE_IDENTITY      sealed backups cannot be opened here                           default
    "#);
}

#[test]
fn config_for_programs_is_json() {
    let program = stackwarden(&["config", "--json"])
        .without("STACKWARDEN_BACKUP_DIR")
        .without("STACKWARDEN_CONTROL")
        .with("STACKWARDEN_TOKEN", TOKEN)
        .with("DOCKER_HOST", "tcp://socket-proxy");
    let ended = program.run();
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    let shown: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&ended.output).unwrap();
    let lines: Vec<String> = shown
        .iter()
        .map(|(name, setting)| format!("{name}: {} ({})", setting["value"], setting["origin"]))
        .collect();
    assert_snapshot!(lines.join("\n"), @r#"
    ADMIN_TELEGRAM_IDS: none (default)
    AWS_ACCESS_KEY_ID: none (default)
    AWS_DEFAULT_REGION: none (default)
    AWS_ENDPOINT_URL: none (default)
    AWS_REGION: none (default)
    AWS_SECRET_ACCESS_KEY: none (default)
    AWS_SESSION_TOKEN: none (default)
    DOCKER_HOST: tcp://socket-proxy (variable)
    SCW_ACCESS_KEY: none (default)
    SCW_SECRET_KEY: none (default)
    SSL_CERT_FILE: /etc/ssl/certs/ca-certificates.crt (default)
    STACKWARDEN_AGE_IDENTITY: sealed backups cannot be opened here (default)
    STACKWARDEN_AGE_RECIPIENTS: backups are not sealed (default)
    STACKWARDEN_BACKUP_DATABASES: * (default)
    STACKWARDEN_BACKUP_DIR: /backups (default)
    STACKWARDEN_BACKUP_KEEP: within=7d,weekly=4,monthly=12 (default)
    STACKWARDEN_BACKUP_SCHEDULE: 02:00 plus up to 29 minutes that depend on the project's name (default)
    STACKWARDEN_BACKUP_VERIFY: content (default)
    STACKWARDEN_CONTROL: 0.0.0.0:9181 (default)
    STACKWARDEN_DEADLINE: 12h (default)
    STACKWARDEN_EXTERNAL: none (default)
    STACKWARDEN_LISTEN: 0.0.0.0:9180 (default)
    STACKWARDEN_LOG: info (default)
    STACKWARDEN_LOG_FORMAT: json (default)
    STACKWARDEN_PING_URL: nobody is pinged (default)
    STACKWARDEN_PROJECT: the project of our own container (default)
    STACKWARDEN_PROOF_MEMORY: 1GB (default)
    STACKWARDEN_PROOF_RESERVE: 5GB (default)
    STACKWARDEN_RPO: 24h (default)
    STACKWARDEN_RTO: 4h (default)
    STACKWARDEN_S3_BUCKET: no bucket: backups are on disk only (default)
    STACKWARDEN_S3_ENDPOINT: Amazon S3 in the region (default)
    STACKWARDEN_S3_PATH_STYLE: true with an endpoint, false at Amazon (default)
    STACKWARDEN_S3_PREFIX: none (default)
    STACKWARDEN_S3_REGION: what the endpoint's name tells, or us-east-1 (default)
    STACKWARDEN_SILENCE: 10m (default)
    STACKWARDEN_STATE_DIR: /backups/.stackwarden (default)
    STACKWARDEN_TELEGRAM_API: https://api.telegram.org (default)
    STACKWARDEN_TOKEN: *** (variable)
    STACKWARDEN_YIELD: 10s (default)
    TELEGRAM_BOT_TOKEN: nobody is told by Telegram (default)
    TZ: UTC (default)
    "#);
}

#[test]
fn a_wrong_key_for_sealing_is_told_at_start_and_never_shown() {
    const SECRET: &str =
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let ended = stackwarden(&["config"])
        .with("STACKWARDEN_AGE_RECIPIENTS", SECRET)
        .with(
            "STACKWARDEN_AGE_IDENTITY",
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        )
        .run();
    assert_eq!(ended.code, 2, "{}", ended.everything());
    assert_snapshot!(ended.errors, @r"
    stackwarden: STACKWARDEN_AGE_RECIPIENTS: it holds a secret key, which does not belong here; write its public key, which `age-keygen -y FILE` prints, and keep the secret one elsewhere
    STACKWARDEN_AGE_IDENTITY: it holds a public key; give it the secret one, the file that age-keygen wrote (AGE-SECRET-KEY-1…)
    ");
    let ended = stackwarden(&["config"])
        .with("STACKWARDEN_AGE_RECIPIENTS", "age1abc, me@example.org")
        .run();
    assert_eq!(ended.code, 2, "{}", ended.everything());
    assert_snapshot!(ended.errors, @r#"stackwarden: STACKWARDEN_AGE_RECIPIENTS: "age1abc" is no age recipient; write public keys as age-keygen prints them (age1…), with commas"#);
    let path = stackwarden(&["config"]);
    let file = path.folder().join("identity");
    fs::write(&file, format!("# public key: x\n{SECRET}\n")).unwrap();
    let ended = path
        .with("STACKWARDEN_AGE_IDENTITY_FILE", file.to_str().unwrap())
        .run();
    assert_eq!(ended.code, 0, "{}", ended.everything());
    assert!(!ended.everything().contains("GFPYY"));
}

#[test]
fn a_secret_may_come_from_a_file() {
    let program = stackwarden(&["config", "--json"]);
    let path = program.folder().join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let ended = program
        .with("STACKWARDEN_TOKEN_FILE", path.to_str().unwrap())
        .run();
    assert_eq!(ended.code, 0, "{}", ended.everything());
    let shown: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let setting = &shown["STACKWARDEN_TOKEN"];
    assert_eq!(setting["value"], "***");
    assert_eq!(setting["origin"], format!("file {}", path.display()));
    assert!(!ended.everything().contains(TOKEN));
}

#[test]
fn files_of_secrets_that_cannot_serve_are_named() {
    let cases = [
        ("missing", None, "cannot read "),
        ("empty", Some("\n"), " is empty; write the value into it"),
        ("short", Some("hunter2"), "openssl rand -hex 32"),
    ];
    for (name, content, part) in cases {
        let program = stackwarden(&["config"]);
        let path = program.folder().join(name);
        content
            .map(|text| fs::write(&path, text))
            .transpose()
            .unwrap();
        let ended = program
            .with("STACKWARDEN_TOKEN_FILE", path.to_str().unwrap())
            .run();
        assert_mistakes(&ended, &[part]);
        assert!(!ended.errors.contains("hunter2"), "{}", ended.errors);
    }
}

#[test]
fn a_secret_given_twice_is_a_mistake() {
    let ended = stackwarden(&["config"])
        .with("STACKWARDEN_TOKEN", TOKEN)
        .with("STACKWARDEN_TOKEN_FILE", "/run/secrets/token")
        .run();
    assert_mistakes(
        &ended,
        &["STACKWARDEN_TOKEN: STACKWARDEN_TOKEN_FILE is set too; keep one of both"],
    );
    assert!(!ended.errors.contains(TOKEN));
}

#[test]
fn each_mistake_says_what_to_write_instead() {
    let cases = [
        ("STACKWARDEN_TOKN", "x", "did you mean STACKWARDEN_TOKEN?"),
        (
            "STACKWARDEN_COLOUR_OF_THE_PAGE",
            "x",
            "see docs/reference/variables.md",
        ),
        ("TZ", "Europe/Pari", "did you mean Europe/Paris?"),
        (
            "STACKWARDEN_BACKUP_SCHEDULE",
            "61 * * * *",
            "write a number from 0 to 59",
        ),
        ("STACKWARDEN_BACKUP_SCHEDULE", "0 0 31 2 *", "never happens"),
        (
            "STACKWARDEN_BACKUP_KEEP",
            "7d",
            "such as within=7d,weekly=4,monthly=12",
        ),
        (
            "STACKWARDEN_BACKUP_DIR",
            "backups",
            "write one that begins with /",
        ),
        ("STACKWARDEN_LISTEN", "9180", "write ADDRESS:PORT"),
        ("STACKWARDEN_LOG", "verbose", "write error, warn, info"),
        ("STACKWARDEN_LOG_FORMAT", "yaml", "json"),
        ("STACKWARDEN_RPO", "1 day", "such as 15m"),
        ("STACKWARDEN_TOKEN", "hunter2", "openssl rand -hex 32"),
        ("DOCKER_HOST", "ssh://box", "tcp://socket-proxy:2375"),
        ("STACKWARDEN_S3_PREFIX", "a b", "such as backups/eu"),
        ("STACKWARDEN_S3_PATH_STYLE", "yes", "true"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2 hunter2", "copy it again"),
    ];
    // Every command refuses, whatever it would do.
    for (name, value, part) in cases {
        let ended = stackwarden(&["backups"]).with(name, value).run();
        assert_mistakes(&ended, &[part]);
        assert!(
            ended.errors.contains(&format!("{name}: ")),
            "{}",
            ended.errors
        );
        assert!(!ended.errors.contains("hunter2"), "{}", ended.errors);
    }
}

#[test]
fn several_mistakes_are_shown_together() {
    let ended = stackwarden(&["run"])
        .with("STACKWARDEN_TOKN", TOKEN)
        .with("TZ", "Europe/Pari")
        .with("STACKWARDEN_BACKUP_SCHEDULE", "61 * * * *")
        .with("STACKWARDEN_BACKUP_KEEP", "7d")
        .with("STACKWARDEN_VERIFY", "content")
        .run();
    assert_eq!(ended.code, 2, "{}", ended.everything());
    assert_eq!(ended.output, "");
    assert_snapshot!(ended.errors, @r#"
    stackwarden: STACKWARDEN_TOKN: no such variable, did you mean STACKWARDEN_TOKEN?
    STACKWARDEN_VERIFY: no such variable; see docs/reference/variables.md for all there are, or remove it
    TZ: "Europe/Pari" is no time zone; write a name such as Europe/Paris or UTC (did you mean Europe/Paris?)
    STACKWARDEN_BACKUP_SCHEDULE: "61" is no minute; write a number from 0 to 59, a range such as 0-59, a list, * or */2, as in "0 2 * * *"
    STACKWARDEN_BACKUP_KEEP: "7d" is no rule; write NAME=NUMBER, such as within=7d,weekly=4,monthly=12
    "#);
}

#[test]
fn every_mistake_in_the_servers_outside_the_stack_is_told_and_no_password() {
    let servers = r#"[{"name": "shop", "url": "postgres://app:hunter2@db/shop?sslmod=verify-full", "pasword_file": "/x"},
        {"name": "other", "url": "sqlite:///hunter2.db", "ca": "/nowhere/ca.pem"}]"#;
    let ended = stackwarden(&["run"])
        .with("STACKWARDEN_EXTERNAL", servers)
        .run();
    assert_mistakes(
        &ended,
        &[
            "STACKWARDEN_EXTERNAL: entry 1 (shop): no such key \"pasword_file\", did you mean password_file?",
            "STACKWARDEN_EXTERNAL: entry 1 (shop): url: libpq has no parameter sslmod",
            "STACKWARDEN_EXTERNAL: entry 2 (other): ca: cannot read /nowhere/ca.pem",
            "STACKWARDEN_EXTERNAL: entry 2 (other): url: it is no URL of Postgres",
        ],
    );
    assert!(
        !ended.everything().contains("hunter2"),
        "{}",
        ended.everything()
    );
    let shown = stackwarden(&["config"])
        .with(
            "STACKWARDEN_EXTERNAL",
            r#"[{"name": "shop", "url": "postgres://app:hunter2@db/shop"}]"#,
        )
        .run();
    assert_eq!(shown.code, 0, "{}", shown.everything());
    assert!(
        shown.output.contains("STACKWARDEN_EXTERNAL          ***"),
        "{}",
        shown.output
    );
    assert!(!shown.everything().contains("hunter2"));
}

#[test]
fn a_variable_for_later_is_noted_and_stops_nothing() {
    let ended = stackwarden(&["config"])
        .with("STACKWARDEN_SMTP_URL", "smtps://me:secret-of-the-mail@mail")
        .run();
    assert_eq!(ended.code, 0, "{}", ended.everything());
    assert_eq!(
        ended.errors,
        "stackwarden: STACKWARDEN_SMTP_URL: it has no effect in this version; remove it\n"
    );
    assert!(!ended.output.contains("secret-of-the-mail"));
}

fn assert_mistakes(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, 2, "{}", ended.everything());
    assert_eq!(ended.output, "");
    assert_eq!(
        ended.errors.lines().count(),
        parts.len(),
        "{}",
        ended.errors
    );
    for part in parts {
        assert!(ended.errors.contains(part), "{part}: {}", ended.errors);
    }
}
