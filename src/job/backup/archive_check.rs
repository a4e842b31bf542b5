//! Level `archive`: what the disk gives back is what was written, and pg_restore decodes all of it.
//!
//! It decodes while the dump is still being written, reading along behind it: a decode after it took 1.8 s more on 6.1 s
//! (docs/benchmarks.md), on one processor alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::AsyncWriteExt;

use super::attempt::Dumped;
use super::{BackupError, TakeRequest};
use crate::docker::{Carried, END_TRAILS_OUTPUT, Exec, ExecOutput, StdinMode};
use crate::domain::backup::{Packing, Sha256Hex};
use crate::domain::fingerprint::SchemaText;
use crate::domain::raw_text;
use crate::domain::roster::ServerTarget;
use crate::job::server;
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

/// Compares what was decoded along with what was written, reads the finished file once more, and takes the archive's
/// own schema text; gives the hash of its normalised form.
///
/// # Errors
/// When the bytes differ, or a program fails.
pub(super) async fn run(
    context: &JobContext,
    run: &Run,
    request: &TakeRequest,
    dumped: &Dumped,
) -> Result<Sha256Hex, BackupError> {
    tokio::select! {
        checked = check(context, request, dumped) => checked,
        () = run.stop.cancelled() => Err(BackupError::Cancelled),
    }
}

async fn check(
    context: &JobContext,
    request: &TakeRequest,
    dumped: &Dumped,
) -> Result<Sha256Hex, BackupError> {
    let stored = &dumped.stored;
    let archive = Archive {
        context,
        target: &request.target,
        login: &dumped.login,
        packing: dumped.packing,
    };
    let schema = dump::schema_command(&dumped.login, dumped.packing);
    let file = ReadBack::open(&stored.path).await?;
    let schema = archive.feed(file, schema, Reading::Head).await?;
    let lost = |_lost| StoreError::ThreadLost {
        path: stored.path.clone(),
    };
    // What was decoded while it was written, and what the finished file gives back, are both what was handed in.
    let decoded = dumped.decoded.as_ref();
    if decoded != Some(&stored.sha256) || schema.sha256 != stored.sha256 {
        let path = stored.path.clone();
        return Err(StoreError::Altered { path }.into());
    }
    let hashed = tokio::task::spawn_blocking(move || {
        let text = raw_text::read(schema.stdout);
        crate::store::hash_text(&SchemaText::parse(&text).normalised_text())
    });
    Ok(hashed.await.map_err(lost)?)
}

struct Fed {
    stdout: Vec<u8>,
    sha256: Sha256Hex,
}

/// How far a program has been fed.
#[derive(Debug, Default)]
struct Feeding {
    chunks: AtomicU64,
    /// There is nothing to give it: the file is not written any further yet.
    starved: AtomicBool,
}

impl Archive<'_> {
    /// Decodes all of an archive while it is still being written; gives the hash of what was decoded. It has a low
    /// priority, for pg_dump holds locks and the server has other guests.
    ///
    /// # Errors
    /// When it does not decode, or pg_restore fails.
    ///
    /// # Cancellation
    /// Dropped, pg_restore meets the end of its input and ends.
    pub(super) async fn decode(&self, along: ReadBack) -> Result<Sha256Hex, BackupError> {
        let decode = dump::decode_command(self.login, self.packing);
        Ok(self.feed(along, decode, Reading::Whole).await?.sha256)
    }

    /// Gives the stored bytes to a program in the database's container and collects what it prints.
    async fn feed(
        &self,
        mut file: ReadBack,
        spec: CommandSpec,
        reading: Reading,
    ) -> Result<Fed, BackupError> {
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
            while let Some(chunk) = feeding.next(&mut file).await {
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
        Ok(Fed {
            stdout,
            sha256: file.finish().await?,
        })
    }
}

impl Feeding {
    async fn next(&self, file: &mut ReadBack) -> Option<bytes::Bytes> {
        self.starved.store(true, Ordering::Relaxed);
        let chunk = file.next().await;
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
