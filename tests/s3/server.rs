//! A real S3 server on a thread of its own: it checks signatures and digests, and keeps objects as files.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use s3s::S3Result;
use s3s::auth::SimpleAuth;
use s3s::host::{S3Host, SingleDomain, VirtualHost};
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::task::JoinSet;

/// Its only key.
pub const KEY: &str = "AKIATESTTESTTEST";
/// The secret half.
pub const SECRET: &str = "secretsecretsecret";
/// Its only bucket.
pub const BUCKET: &str = "shop-backups";
/// Where a request names a host below this one, the bucket is in the host's name.
pub const DOMAIN: &str = "store.test";

/// A server; it ends with the process.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The bucket's folder: an object is a file there.
    pub bucket: PathBuf,
}

impl Server {
    /// Starts one on `address` (port 0: any) that keeps its objects below `root`.
    pub fn start(address: &str, root: &Path) -> Self {
        let bucket = root.join(BUCKET);
        std::fs::create_dir_all(&bucket).expect("a server of the test");
        let listener = TcpListener::bind(address).expect("a server of the test");
        listener
            .set_nonblocking(true)
            .expect("a server of the test");
        let address = listener.local_addr().expect("a server of the test");
        let files = FileSystem::new(root).expect("a server of the test");
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a server of the test").block_on(async move {
                let listener =
                    tokio::net::TcpListener::from_std(listener).expect("a server of the test");
                ready.send(()).expect("a server of the test");
                serve(listener, files).await;
            });
        });
        is_ready.recv().expect("a server of the test");
        Self { address, bucket }
    }

    /// The keys of its objects, sorted.
    pub fn objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a server of the test") {
                let path = entry.expect("a server of the test").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let key = path
                        .strip_prefix(&self.bucket)
                        .expect("a server of the test");
                    found.push(key.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// How many parts of unfinished uploads it keeps.
    pub fn unfinished_parts(&self) -> usize {
        let root = self.bucket.parent().expect("a server of the test");
        let names = std::fs::read_dir(root).expect("a server of the test");
        names
            .filter(|entry| {
                let name = entry.as_ref().expect("a server of the test").file_name();
                name.to_string_lossy().contains(".part-")
            })
            .count()
    }
}

/// The bucket in the host's name below [`DOMAIN`], in the path everywhere else.
struct Names(SingleDomain);

impl S3Host for Names {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        if host.ends_with(DOMAIN) {
            self.0.parse_host_header(host)
        } else {
            Ok(VirtualHost::new(host))
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, files: FileSystem) {
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    service.set_host(Names(
        SingleDomain::new(DOMAIN).expect("a server of the test"),
    ));
    let service = service.build();
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a server of the test");
        let service = service.clone();
        connections.spawn(async move {
            // A client that goes away is what tests are about.
            let served = Builder::new();
            drop(served.serve_connection(TokioIo::new(socket), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}
