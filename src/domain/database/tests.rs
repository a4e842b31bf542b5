use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::login::{Login, LoginError};
use super::migration::find_migration_database;
use super::secret::Secret;
use super::url::parse_database_url;
use super::*;
use crate::domain::external::address::parse_address;
use crate::domain::external::{Clients, Outside};
use crate::domain::fleet::{ContainerState, DockerHealth, Environment, NetworkAttachment};
use crate::domain::id::{DatabaseName, DatabaseRef, ImageId, ProjectName};
use crate::domain::policy::{BackupBefore, CommandLine, EntrypointPolicy, MigrationPolicy};

fn container(service: &str, image: &str, environment: &[&str]) -> Container {
    Container {
        id: ContainerId::new(service),
        name: format!("stack-{service}-1"),
        service: ServiceName::new(service),
        image: image.to_owned(),
        image_id: ImageId::new("sha256:0"),
        state: ContainerState::Running,
        health: DockerHealth::Absent,
        created: 0,
        lifetime: crate::domain::fleet::Lifetime::OneShot,
        restarts: 0,
        labels: BTreeMap::new(),
        environment: Environment::from_list(environment.iter().copied()),
        networks: vec![NetworkAttachment {
            network: "stack_default".to_owned(),
            address: None,
            aliases: vec![service.to_owned(), format!("{service}.internal")],
        }],
        depends_on: Vec::new(),
    }
}

fn with_label(mut container: Container, text: &str) -> Container {
    container.labels.insert(BACKUP.to_owned(), text.to_owned());
    container
}

fn evidence(image: &str, environment: &[&str]) -> Option<Evidence> {
    find_server(&container("db", image, environment)).map(|server| server.evidence)
}

#[test]
fn servers_are_recognised_by_their_image() {
    for image in [
        "postgres",
        "postgres:17-alpine",
        "docker.io/library/postgres:16@sha256:00ff",
        "registry.example:5000/mirror/postgres",
        "postgis/postgis:16-3.4",
        "timescale/timescaledb:latest-pg16",
        "timescale/timescaledb-ha:pg17",
        "pgvector/pgvector:pg17",
        "supabase/postgres:15.8.1.060",
        "public.ecr.aws/supabase/postgres:15",
        "bitnami/postgresql:16",
        "bitnamilegacy/postgresql",
    ] {
        assert_eq!(evidence(image, &[]), Some(Evidence::Image), "{image}");
    }
}

#[test]
fn clients_are_no_servers_even_when_built_from_a_servers_image() {
    let built_from_postgres = [
        "PGDATA=/var/lib/postgresql/data",
        "PG_MAJOR=17",
        "POSTGRES_PASSWORD=x",
    ];
    for image in [
        "prometheuscommunity/postgres-exporter",
        "quay.io/prometheuscommunity/postgres_exporter:v0.15",
        "dpage/pgadmin4:8",
        "edoburu/pgbouncer",
        "postgrest/postgrest:v12",
        "prodrigestivill/postgres-backup-local:17",
        "schickling/postgres-backup-s3",
        "sosedoff/pgweb",
        "bitnami/pgpool",
    ] {
        assert_eq!(evidence(image, &[]), None, "{image}");
        assert_eq!(evidence(image, &built_from_postgres), None, "{image}");
    }
    // The server's own image, used for a script.
    assert_eq!(
        evidence("postgres:17", &["PGHOST=postgres", "PG_MAJOR=17"]),
        None
    );
    // Supabase names its socket folder, others themselves.
    assert_eq!(
        evidence("supabase/postgres", &["POSTGRES_HOST=/var/run/postgresql"]),
        Some(Evidence::Image)
    );
    assert_eq!(
        evidence("postgres", &["PGHOST=localhost"]),
        Some(Evidence::Image)
    );
    assert_eq!(
        evidence("postgres", &["POSTGRES_HOST=db"]),
        Some(Evidence::Image)
    );
}

