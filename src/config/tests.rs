use proptest::prelude::*;

use super::page::variables_page;
use super::table::VARIABLES;
use super::*;
use crate::domain::bucket::Addressing;
use crate::domain::label::Standing;
use crate::domain::label::tests::compare_page;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables {
        values: pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        unreadable: BTreeSet::new(),
    }
}

fn read(pairs: &[(&str, &str)]) -> Result<(Settings, Vec<ConfigNote>), ConfigErrors> {
    Settings::read(&variables(pairs), &|path| match path.to_str() {
        Some("/run/secrets/token") => Ok("0123456789abcdef\n".to_owned()),
        Some("/run/secrets/empty") => Ok("\n".to_owned()),
        _ => Err("No such file or directory (os error 2)".to_owned()),
    })
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    read(pairs)
        .unwrap_err()
        .0
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn nothing_set_means_the_documented_defaults() {
    let (settings, notes) = read(&[("PATH", "/bin"), ("STACKWARDEN_TOKEN", "")]).unwrap();
    assert_eq!(notes, []);
    assert_eq!(settings.docker.to_string(), "unix:///var/run/docker.sock");
    assert_eq!(settings.listen.to_string(), "0.0.0.0:9180");
    assert_eq!(settings.control.to_string(), "0.0.0.0:9181");
    assert_eq!(settings.state_dir, PathBuf::from("/backups/.stackwarden"));
    assert_eq!(settings.keep.within, Some(Duration::from_hours(7 * 24)));
    assert_eq!((settings.keep.weekly, settings.keep.monthly), (4, 12));
    assert_eq!(settings.verify, Level::Content);
    assert_eq!(settings.databases, DatabaseSelection::All);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.rpo, Duration::from_hours(24));
    assert_eq!(settings.rto, Duration::from_hours(4));
    assert_eq!(settings.silence, Duration::from_mins(10));
    assert_eq!(settings.proof_memory, ByteCount(1 << 30));
    assert_eq!(settings.proof_reserve, ByteCount(5 << 30));
    assert_eq!(settings.deadline, Duration::from_hours(12));
    assert_eq!(settings.patience, Some(Duration::from_secs(10)));
    assert!(settings.token.is_none() && settings.project.is_none() && settings.schedule.is_none());
    let defaults = settings.stack_defaults(&ProjectName::new("stack")).unwrap();
    assert!(
        defaults.schedule.to_string().contains(" 2 * * * "),
        "{}",
        defaults.schedule
    );
}

const EVERYTHING: [(&str, &str); 25] = [
    ("DOCKER_HOST", "tcp://socket-proxy:2375"),
    ("STACKWARDEN_PROJECT", "recyclic-prod"),
    ("TZ", "Europe/Paris"),
    ("STACKWARDEN_LISTEN", ":8080"),
    ("STACKWARDEN_CONTROL", "127.0.0.1:8081"),
    ("STACKWARDEN_TOKEN_FILE", "/run/secrets/token"),
    ("STACKWARDEN_BACKUP_DIR", "/mnt/nas"),
    ("STACKWARDEN_BACKUP_SCHEDULE", "0 1 * * *"),
    ("STACKWARDEN_BACKUP_KEEP", "within=14d"),
    ("STACKWARDEN_BACKUP_VERIFY", "rows"),
    ("STACKWARDEN_BACKUP_DATABASES", "app"),
    ("STACKWARDEN_LOG", "warn,stackwarden::docker=debug"),
    ("STACKWARDEN_LOG_FORMAT", "text"),
    ("STACKWARDEN_RPO", "2d"),
    ("STACKWARDEN_RTO", "30m"),
    ("STACKWARDEN_SILENCE", "1m"),
    ("STACKWARDEN_PROOF_MEMORY", "512m"),
    ("STACKWARDEN_PROOF_RESERVE", "1MB"),
    ("STACKWARDEN_DEADLINE", "2h"),
    ("STACKWARDEN_YIELD", "0"),
    ("TELEGRAM_BOT_TOKEN", "123:AA-b_c"),
    ("ADMIN_TELEGRAM_IDS", "11,-22"),
    ("STACKWARDEN_TELEGRAM_API", "http://bots:8081"),
    ("STACKWARDEN_PING_URL", "https://hc.example/hunter2"),
    ("SSL_CERT_FILE", "/etc/own.pem"),
];

