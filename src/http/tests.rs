//! The doors, asked over real sockets.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::fixture::{self, House, NOW, app, ask, at};
use super::*;
use crate::board::{Board, Reach};
use crate::domain::backup::Level;
use crate::domain::backup::suspicion::Suspicion;
use crate::domain::fleet::ContainerState;
use crate::domain::id::{DatabaseRef, ServiceName};
use crate::lifecycle::Lifecycle;
use crate::observe::metrics::FAMILIES;

const READS: [&str; 6] = [
    "/v1/stack",
    "/v1/databases",
    "/v1/backups",
    "/v1/jobs",
    "/v1/migrations",
    "/v1/checks",
];

#[tokio::test]
async fn health_is_200_while_the_stack_serves_and_503_when_it_does_not() {
    let house = House::open(fixture::well()).await;
    let well = house.get("/health").await;
    assert_eq!(well.status, 200);
    assert_eq!(well.header("content-type"), Some("application/health+json"));
    assert_eq!(well.json()["status"], "pass");
    house
        .board
        .update(|picture| picture.problems.push("a typo".into()));
    let warned = house.get("/health").await;
    assert_eq!(
        (warned.status, &warned.json()["status"]),
        (200, &"warn".into())
    );
    house.board.update(|picture| {
        let down = fixture::service("api", ContainerState::Exited(1));
        picture.services.insert(ServiceName::new("api"), down);
    });
    let failed = house.get("/health").await;
    assert_eq!(failed.status, 503);
    assert_eq!(failed.json()["checks"]["services"][0]["fail"], 1);
}

