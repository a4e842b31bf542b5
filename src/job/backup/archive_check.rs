//! Level `archive`: what the disk gives back is what was written, and pg_restore decodes all of it.

use tokio::io::AsyncWriteExt;

use super::attempt::Dumped;
use super::{BackupError, TakeRequest};
use crate::docker::{END_TRAILS_OUTPUT, Exec, ExecOutput, StdinMode};
use crate::domain::backup::{Packing, Sha256Hex};
use crate::domain::fingerprint::SchemaText;
use crate::job::server;
use crate::job::{JobContext, Run};
use crate::postgres::{CommandSpec, classify_stderr, dump};
use crate::store::StoreError;
use crate::store::read_back::ReadBack;

/// A schema text larger than this is not kept (12 000 tables have about 10 MB).
const SCHEMA_LIMIT: usize = 256 * 1024 * 1024;

/// Reads the stored file back through a full decode, then takes the archive's own schema text; gives the
/// hash of its normalised form.
///
/// # Errors
/// When the bytes differ, do not decode, or a program fails.
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
    let path = &dumped.stored.path;
    let decode = dump::decode_command(&dumped.login, dumped.packing);
    let decode = feed(context, request, dumped, decode, Reading::Whole).await?;
    if decode.sha256 != dumped.stored.sha256 {
        return Err(StoreError::Altered { path: path.clone() }.into());
    }
    let schema = dump::schema_command(&dumped.login, dumped.packing);
    let schema = feed(context, request, dumped, schema, Reading::Head).await?;
    let text = String::from_utf8_lossy(&schema.stdout).into_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        crate::store::hash_text(&SchemaText::parse(&text).normalised_text())
    });
    hashed
        .await
        .map_err(|_lost| StoreError::ThreadLost { path: path.clone() }.into())
}

struct Fed {
    stdout: Vec<u8>,
    sha256: Sha256Hex,
}

/// Gives the stored bytes to a program in the database's container and collects what it prints.
async fn feed(
    context: &JobContext,
    request: &TakeRequest,
    dumped: &Dumped,
    spec: CommandSpec,
    reading: Reading,
) -> Result<Fed, BackupError> {
    let asked = server::request(spec, StdinMode::Attached);
    let exec = context.docker.exec(&request.target.container, asked).await;
    let Exec {
        id,
        stdin,
        mut output,
    } = exec.map_err(|source| server::docker_error(&request.target, source))?;
    let mut file = ReadBack::open(&dumped.stored.path)?;
    let write = async {
        let Some(mut stdin) = stdin else { return };
        while let Some(chunk) = file.next().await {
            // A program that has read enough closes its input; its exit code tells whether that is well.
            if stdin.write_all(&chunk).await.is_err() {
                return;
            }
        }
        drop(stdin.shutdown().await);
    };
    let stdout = {
        let collected = collect(context, &mut output);
        tokio::pin!(write, collected);
        // A program that ends without reading everything leaves a writer hanging on some engines: the end of
        // the output decides, never the end of the input.
        tokio::select! {
            stdout = &mut collected => stdout?,
            () = &mut write => collected.await?,
        }
    };
    let end = context.docker.exec_end(&id, END_TRAILS_OUTPUT).await;
    let end = end.map_err(|source| BackupError::Stream {
        program: "pg_restore",
        source,
    })?;
    judge(dumped.packing, reading, end.code, &output.stderr().text())?;
    Ok(Fed {
        stdout,
        sha256: file.finish().await?,
    })
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

async fn collect(context: &JobContext, output: &mut ExecOutput) -> Result<Vec<u8>, BackupError> {
    let mut stdout = Vec::new();
    let silence = context.limits.silence;
    loop {
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
            Err(_elapsed) => {
                return Err(BackupError::Silent {
                    silent_for: silence,
                });
            }
        }
    }
}