#[test]
fn every_variable_is_read_and_its_origin_is_told() {
    let (settings, _) = read(&EVERYTHING).unwrap();
    assert_eq!(
        settings.token.as_ref().unwrap().reveal(),
        "0123456789abcdef"
    );
    assert_eq!(settings.state_dir, PathBuf::from("/mnt/nas/.stackwarden"));
    assert_eq!(settings.proof_memory, ByteCount(512 << 20));
    assert_eq!(settings.proof_reserve, ByteCount(1 << 20));
    assert_eq!(settings.deadline, Duration::from_hours(2));
    assert_eq!(settings.patience, None);
    assert_eq!(
        settings.schedule.as_ref().unwrap().to_string(),
        "0 1 * * * Europe/Paris"
    );
    let shown = |name: &str| {
        let found = settings
            .effective
            .iter()
            .find(|setting| setting.name == name)
            .unwrap();
        format!("{} {}", found.value_shown, found.origin)
    };
    assert_eq!(shown("STACKWARDEN_TOKEN"), "*** file /run/secrets/token");
    assert_eq!(
        shown("STACKWARDEN_STATE_DIR"),
        "/mnt/nas/.stackwarden default"
    );
    assert_eq!(shown("STACKWARDEN_RPO"), "2d variable");
    let telegram = settings.telegram.as_ref().unwrap();
    assert_eq!(telegram.token.reveal(), "123:AA-b_c");
    assert_eq!(telegram.chats.len(), 2);
    assert_eq!(telegram.api.authority(), "bots:8081");
    let ping = settings.ping.as_ref().unwrap();
    assert_eq!(ping.path().reveal(), "/hunter2");
    assert_eq!(settings.roots, PathBuf::from("/etc/own.pem"));
    for secret in ["STACKWARDEN_PING_URL", "TELEGRAM_BOT_TOKEN"] {
        assert_eq!(shown(secret), "*** variable");
    }
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!format!("{settings:?}").contains("AA-b_c"));
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
}

const BUCKET: [(&str, &str); 3] = [
    ("STACKWARDEN_S3_BUCKET", "shop-backups"),
    ("AWS_ACCESS_KEY_ID", "AKIAHUNTER2"),
    ("AWS_SECRET_ACCESS_KEY", "hunter3"),
];

#[test]
fn a_bucket_needs_its_key_and_shows_none_of_it() {
    let (settings, _) = read(&BUCKET).unwrap();
    assert!(!format!("{settings:?}").contains("HUNTER2"));
    assert!(!format!("{settings:?}").contains("hunter3"));
    let access = settings.bucket.unwrap();
    assert_eq!(access.region, "us-east-1");
    assert_eq!(access.addressing, Addressing::Host);
    assert_eq!(
        problems(&BUCKET[..1]),
        [
            "AWS_ACCESS_KEY_ID: the bucket of STACKWARDEN_S3_BUCKET needs it; set it, or AWS_ACCESS_KEY_ID_FILE",
            "AWS_SECRET_ACCESS_KEY: the bucket of STACKWARDEN_S3_BUCKET needs it; set it, or AWS_SECRET_ACCESS_KEY_FILE",
        ]
    );
    // An application's own key is nobody's mistake; a setting of ours without a bucket is.
    assert!(read(&BUCKET[1..]).unwrap().0.bucket.is_none());
    let found = problems(&[("STACKWARDEN_S3_PREFIX", "eu")]);
    assert!(found[0].starts_with("STACKWARDEN_S3_BUCKET: "), "{found:?}");
}