#[test]
fn the_environment_alone_counts_only_where_an_image_was_built_as_a_server() {
    let app = [
        "POSTGRES_PASSWORD=x",
        "POSTGRES_USER=app",
        "POSTGRES_DB=app",
    ];
    assert_eq!(evidence("team/api:1", &app), None);
    assert_eq!(evidence("team/db:1", &["PG_MAJOR=17"]), None);
    assert_eq!(
        evidence(
            "team/db:1",
            &["PG_MAJOR=17", "POSTGRES_PASSWORD_FILE=/run/secrets/pw"]
        ),
        Some(Evidence::Environment)
    );
}

#[test]
fn the_label_makes_a_server_or_switches_its_backups_off() {
    let odd = with_label(container("db", "team/odd:1", &[]), "true");
    let server = find_server(&odd).unwrap();
    assert_eq!(
        (server.evidence, server.switch),
        (Evidence::Label, BackupSwitch::On)
    );
    let off = find_server(&with_label(container("db", "postgres", &[]), "false")).unwrap();
    assert_eq!(
        (off.evidence, off.switch),
        (Evidence::Image, BackupSwitch::Off)
    );
    assert_eq!(
        find_server(&with_label(container("api", "team/api", &[]), "false")),
        None
    );
    // A value that cannot be read never switches backups off.
    let typo = find_server(&with_label(container("db", "postgres", &[]), "\"false\"")).unwrap();
    assert_eq!(typo.switch, BackupSwitch::On);
    let forced = with_label(
        container("db", "team/pg-backup-server", &["PGHOST=x"]),
        "true",
    );
    assert_eq!(find_server(&forced).unwrap().evidence, Evidence::Label);
}

fn login(image: &str, environment: &[&str], files: &[(&str, &str)]) -> Result<Login, LoginError> {
    let server = find_server(&container("db", image, environment)).unwrap();
    let contents: BTreeMap<String, Secret<String>> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Secret::new((*text).to_owned())))
        .collect();
    assert_eq!(server.login.files().len(), files.len());
    server.login.resolve(&contents)
}

fn shown(login: &Login) -> (String, Option<String>, String) {
    let password = login
        .password
        .as_ref()
        .map(|secret| secret.reveal().clone());
    (
        login.user.clone(),
        password,
        login.default_database.to_string(),
    )
}

fn expected(
    user: &str,
    password: Option<&str>,
    database: &str,
) -> (String, Option<String>, String) {
    (
        user.to_owned(),
        password.map(str::to_owned),
        database.to_owned(),
    )
}

#[test]
fn logins_follow_the_contract_of_the_image() {
    for (image, environment, wanted) in [
        ("postgres", &[][..], expected("postgres", None, "postgres")),
        (
            "postgres",
            &["POSTGRES_USER=app", "POSTGRES_PASSWORD=p=w"],
            expected("app", Some("p=w"), "app"),
        ),
        (
            "postgis/postgis",
            &["POSTGRES_USER=", "POSTGRES_DB=geo"],
            expected("postgres", None, "geo"),
        ),
        (
            "bitnami/postgresql",
            &["POSTGRESQL_PASSWORD=x"],
            expected("postgres", Some("x"), "postgres"),
        ),
        (
            "bitnami/postgresql",
            &[
                "POSTGRESQL_USERNAME=app",
                "POSTGRESQL_PASSWORD=x",
                "POSTGRESQL_DATABASE=shop",
            ],
            expected("app", Some("x"), "shop"),
        ),
        (
            "bitnami/postgresql",
            &[
                "POSTGRESQL_USERNAME=app",
                "POSTGRESQL_PASSWORD=x",
                "POSTGRESQL_POSTGRES_PASSWORD=root",
            ],
            expected("postgres", Some("root"), "postgres"),
        ),
        (
            "supabase/postgres",
            &["POSTGRES_PASSWORD=x"],
            expected("supabase_admin", Some("x"), "postgres"),
        ),
    ] {
        let login = login(image, environment, &[]).unwrap();
        assert_eq!(shown(&login), wanted, "{image} {environment:?}");
    }
}