#[tokio::test]
async fn health_names_nothing_of_the_stack() {
    let house = House::open(fixture::well()).await;
    house.board.update(|picture| {
        picture.docker = Reach::Lost("permission denied on /var/run/docker.sock".into());
        picture
            .label_problems
            .push("label stackwarden.helth on api".into());
    });
    let body = house.get("/health").await.body;
    for secret in [
        "shop",
        "api",
        "postgres",
        "app",
        "docker.sock",
        "helth",
        "denied",
    ] {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
}

#[tokio::test]
async fn an_unseen_stack_is_not_called_well() {
    let house = House::open(fixture::board()).await;
    assert_eq!(house.get("/health").await.json()["status"], "warn");
}

#[tokio::test]
async fn liveness_does_not_depend_on_the_stack_but_readiness_on_the_start() {
    let house = House::open(fixture::board()).await;
    let latch = house.life.latch("docker");
    assert_eq!(house.get("/livez").await.status, 200);
    let starting = house.get("/readyz").await;
    assert_eq!(starting.status, 503);
    assert_eq!(starting.json()["waiting"][0], "docker");
    latch.release();
    assert_eq!(house.get("/readyz").await.status, 200);
    house.life.soft().cancel();
    assert_eq!(house.get("/readyz").await.json()["status"], "stopping");
    assert_eq!(house.get("/livez").await.status, 200);
}

#[tokio::test]
async fn nothing_under_v1_answers_without_the_token() {
    let house = House::open(fixture::well()).await;
    let wrong = [
        "",
        "Bearer ",
        "Bearer 0123456789abcdeF",
        "Basic 0123456789abcdef",
    ];
    for path in READS
        .into_iter()
        .chain(["/v1", "/v1/", "/v1/nowhere", "/v1/jobs/j7"])
    {
        for authorization in wrong {
            let header = format!("GET {path} HTTP/1.1\r\nHost: x\r\n");
            let header = match authorization {
                "" => header,
                other => format!("{header}Authorization: {other}\r\n"),
            };
            let reply = ask(house.control, &header, "").await;
            assert!(
                reply
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with("Bearer")
            );
            reply.problem(401);
        }
    }
    let post = "POST /v1/backups HTTP/1.1\r\nHost: x\r\n";
    ask(house.control, post, "").await.problem(401);
    let twice = format!(
        "{post}Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n",
        token = fixture::TOKEN
    );
    ask(house.control, &twice, "").await.problem(401);
    for path in READS {
        assert_eq!(house.order(&format!("GET {path}"), "").await.status, 200);
    }
}

#[tokio::test]
async fn the_public_door_has_no_control() {
    let house = House::open(fixture::well()).await;
    for path in READS {
        house.get(path).await.problem(404);
    }
    let post = "POST /v1/backups HTTP/1.1\r\nHost: x\r\n";
    ask(house.public, post, "").await.problem(404);
}

#[tokio::test]
async fn every_wrong_request_gets_a_problem_document() {
    let house = House::open(fixture::well()).await;
    house.get("/nowhere").await.problem(404);
    let wrong = ask(house.public, "POST /health HTTP/1.1\r\nHost: x\r\n", "").await;
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    wrong.problem(405);
    house.order("DELETE /v1/backups", "").await.problem(405);
    house.order("GET /v1/jobs/none", "").await.problem(404);
    house.order("GET /v1/nowhere", "").await.problem(404);
    house
        .order("GET /v1/backups?databse=x", "")
        .await
        .problem(400);
    house
        .order("GET /v1/backups?database=x", "")
        .await
        .problem(400);
    let long = " ".repeat(64 * 1024 + 1);
    house.order("POST /v1/backups", &long).await.problem(413);
    house.order("POST /v1/backups", "{").await.problem(400);
    let typo = house.order("POST /v1/backups", "{\"database\":[]}").await;
    assert!(typo.problem(400).contains("unknown field `database`"));
    let none = house.order("POST /v1/backups", "{\"databases\":[]}").await;
    none.problem(400);
    let unknown = "{\"databases\":[\"postgres/app\",\"postgres/<b>\"]}";
    let unknown = house.order("POST /v1/backups", unknown).await;
    assert!(unknown.problem(404).contains("postgres/<b>"));
    assert_eq!(unknown.json()["known"][0], "postgres/app");
}

#[tokio::test]
async fn a_right_order_reaches_the_desk_and_a_closed_desk_says_so() {
    let house = House::open(fixture::well()).await;
    for body in ["", "{}", "{\"databases\":[\"postgres/never\"]}"] {
        let reply = house.order("POST /v1/backups", body).await;
        assert_eq!(reply.header("retry-after"), Some("30"));
        assert!(reply.problem(503).contains("stopping"));
    }
}

#[tokio::test]
async fn a_verification_finds_the_database_of_its_backup() {
    let house = House::open(fixture::well()).await;
    let verify = async |id: &str| {
        let line = format!("POST /v1/backups/{id}/verify");
        house.order(&line, "").await
    };
    let listed = house
        .order("GET /v1/backups?database=postgres/app", "")
        .await;
    let listed = listed.json();
    let [old, new] = listed["backups"].as_array().unwrap().as_slice() else {
        panic!("{listed}");
    };
    assert_eq!(
        (&old["standing"], &old["level"]),
        (&"proven".into(), &"content".into())
    );
    assert_eq!(
        (&new["standing"], &new["level"]),
        (&"unproven".into(), &"archive".into())
    );
    let id = new["id"].as_str().unwrap();
    verify(id).await.problem(503);
    let level = house
        .order(&format!("POST /v1/backups/{id}/verify?level=x"), "")
        .await;
    assert_eq!(level.json()["known"][4], "content");
    level.problem(400);
    verify("20260121T020000Z-ffff").await.problem(404);
    verify("latest").await.problem(400);
    let roles = fixture::backup(crate::domain::backup::Content::Globals, NOW - 7_200, 9);
    verify(&roles.manifest.id.to_string()).await.problem(409);
}

#[tokio::test]
async fn a_suspect_backup_warns_by_name_and_can_be_accepted() {
    let board = fixture::well();
    let mut backup = fixture::backup(app(), NOW - 60, 3);
    backup.manifest.suspicion = Some(Suspicion {
        predecessor: backup.manifest.id.clone(),
        reasons: vec!["it holds no table, 3 before".into()],
    });
    let backup = fixture::proven(backup, NOW - 30, Level::Content);
    let id = backup.manifest.id.to_string();
    board.update(|picture| {
        let state = picture.series.entry(fixture::series(app()));
        state.or_default().backups.push(Arc::new(backup));
    });
    let house = House::open(board).await;
    let health = house.get("/health").await;
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &"warn".into())
    );
    assert_eq!(health.json()["checks"]["backups"][0]["warn"], 1);
    let stack = house.order("GET /v1/stack", "").await.json();
    let concern = stack["concerns"][0].as_str().unwrap();
    assert!(
        concern.contains("postgres/app is suspect: it holds no table, 3 before")
            && concern.ends_with(&format!("--accept {id}")),
        "{concern}"
    );
    let databases = stack["databases"].as_array().unwrap();
    let app = databases.iter().find(|it| it["database"] == "app").unwrap();
    assert_eq!(app["newest_verified"]["id"], id);
    assert_ne!(app["latest"]["id"], id);
    let accept = async |id: &str| {
        let line = format!("POST /v1/backups/{id}/accept?database=postgres/app");
        house.order(&line, "").await
    };
    // The desk of the fixture is closed: it was asked.
    accept(&id).await.problem(503);
    accept("20260121T020000Z-ffff").await.problem(404);
    accept("latest").await.problem(400);
}