#[test]
fn scaleways_names_and_an_endpoint_do_too() {
    let (settings, _) = read(&[
        ("STACKWARDEN_S3_BUCKET", "shop-backups"),
        ("STACKWARDEN_S3_PREFIX", "/eu/paris/"),
        ("AWS_ENDPOINT_URL", "https://s3.fr-par.scw.cloud"),
        ("SCW_ACCESS_KEY", "SCWKEY"),
        ("SCW_SECRET_KEY_FILE", "/run/secrets/token"),
    ])
    .unwrap();
    let access = settings.bucket.unwrap();
    assert_eq!(access.region, "fr-par");
    assert_eq!(access.addressing, Addressing::Path);
    assert_eq!(access.prefix.key("shop"), "eu/paris/shop");
    assert_eq!(access.key.secret.reveal(), "0123456789abcdef");
    assert_eq!(access.place(), "bucket shop-backups at s3.fr-par.scw.cloud");
}

#[test]
fn every_variable_in_effect_is_asked_for_and_every_later_one_only_noted() {
    let names: Vec<&str> = VARIABLES
        .iter()
        .filter(|spec| spec.standing == Standing::InEffect)
        .map(|spec| spec.name)
        .collect();
    let (settings, _) = read(&[]).unwrap();
    let asked: Vec<&str> = settings
        .effective
        .iter()
        .map(|setting| setting.name)
        .collect();
    assert_eq!(asked, names);
    for name in names {
        let found = problems(&[(name, "\u{1}")]);
        assert!(
            found.len() == 1 && found[0].starts_with(name),
            "{name}: {found:?}"
        );
    }
    for spec in VARIABLES
        .iter()
        .filter(|spec| spec.standing == Standing::Later)
    {
        let (_, notes) = read(&[(spec.name, "x")]).unwrap();
        assert!(
            notes[0].to_string().contains("no effect in this version"),
            "{notes:?}"
        );
        assert_eq!(read(&[(spec.name, "")]).unwrap().1, []);
    }
}