#[test]
fn files_are_named_read_and_missed() {
    let environment = [
        "POSTGRES_USER_FILE=/run/secrets/user",
        "POSTGRES_PASSWORD_FILE=/run/secrets/pw",
    ];
    let files = [
        ("/run/secrets/pw", "s3cret\n"),
        ("/run/secrets/user", "app\n"),
    ];
    assert_eq!(
        shown(&login("postgres", &environment, &files).unwrap()),
        expected("app", Some("s3cret"), "app")
    );
    let empty = [("/run/secrets/pw", "\n"), ("/run/secrets/user", "app")];
    assert_eq!(
        login("postgres", &environment, &empty),
        Err(LoginError::FileEmpty("/run/secrets/pw".to_owned()))
    );
    let server = find_server(&container("db", "postgres", &environment)).unwrap();
    assert_eq!(
        server.login.resolve(&BTreeMap::new()),
        Err(LoginError::FileMissing("/run/secrets/user".to_owned()))
    );
}

#[test]
fn a_password_never_shows_itself() {
    let server = find_server(&container("db", "postgres", &["POSTGRES_PASSWORD=hunter2"])).unwrap();
    let url = parse_database_url("postgres://app:hunter2@db/app").unwrap();
    let login = server.login.resolve(&BTreeMap::new()).unwrap();
    let text = format!("{server:?} {url:?} {login:?}");
    assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
}

fn policy(database: Option<(&str, &str)>) -> MigrationPolicy {
    MigrationPolicy {
        command: CommandLine(vec!["true".to_owned()]),
        after: BTreeSet::new(),
        status: None,
        entrypoint: EntrypointPolicy::Keep,
        database: database.map(|(service, name)| {
            DatabaseRef::new(ServiceName::new(service), DatabaseName::new(name))
        }),
        backup: BackupBefore::Auto,
        backup_max_age: Duration::ZERO,
        timeout: Duration::ZERO,
    }
}

fn find(environment: &[&str], servers: &[Container]) -> String {
    let fleet = Fleet {
        project: ProjectName::new("stack"),
        containers: servers.to_vec(),
    };
    let app = container("api", "team/api", environment);
    match find_migration_database(&app, &policy(None), &find_servers(&fleet)) {
        Ok(database) => database.to_string(),
        Err(error) => error.to_string(),
    }
}

fn postgres(service: &str) -> Container {
    container(service, "postgres:17", &["POSTGRES_DB=app"])
}

#[test]
fn the_database_of_a_migration_is_what_the_app_is_told() {
    let servers = [postgres("postgres"), postgres("other")];
    for (environment, wanted) in [
        (
            &["DATABASE_URL=postgres://a:b@postgres/shop?schema=x"][..],
            "postgres/shop",
        ),
        (
            &["DATABASE_URL=postgres://a:b@stack-other-1/shop"],
            "other/shop",
        ),
        (
            &["DATABASE_URL=postgres://a:b@other.internal:5432/shop"],
            "other/shop",
        ),
        (
            &[
                "DATABASE_URL=sqlite:///x.db",
                "SQLALCHEMY_DATABASE_URL=postgresql+psycopg2://a@Postgres/s",
            ],
            "postgres/s",
        ),
        (
            &["POSTGRES_HOST=other", "POSTGRES_DB=shop", "POSTGRES_USER=a"],
            "other/shop",
        ),
        (&["PGHOST=other", "PGUSER=a"], "other/a"),
        (&["DB_HOST=other:5432"], "other/app"),
        (
            &["DATABASE_URL=postgres://a@postgres/shop", "DB_HOST=other"],
            "postgres/shop",
        ),
        (
            &[
                "DIRECT_URL=postgres://a@other/s",
                "POSTGRES_URL=postgres://a@other/s",
            ],
            "other/s",
        ),
    ] {
        assert_eq!(find(environment, &servers), wanted, "{environment:?}");
    }
}

