//! Pictures and a served door for the tests of this module.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Api, Doors, Token, listen_tcp};
use crate::board::{
    Board, JobPicture, MigrationPicture, MigrationRuns, Pending, Picture, Reach, SeriesPicture,
    ServerPicture, ServicePicture,
};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::domain::backup::{
    Backup, Content, Counted, Level, Manifest, Origin, Packing, Proof, Reason, Series, Sha256Hex,
};
use crate::domain::database::find_server;
use crate::domain::fleet::{Container, ContainerState, DockerHealth, Environment};
use crate::domain::health::{Answer, Reading, ServerVitals};
use crate::domain::id::{
    BackupId, ContainerId, DatabaseName, DatabaseRef, ImageId, JobId, ProjectName, ServiceName,
};
use crate::domain::job::{JobKind, JobState};
use crate::domain::objective::Objectives;
use crate::domain::policy::{
    BackupPolicy, DatabaseSelection, HealthPolicy, Importance, KeepPolicy, ProbeTarget,
};
use crate::domain::roster::ServerTarget;
use crate::domain::schedule::{Schedule, Zone};
use crate::domain::unit::{ByteCount, Timestamp};
use crate::lifecycle::Lifecycle;
use crate::observe::metrics::Metrics;

pub(super) const TOKEN: &str = "0123456789abcdef";
pub(super) const NOW: i64 = 1_769_000_000;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(second, 0).unwrap()
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        at(NOW)
    }
}

pub(super) fn board() -> Board {
    Board::new(Picture::new(ProjectName::new("shop"), at(NOW - 100)))
}

/// A desk behind which nobody works any more.
fn closed_desk() -> Desk {
    let (desk, inbox) = Desk::open();
    drop(inbox);
    desk
}

pub(super) fn series(content: Content) -> Series {
    Series {
        project: ProjectName::new("shop"),
        service: ServiceName::new("postgres"),
        content,
    }
}

pub(super) fn app() -> Content {
    Content::Database(DatabaseName::new("app"))
}

pub(super) fn backup(content: Content, second: i64, digit: u8) -> Backup {
    let hash = Sha256Hex("ab".repeat(32));
    Backup {
        proofs: Vec::new(),
        elsewhere: Vec::new(),
        acceptance: None,
        manifest: Manifest {
            id: BackupId::build(at(second), [0, digit]),
            series: series(content),
            reason: Reason::Schedule,
            snapshot_at: at(second),
            published_at: at(second + 9),
            snapshot_lsn: None,
            took: Duration::from_millis(8_250),
            file: "x.dump".into(),
            stored_size: ByteCount(1_500_000),
            stored_sha256: hash.clone(),
            packing: Packing::InnerZstd,
            seal: None,
            tool_version: "17.5".into(),
            writer_version: "0.1.0".into(),
            origin: Origin {
                system_identifier: "7".into(),
                database_oid: 5,
                server_version_number: 170_005,
                server_version: "17.5".into(),
                image_id: "sha256:1".into(),
                image: "postgres:17".into(),
            },
            facts: None,
            revision: None,
            schema_fingerprint: None,
            counted: Counted::Summary { tables: 3 },
            extent: None,
            suspicion: None,
            globals: None,
            level: Level::Archive,
            decoded: None,
            likeness: None,
            restore_line: "pg_restore …".into(),
        },
    }
}

pub(super) fn proven(mut backup: Backup, second: i64, level: Level) -> Backup {
    backup.proofs.push(Proof {
        id: backup.manifest.id.clone(),
        destination: "disk".into(),
        at: at(second),
        took: Duration::from_secs(21),
        restore_took: Some(Duration::from_secs(12)),
        writer_version: "0.1.0".into(),
        level: Some(level),
        reason: None,
        awaits_room: None,
        awaits_key: None,
        compared: Vec::new(),
        differences: Vec::new(),
    });
    backup
}

pub(super) fn service(name: &str, state: ContainerState) -> ServicePicture {
    ServicePicture {
        container: Container {
            id: ContainerId::new(name),
            name: name.into(),
            service: ServiceName::new(name),
            image: format!("{name}:1"),
            image_id: ImageId::new("sha256:1"),
            state,
            health: DockerHealth::Absent,
            created: 0,
            lifetime: crate::domain::fleet::Lifetime::OneShot,
            restarts: 2,
            labels: BTreeMap::new(),
            environment: Environment::default(),
            networks: Vec::new(),
            depends_on: Vec::new(),
        },
        health_policy: HealthPolicy {
            target: ProbeTarget::Docker,
            importance: Importance::Required,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            failures: 3,
        },
        migration: None,
        reading: Some(Reading {
            at: at(NOW),
            answer: Answer::Good,
            took: Duration::from_millis(4),
            failures: 0,
        }),
        usage: Some((1.5, ByteCount(1 << 20))),
    }
}

