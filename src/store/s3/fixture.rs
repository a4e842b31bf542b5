//! A store in a real server's bucket, its line to it under control.

#[path = "../../../tests/s3/server.rs"]
pub(super) mod server;
#[expect(dead_code, reason = "the end-to-end tests break it in other ways")]
#[path = "../../../tests/s3/wire.rs"]
pub(super) mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;

use super::{Patience, S3Store};
use crate::domain::backup::{Content, Manifest, Series, Sha256Hex};
use crate::domain::bucket::{Addressing, BucketAccess, BucketKey, BucketName, KeyPrefix};
use crate::domain::database::secret::Secret;
use crate::domain::id::{DatabaseName, ProjectName, ServiceName};
use crate::domain::unit::ByteCount;
use crate::domain::web::WebAddress;
use crate::store::layout;
use server::{BUCKET, KEY, SECRET, Server};
use wire::Wire;

/// A server, a line to it, a store that uses it, and a folder for everything.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) wire: Wire,
    pub(super) store: S3Store,
    pub(super) folder: TempDir,
}

/// Tries three times, and soon.
pub(super) const HASTY: Patience = Patience {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(2),
    part: Duration::from_secs(2),
    standstill: Duration::from_mins(5),
    tries: 3,
    pause: Duration::from_millis(10),
};

/// As often, and waits as long as a busy machine needs: the server answers the second removal of an upload with AccessDenied.
const PATIENT: Patience = Patience {
    answer: Duration::from_secs(30),
    part: Duration::from_secs(30),
    ..HASTY
};

impl Stage {
    pub(super) fn set() -> Self {
        Self::with(HASTY)
    }

    /// For faults that nobody has to wait for.
    pub(super) fn set_patiently() -> Self {
        Self::with(PATIENT)
    }

    fn with(patience: Patience) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start("127.0.0.1:0", &folder.path().join("server"));
        let wire = Wire::start(server.address);
        let store = store_with(access(wire.address), folder.path(), patience);
        Self {
            server,
            wire,
            store,
            folder,
        }
    }

    /// A stored file of so many bytes that differ, and its manifest.
    pub(super) fn stored(&self, size: u64) -> (std::path::PathBuf, Manifest) {
        let manifest = crate::domain::backup::example_backup(Vec::new()).manifest;
        let file = layout::stored_name(&manifest.id, manifest.packing, manifest.sealing());
        let path = self.folder.path().join(&file);
        let mut seed = 1_u64;
        let bytes: Vec<u8> = (0..size)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed.to_be_bytes()[0]
            })
            .collect();
        std::fs::write(&path, &bytes).unwrap();
        let sha256 = Sha256Hex(crate::domain::unit::hexadecimal(
            &<sha2::Sha256 as sha2::Digest>::digest(&bytes),
        ));
        let manifest = Manifest {
            series: series(),
            file,
            stored_size: ByteCount(size),
            stored_sha256: sha256,
            ..manifest
        };
        (path, manifest)
    }
}

pub(super) fn series() -> Series {
    Series {
        project: ProjectName::new("shop"),
        service: ServiceName::new("postgres"),
        content: Content::Database(DatabaseName::new("o'brien")),
    }
}

pub(super) fn access(address: SocketAddr) -> BucketAccess {
    BucketAccess {
        bucket: BucketName::parse(BUCKET).unwrap(),
        prefix: KeyPrefix::parse("eu/paris").unwrap(),
        endpoint: Some(WebAddress::parse(&format!("http://{address}")).unwrap()),
        region: "fr-par".to_owned(),
        addressing: Addressing::Path,
        key: BucketKey {
            id: Secret::new(KEY.to_owned()),
            secret: Secret::new(SECRET.to_owned()),
            session: None,
        },
    }
}

pub(super) fn store(access: BucketAccess, state: &std::path::Path) -> S3Store {
    store_with(access, state, HASTY)
}

fn store_with(access: BucketAccess, state: &std::path::Path, patience: Patience) -> S3Store {
    let roots = std::path::Path::new("/nowhere");
    S3Store::new(access, ProjectName::new("shop"), roots, state, patience).unwrap()
}