#[test]
fn every_mistake_is_shown_at_once() {
    let found = problems(&[
        ("STACKWARDEN_TOKN", "0123456789abcdef"),
        ("STACKWARDEN_WHATEVER_ELSE", "1"),
        ("TZ", "Europe/Pari"),
        ("STACKWARDEN_BACKUP_SCHEDULE", "0 0 31 2 *"),
        ("STACKWARDEN_BACKUP_KEEP", "7d"),
        ("STACKWARDEN_BACKUP_DIR", "backups"),
        ("STACKWARDEN_PROOF_MEMORY", "1MB"),
        ("STACKWARDEN_PROOF_RESERVE", "much"),
        ("STACKWARDEN_YIELD", "soon"),
        ("STACKWARDEN_LOG", "verbose"),
    ]);
    assert_eq!(found.len(), 10, "{found:#?}");
    let all = found.join("\n");
    for part in [
        "STACKWARDEN_TOKN: no such variable, did you mean STACKWARDEN_TOKEN?",
        "STACKWARDEN_WHATEVER_ELSE: no such variable; see",
        "did you mean Europe/Paris?",
        "never happens",
        "within=7d,weekly=4,monthly=12",
        "absolute path",
        "at least 64MB",
        "such as 5GB",
        "or 0, so that no dump ever gives way",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn secrets_are_checked_without_being_shown() {
    let short = problems(&[("STACKWARDEN_TOKEN", "hunter2")]);
    assert!(
        !short[0].contains("hunter2") && short[0].contains("openssl rand"),
        "{short:?}"
    );
    let token = ("STACKWARDEN_TOKEN", "0123456789abcdef");
    let twice = problems(&[token, ("STACKWARDEN_TOKEN_FILE", "/run/secrets/token")]);
    assert!(twice[0].contains("keep one of both"), "{twice:?}");
    let missing = problems(&[("STACKWARDEN_TOKEN_FILE", "/nowhere")]);
    assert!(
        missing[0].contains("cannot read /nowhere (No such file"),
        "{missing:?}"
    );
    let empty = problems(&[("STACKWARDEN_TOKEN_FILE", "/run/secrets/empty")]);
    assert!(empty[0].contains("is empty"), "{empty:?}");
    // Only secrets come from files.
    let open = problems(&[("STACKWARDEN_LISTEN_FILE", "/x")]);
    assert!(open[0].contains("no such variable"), "{open:?}");
}

#[test]
fn a_bot_without_anybody_to_write_to_is_a_mistake_and_chats_without_a_bot_are_none() {
    let alone = problems(&[("TELEGRAM_BOT_TOKEN", "123:AA")]);
    assert!(
        alone.len() == 1 && alone[0].starts_with("ADMIN_TELEGRAM_IDS: it names"),
        "{alone:?}"
    );
    let both = problems(&[
        ("TELEGRAM_BOT_TOKEN", "hunter2"),
        ("ADMIN_TELEGRAM_IDS", "me"),
    ]);
    assert!(
        both.len() == 2 && !both.concat().contains("hunter2"),
        "{both:?}"
    );
    let (settings, _) = read(&[("ADMIN_TELEGRAM_IDS", "11")]).unwrap();
    assert!(settings.telegram.is_none() && settings.ping.is_none());
    let ping = problems(&[("STACKWARDEN_PING_URL", "hc-ping.example/hunter2")]);
    assert!(
        ping[0].contains("https://") && !ping[0].contains("hunter2"),
        "{ping:?}"
    );
}

#[test]
fn both_ports_must_differ() {
    let same = problems(&[("STACKWARDEN_CONTROL", "127.0.0.1:9180")]);
    assert!(same[0].contains("public port too"), "{same:?}");
    let ports = [
        ("STACKWARDEN_LISTEN", "127.0.0.1:0"),
        ("STACKWARDEN_CONTROL", "127.0.0.1:0"),
    ];
    assert!(read(&ports).is_ok());
}

#[test]
fn docker_is_reached_by_socket_or_tcp_only() {
    let shown = |text: &str| value::parse_docker(text).map(|endpoint| endpoint.to_string());
    assert_eq!(
        shown("unix:///run/user/1000/docker.sock").unwrap(),
        "unix:///run/user/1000/docker.sock"
    );
    assert_eq!(shown("tcp://proxy").unwrap(), "tcp://proxy:2375");
    assert_eq!(shown("http://[::1]:2376/").unwrap(), "tcp://[::1]:2376");
    for text in [
        "ssh://root@host",
        "npipe:////./pipe/docker",
        "/var/run/docker.sock",
        "unix://x",
        "tcp://",
        "tcp://h:p",
        "tcp://u@h:1",
    ] {
        assert!(shown(text).is_err(), "{text}");
    }
}

#[test]
fn a_value_that_is_no_text_is_a_mistake() {
    let mut variables = variables(&[]);
    variables.unreadable = ["TZ", "LS_COLORS", "STACKWARDEN_X"]
        .map(str::to_owned)
        .into();
    let errors = Settings::read(&variables, &|_| Ok(String::new())).unwrap_err();
    assert_eq!(errors.0.len(), 2, "{errors}");
    assert!(
        errors
            .to_string()
            .contains("TZ: its value is not valid UTF-8"),
        "{errors}"
    );
}

#[test]
fn the_reference_page_is_the_table() {
    compare_page("variables.md", &variables_page());
}

proptest! {
    #[test]
    fn no_value_panics(place in 0..VARIABLES.len(), text in "\\PC{0,30}") {
        let spec = VARIABLES[place];
        let outcome = read(&[(spec.name, &text)]);
        prop_assert!(spec.standing == Standing::InEffect || outcome.is_ok());
    }

    #[test]
    fn no_name_of_ours_is_ignored(tail in "[A-Z_]{1,16}") {
        let name = format!("STACKWARDEN_{tail}");
        let known = table::find(&name).is_some();
        prop_assert!(known || read(&[(&name, "x")]).is_err());
    }
}