#[tokio::test]
async fn metrics_have_every_family_from_the_first_scrape_and_pass_promtool() {
    for board in [fixture::board(), fixture::well()] {
        let house = House::open(board).await;
        let reply = house.get("/metrics").await;
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; version=0.0.4")
        );
        for family in FAMILIES {
            let line = format!("# TYPE stackwarden_{} ", family.name);
            assert_eq!(reply.body.matches(&line).count(), 1, "{line}");
        }
        let lines: Vec<_> = reply.body.lines().collect();
        let unique: BTreeSet<_> = lines.iter().collect();
        assert_eq!(unique.len(), lines.len(), "a series stands there twice");
        promtool(&reply.body);
    }
}

/// Real promtool: the parser and the naming rules that Prometheus itself has.
fn promtool(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in Debian's package prometheus");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}\n{text}");
}

#[tokio::test]
async fn a_database_without_a_table_wakes_nobody() {
    let said = async |board: Board| House::open(board).await.get("/metrics").await.body;
    let of_never = "database=\"never\"";
    let board = fixture::well();
    assert!(said(board.clone()).await.contains(of_never));
    board.update(|picture| {
        for server in picture.servers.values_mut() {
            let never = |it: &&DatabaseRef| it.database.as_str() == "never";
            server.empty = server.databases.iter().filter(never).cloned().collect();
        }
    });
    assert!(!said(board).await.contains(of_never));
}

#[tokio::test]
async fn the_series_tell_what_alerts_ask() {
    let house = House::open(fixture::well()).await;
    let body = house.get("/metrics").await.body;
    let disk =
        |database| format!("{{service=\"postgres\",database=\"{database}\",destination=\"disk\"");
    let success = "stackwarden_backup_last_success_timestamp_seconds";
    let verified = "stackwarden_backup_last_verified_timestamp_seconds";
    for line in [
        format!("{success}{}}} {}\n", disk("app"), NOW - 600),
        format!("{success}{}}} 0\n", disk("never")),
        format!("{success}{}}} {}\n", disk("globals"), NOW - 7_200),
        format!(
            "{verified}{},level=\"archive\"}} {}\n",
            disk("app"),
            NOW - 600
        ),
        format!(
            "{verified}{},level=\"content\"}} {}\n",
            disk("app"),
            NOW - 7_200
        ),
        format!(
            "{verified}{},level=\"restore\"}} {}\n",
            disk("globals"),
            NOW - 7_200
        ),
        "stackwarden_restore_duration_seconds{service=\"postgres\",database=\"app\"} 12\n".into(),
        "stackwarden_migration_runs_total{service=\"api\",outcome=\"failed\"} 1\n".into(),
        "stackwarden_migration_pending{service=\"api\"} 0\n".into(),
        "stackwarden_job_in_progress{kind=\"backup\"} 1\n".into(),
        "stackwarden_stack_health{state=\"pass\"} 1\n".into(),
        "stackwarden_postgres_up{service=\"postgres\"} 1\n".into(),
        "stackwarden_disk_free_bytes{path=\"/backups\"} 5000000000\n".into(),
    ] {
        assert!(body.contains(&line), "{line} in\n{body}");
    }
    house.board.update(|picture| {
        picture.services.clear();
        picture.servers.clear();
    });
    let body = house.get("/metrics").await.body;
    assert!(
        !body.contains("service=\""),
        "series of vanished services:\n{body}"
    );
}

