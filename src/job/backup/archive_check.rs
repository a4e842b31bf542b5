//! Level `archive`: what the disk gives back is what was written, and pg_restore decodes all of it.
//!
//! It decodes while the dump is still being written, reading along behind it: a decode after it took 1.8 s more on 6.1 s
//! (docs/benchmarks.md), on one processor alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::AsyncWriteExt;

use super::attempt::{Decoding, Dumped};
use super::{BackupError, TakeRequest};
use crate::docker::{Carried, END_TRAILS_OUTPUT, Exec, ExecOutput, StdinMode};
use crate::domain::backup::{Decoded, Packing, Sha256Hex};
use crate::domain::fingerprint::SchemaText;
use crate::domain::raw_text;
use crate::domain::roster::ServerTarget;
use crate::job::opened::Opened;
use crate::job::server::{self, Flow};
use crate::job::{JobContext, Run};
use crate::postgres::{CommandSpec, Login, classify_stderr, dump};
use crate::store::StoreError;
use crate::store::read_back::ReadBack;

/// A schema text larger than this is not kept (12 000 tables have about 10 MB).
const SCHEMA_LIMIT: usize = 256 * 1024 * 1024;

/// An archive that is read back, and the programs of its database's container that read it.
pub(super) struct Archive<'a> {
    pub(super) context: &'a JobContext,
    pub(super) target: &'a ServerTarget,
    pub(super) login: &'a Login,
    pub(super) packing: Packing,
}

/// What is known of a file that was read back.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// Hash of the archive's normalised schema text, where it was read.
    pub(super) schema: Option<Sha256Hex>,
    /// What was decoded, all of it.
    pub(super) decoded: Option<Decoded>,
}

/// Compares what was decoded along with what was written, reads the finished file once more, and takes the archive's
/// own schema text.
///
/// # Errors
/// When the bytes differ, or a program fails.
pub(super) async fn run(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    dumped: &Dumped,
) -> Result<Checked, BackupError> {
    run.or_stopped(Box::pin(check(context, request, dumped)))
        .await
}

async fn check(
    context: &JobContext,
    request: &TakeRequest,
    dumped: &Dumped,
) -> Result<Checked, BackupError> {
    let stored = &dumped.stored;
    let altered = || StoreError::Altered {
        path: stored.path.clone(),
    };
    let (schema, decoded) = match &dumped.decoding {
        Decoding::Stored(decoded) => {
            // What was decoded while it was written, and what the finished file gives back, are both what was handed in.
            let (schema, read) = read_finished(context, request, dumped).await?;
            if *decoded != stored.sha256 || read != stored.sha256 {
                return Err(altered().into());
            }
            (schema, Decoded::Stored)
        }
        Decoding::Stream(schema) => {
            expect_same(dumped).await?;
            (schema.clone(), Decoded::Stream)
        }
        Decoding::Nothing | Decoding::LeftBehind => {
            expect_same(dumped).await?;
            tracing::warn!(
                database = %request.database,
                "the dump was not decoded: its container was too slow to do so beside it, and what is sealed cannot be read back without STACKWARDEN_AGE_IDENTITY"
            );
            return Ok(Checked {
                schema: None,
                decoded: None,
            });
        }
    };
    let hashed = tokio::task::spawn_blocking(move || {
        let schema = SchemaText::parse(&raw_text::read(schema));
        crate::store::hash_pieces(|take| schema.normalised(take))
    });
    let lost = |_lost| StoreError::ThreadLost {
        path: stored.path.clone(),
    };
    Ok(Checked {
        schema: Some(hashed.await.map_err(lost)?),
        decoded: Some(decoded),
    })
}

/// Reads the finished file once more: the archive's own schema text, and the hash of the stored bytes.
async fn read_finished(
    context: &JobContext,
    request: &TakeRequest,
    dumped: &Dumped,
) -> Result<(Vec<u8>, Sha256Hex), BackupError> {
    let archive = Archive {
        context,
        target: &request.target,
        login: &dumped.login,
        packing: dumped.packing,
    };
    let path = &dumped.stored.path;
    let file = ReadBack::open(path).await?;
    let mut opened = Opened::of(file, path, context.keys.own_identity());
    let schema = archive.read_schema(&mut opened).await?;
    let finished = opened.finish().await?;
    if finished.broken.is_some() {
        return Err(StoreError::Altered { path: path.clone() }.into());
    }
    Ok((schema, finished.sha256))
}

/// What the disk gives back has to be what was handed in.
async fn expect_same(dumped: &Dumped) -> Result<(), BackupError> {
    let stored = &dumped.stored;
    let read = ReadBack::open(&stored.path).await?.finish().await?;
    if read == stored.sha256 {
        return Ok(());
    }
    let path = stored.path.clone();
    Err(StoreError::Altered { path }.into())
}