fn server() -> ServerPicture {
    let service = ServiceName::new("postgres");
    let database = |name| DatabaseRef::new(service.clone(), DatabaseName::new(name));
    let container = self::service("postgres", ContainerState::Running).container;
    ServerPicture {
        target: ServerTarget::new(find_server(&container).unwrap(), &container),
        policy: BackupPolicy {
            enabled: true,
            schedule: Schedule::parse("0 2 * * *", Zone::parse("UTC").unwrap()).unwrap(),
            databases: DatabaseSelection::Named(BTreeSet::new()),
            keep: KeepPolicy {
                within: None,
                last: 1,
                daily: 0,
                weekly: 0,
                monthly: 0,
                yearly: 0,
            },
            verify: Level::Content,
            drill: Schedule::parse("0 4 * * 0", Zone::UTC).unwrap(),
        },
        next_run: Some(at(NOW + 3_600)),
        reach: Reach::Reached,
        databases: vec![database("app"), database("never")],
        empty: BTreeSet::new(),
        vitals: Some(ServerVitals {
            connections: 3,
            max_connections: 100,
            size: ByteCount(8 << 20),
            longest_transaction_seconds: 0,
        }),
        service,
    }
}

/// A stack that is well: `app` with a proven and a newer unproven backup, `never` without any.
pub(super) fn well() -> Board {
    let board = board();
    board.update(|picture| {
        picture.docker = Reach::Reached;
        picture.folder = Reach::Reached;
        picture.disk_free = Some(ByteCount(5_000_000_000));
        for name in ["api", "postgres"] {
            let service = service(name, ContainerState::Running);
            picture.services.insert(ServiceName::new(name), service);
        }
        let server = server();
        picture.servers.insert(server.service.clone(), server);
        let roles = backup(Content::Globals, NOW - 7_200, 9);
        let mut old = backup(app(), NOW - 7_200, 1);
        old.manifest.globals = Some(roles.manifest.id.clone());
        let old = proven(old, NOW - 7_000, Level::Content);
        let new = backup(app(), NOW - 600, 2);
        for (content, backups) in [(Content::Globals, vec![roles]), (app(), vec![old, new])] {
            let state = SeriesPicture {
                backups: backups.into_iter().map(Arc::new).collect(),
                last_attempt: Some(at(NOW - 601)),
                ..SeriesPicture::default()
            };
            picture.series.insert(series(content), state);
        }
        let migration = MigrationPicture {
            at: at(NOW - 50),
            outcome: "succeeded".into(),
            before: None,
            after: Some("a1".into()),
            took: Duration::from_millis(1_500),
            error: None,
            pending: Pending::Nothing,
            runs: MigrationRuns {
                succeeded: 2,
                unchanged: 5,
                failed: 1,
            },
        };
        picture
            .migrations
            .insert(ServiceName::new("api"), migration);
        picture.put_job(JobPicture {
            id: JobId::new("j7"),
            kind: JobKind::Backup,
            subject: "postgres/app".into(),
            asked_at: at(NOW - 9),
            state: JobState::Running { since: at(NOW - 8) },
            doing: None,
        });
    });
    board
}

pub(super) fn api(board: &Board, life: &Lifecycle) -> Api {
    let objectives = Objectives {
        recovery_point: Duration::from_hours(24),
        recovery_time: Duration::from_hours(4),
    };
    Api {
        board: board.clone(),
        desk: closed_desk(),
        clock: Arc::new(Noon),
        metrics: Arc::new(Metrics::new(objectives).unwrap()),
        readiness: life.readiness(),
        folder: "/backups".into(),
    }
}

/// Both TCP doors on loopback, for as long as this lives.
pub(super) struct House {
    pub(super) board: Board,
    pub(super) life: Lifecycle,
    pub(super) public: SocketAddr,
    pub(super) control: SocketAddr,
    _serving: JoinSet<()>,
}

impl House {
    pub(super) async fn open(board: Board) -> Self {
        let life = Lifecycle::new();
        let doors = Doors::new(api(&board, &life));
        let mut serving = JoinSet::new();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut serve = async |router| {
            let listener = listen_tcp("test", anywhere).await.unwrap();
            let address = listener.address().unwrap();
            serving.spawn(listener.serve(router, CancellationToken::new()));
            address
        };
        Self {
            public: serve(doors.public()).await,
            control: serve(doors.control(Token::parse(TOKEN).unwrap())).await,
            board,
            life,
            _serving: serving,
        }
    }

    /// Asks the public door.
    pub(super) async fn get(&self, path: &str) -> Reply {
        ask(
            self.public,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\n"),
            "",
        )
        .await
    }

    /// Asks the control door with the right token; `line` is method and path.
    pub(super) async fn order(&self, line: &str, body: &str) -> Reply {
        let bearer = format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
        ask(self.control, &bearer, body).await
    }
}

/// One whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|it| it.strip_prefix(&prefix))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts a problem document of this status and gives its detail.
    pub(super) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

pub(super) async fn ask(address: SocketAddr, head: &str, body: &str) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    exchange(stream, head, body).await
}

/// `head` is the request line and headers, each with its line end.
pub(super) async fn exchange<S>(mut stream: S, head: &str, body: &str) -> Reply
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let length = body.len();
    let request = format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