#[test]
fn the_only_server_serves_when_the_app_says_nothing() {
    assert_eq!(find(&[], &[postgres("postgres")]), "postgres/app");
    assert_eq!(
        find(&["DATABASE_URL=sqlite:///x"], &[postgres("postgres")]),
        "postgres/app"
    );
    let off = with_label(postgres("keycloak-db"), "false");
    assert_eq!(
        find(&[], &[postgres("postgres"), off.clone()]),
        "postgres/app"
    );
    assert_eq!(find(&[], &[off]), "keycloak-db/app");
}

#[test]
fn doubt_is_an_error_that_says_which_label_to_write() {
    let both = [postgres("postgres"), postgres("other")];
    let secret_name = container("db", "postgres", &["POSTGRES_DB_FILE=/run/x"]);
    for (environment, servers, wanted) in [
        (&[][..], &both[..], "has other, postgres"),
        (&[], &[secret_name], "nothing tells"),
        (
            &["DATABASE_URL=postgres://a@managed.example/x"],
            &both[..1],
            "points at managed.example",
        ),
        (
            &["PGHOST=managed.example"],
            &both[..1],
            "points at managed.example",
        ),
        (
            &[
                "DIRECT_URL=postgres://a@other/s",
                "POSTGRES_URL=postgres://a@postgres/s",
            ],
            &both,
            "name other/s and postgres/s",
        ),
    ] {
        let text = find(environment, servers);
        assert!(
            text.contains(wanted) && text.contains("stackwarden.migrate.database: \""),
            "{text}"
        );
    }
    let socket = find(&["DATABASE_URL=postgres:///shop"], &both[..1]);
    assert!(
        socket.contains("DATABASE_URL of api cannot be read"),
        "{socket}"
    );
    assert!(find(&[], &[]).contains("stackwarden.backup: \"true\""));
}

#[test]
fn the_label_decides_and_must_name_a_server() {
    let servers: Vec<Server> = [postgres("postgres")]
        .iter()
        .filter_map(find_server)
        .collect();
    let app = container(
        "api",
        "team/api",
        &["DATABASE_URL=postgres://a@elsewhere/x"],
    );
    let found = find_migration_database(&app, &policy(Some(("postgres", "shop"))), &servers);
    assert_eq!(found.unwrap().to_string(), "postgres/shop");
    let error =
        find_migration_database(&app, &policy(Some(("redis", "shop"))), &servers).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("redis is no Postgres service of this stack (it has postgres)"),
        "{error}"
    );
}

#[test]
fn a_server_outside_is_meant_by_its_host_and_never_by_silence_where_the_stack_has_one() {
    let own = find_server(&postgres("postgres")).unwrap();
    let address = parse_address("postgres://app@db.example/shop").unwrap();
    let far = Server {
        service: ServiceName::new("shop-db"),
        hosts: ["db.example", "shop-db"].map(str::to_owned).into(),
        outside: Some(Outside {
            address,
            image: None,
            clients: Clients::Missing("none"),
        }),
        ..own.clone()
    };
    let app = |environment: &[&str]| container("api", "team/api", environment);
    let found = |environment: &[&str], servers: &[Server]| {
        let found = find_migration_database(&app(environment), &policy(None), servers);
        found.map(|database| database.to_string())
    };
    let both = [own, far.clone()];
    assert_eq!(found(&[], &both).unwrap(), "postgres/app");
    assert_eq!(found(&[], &[far]).unwrap(), "shop-db/app");
    let url = ["DATABASE_URL=postgres://app@db.example/shop"];
    assert_eq!(found(&url, &both).unwrap(), "shop-db/shop");
}

proptest! {
    #[test]
    fn no_image_panics(image in "\\PC{0,40}") {
        find_server(&container("db", &image, &[]));
    }
}