/// How far a program has been fed.
#[derive(Debug, Default)]
struct Feeding {
    chunks: AtomicU64,
    /// There is nothing to give it: the file is not written any further yet.
    starved: AtomicBool,
}

impl Archive<'_> {
    /// Decodes all of an archive while it is still coming. It has a low priority, for pg_dump holds locks and the server
    /// has other guests.
    ///
    /// # Errors
    /// When it does not decode, or pg_restore fails.
    ///
    /// # Cancellation
    /// Dropped, pg_restore meets the end of its input and ends.
    pub(super) async fn decode(&self, archive: &mut (impl Flow + Send)) -> Result<(), BackupError> {
        let decode = dump::decode_command(self.login, self.packing);
        self.feed(archive, decode, Reading::Whole).await.map(drop)
    }

    /// The archive's own schema text; no more of it is taken than its head.
    ///
    /// # Errors
    /// When pg_restore fails.
    pub(super) async fn read_schema(
        &self,
        archive: &mut (impl Flow + Send),
    ) -> Result<Vec<u8>, BackupError> {
        let schema = dump::schema_command(self.login, self.packing);
        self.feed(archive, schema, Reading::Head).await
    }

    /// Gives an archive's bytes to a program in the database's container and collects what it prints.
    async fn feed(
        &self,
        archive: &mut (impl Flow + Send),
        spec: CommandSpec,
        reading: Reading,
    ) -> Result<Vec<u8>, BackupError> {
        let asked = server::request(spec, StdinMode::Attached);
        let begun = server::begin(self.context, self.target, asked, Carried::Input);
        let Exec {
            id,
            stdin,
            mut output,
        } = begun.await?;
        let feeding = Feeding::default();
        let write = async {
            let Some(mut stdin) = stdin else { return };
            while let Some(chunk) = feeding.next(archive).await {
                // A program that has read enough closes its input; its exit code tells whether that is well.
                if stdin.write_all(&chunk).await.is_err() {
                    return;
                }
                feeding.chunks.fetch_add(1, Ordering::Relaxed);
            }
            drop(stdin.shutdown().await);
        };
        let stdout = {
            let collected = collect(self.context, &mut output, &feeding);
            tokio::pin!(write, collected);
            // A program that ends without reading everything leaves a writer hanging on some engines: the end of
            // the output decides, never the end of the input.
            tokio::select! {
                stdout = &mut collected => stdout?,
                () = &mut write => collected.await?,
            }
        };
        let end = self.context.docker.exec_end(&id, END_TRAILS_OUTPUT).await;
        let end = end.map_err(|source| BackupError::Stream {
            program: "pg_restore",
            source,
        })?;
        judge(self.packing, reading, end.code, &output.stderr().text())?;
        Ok(stdout)
    }
}

impl Feeding {
    async fn next(&self, archive: &mut (impl Flow + Send)) -> Option<bytes::Bytes> {
        self.starved.store(true, Ordering::Relaxed);
        let chunk = archive.next().await;
        self.starved.store(false, Ordering::Relaxed);
        chunk
    }
}

/// How much of its input a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All of it.
    Whole,
    /// The head only; what unpacks in front of it then ends by a broken pipe.
    Head,
}

fn judge(packing: Packing, reading: Reading, code: i64, said: &str) -> Result<(), BackupError> {
    let unpacked = reading == Reading::Head
        || !dump::is_piped(packing)
        || dump::parse_pipe_code(said).is_success();
    if code == 0 && unpacked {
        return Ok(());
    }
    let program = if code == 0 { "zstd" } else { "pg_restore" };
    Err(BackupError::Program {
        program,
        code,
        source: classify_stderr(program, said),
    })
}

/// A full decode prints nothing until its end, so what it has been fed counts as a sign of life too; and who is given
/// nothing can say nothing.
async fn collect(
    context: &JobContext,
    output: &mut ExecOutput,
    feeding: &Feeding,
) -> Result<Vec<u8>, BackupError> {
    let mut stdout = Vec::new();
    let silence = context.limits.silence;
    loop {
        let before = feeding.chunks.load(Ordering::Relaxed);
        match tokio::time::timeout(silence, output.next()).await {
            Ok(Ok(Some(chunk))) if stdout.len() < SCHEMA_LIMIT => stdout.extend_from_slice(&chunk),
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Ok(stdout),
            Ok(Err(source)) => {
                return Err(BackupError::Stream {
                    program: "pg_restore",
                    source,
                });
            }
            Err(_elapsed) if feeding.starved.load(Ordering::Relaxed) => {}
            Err(_elapsed) if feeding.chunks.load(Ordering::Relaxed) != before => {}
            Err(_elapsed) => {
                return Err(BackupError::Silent {
                    program: "pg_restore",
                    silent_for: silence,
                });
            }
        }
    }
}