#[tokio::test]
async fn proving_an_old_backup_again_does_not_prove_the_new_one() {
    let house = House::open(fixture::well()).await;
    house.board.update(|picture| {
        let state = picture.series.get_mut(&fixture::series(app())).unwrap();
        let again = fixture::proven((*state.backups[0]).clone(), NOW - 1, Level::Content);
        state.backups[0] = Arc::new(again);
    });
    let body = house.get("/metrics").await.body;
    let line = format!("level=\"content\"}} {}\n", NOW - 7_200);
    assert!(body.contains(&line), "{body}");
}

#[tokio::test]
async fn the_page_escapes_what_others_wrote() {
    let house = House::open(fixture::well()).await;
    house.board.update(|picture| {
        picture
            .problems
            .push("<script>alert('x')</script> \"&".into());
        let mut odd = fixture::service("api", ContainerState::Exited(3));
        odd.container.image = "<img src=x onerror=y>".into();
        picture.services.insert(ServiceName::new("api"), odd);
    });
    let page = house.get("/").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.header("content-security-policy").is_some());
    assert!(!page.body.contains("<script") && !page.body.contains("<img"));
    let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;";
    assert!(page.body.contains(escaped), "{}", page.body);
    for shown in [
        "it ended with code 3",
        "postgres/app",
        "postgres/never",
        "none yet",
    ] {
        assert!(page.body.contains(shown), "{shown}");
    }
    assert!(!page.body.contains("http://") && !page.body.contains("https://"));
}

#[tokio::test]
async fn what_travels_reads_back_as_it_was_written() {
    let picture = fixture::well().read();
    let stack = wire::stack(&picture, at(NOW));
    let text = serde_json::to_string(&stack).unwrap();
    assert_eq!(
        serde_json::from_str::<wire::StackWire>(&text).unwrap(),
        stack
    );
    assert_eq!(stack.databases[0].age_seconds, Some(600));
    assert_eq!(
        stack.databases[0].newest_verified.as_ref().unwrap().level,
        "content"
    );
}

#[tokio::test]
async fn the_socket_needs_no_token_and_only_its_owner_may_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let life = Lifecycle::new();
    let doors = Doors::new(fixture::api(&fixture::well(), &life));
    let stop = CancellationToken::new();
    let listener = listen_unix(path.clone()).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ask = async {
        let stream = UnixStream::connect(&path).await.unwrap();
        let head = "GET /v1/stack HTTP/1.1\r\nHost: x\r\n";
        let reply = fixture::exchange(stream, head, "").await;
        assert_eq!(reply.json()["project"], "shop");
        let second = listen_unix(path.clone()).await.unwrap_err();
        assert!(matches!(second, ListenError::Answered { .. }), "{second}");
        stop.cancel();
    };
    tokio::join!(listener.serve(doors.trusted(), stop.clone()), ask);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    let file = listen_unix(path.clone()).await.unwrap_err();
    assert!(matches!(file, ListenError::NoSocket { .. }), "{file}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_stop_answers_what_was_asked_and_cuts_idle_connections() {
    let life = Lifecycle::new();
    let doors = Doors::new(fixture::api(&fixture::well(), &life));
    let listener = listen_tcp("test", ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let address = listener.address().unwrap();
    let stop = CancellationToken::new();
    let ask = async {
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 12];
        idle.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        stop.cancel();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
    };
    let both = async { tokio::join!(listener.serve(doors.public(), stop.clone()), ask) };
    tokio::time::timeout(Duration::from_secs(4), both)
        .await
        .unwrap();
}
