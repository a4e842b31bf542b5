//! `stackwarden verify ID|latest|FILE`.

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::ExitStatus;
use super::arguments::Form;
use super::asking::{Refusal, Sidecar, parse_databases, tell_done, tell_job, usage};
use super::printer::Printer;
use crate::app::once::{self, Which};
use crate::config::Settings;
use crate::domain::backup::{Destination, Level};
use crate::domain::id::{BackupId, DatabaseRef};
use crate::domain::restore::wish::destination;
use crate::http::wire::{DatabaseWire, DatabasesWire, FileOrderWire, JobWire};

/// `verify`, as asked for.
pub(super) struct Wish {
    pub(super) backup: String,
    pub(super) database: Option<String>,
    pub(super) level: Option<String>,
    pub(super) from: Option<String>,
    pub(super) form: Form,
}

/// The same, understood.
struct Asked {
    which: Which,
    only: Option<DatabaseRef>,
    level: Option<Level>,
    from: Option<Destination>,
}

/// Proves a backup or judges a file, through the sidecar or in place.
pub(super) async fn verify(
    settings: &Settings,
    wish: Wish,
    stop: CancellationToken,
    printer: &mut Printer,
) -> ExitStatus {
    let form = wish.form;
    let asked = match read(wish) {
        Ok(asked) => asked,
        Err(why) => return usage(&why, printer),
    };
    let done = match Sidecar::find(settings).await {
        Ok(sidecar) => order(&sidecar, &asked).await,
        Err(refusal) => Err(refusal),
    };
    if !matches!(done, Err(Refusal::Absent)) {
        return tell_job(done, form, printer);
    }
    let Asked {
        which,
        only,
        level,
        from,
    } = asked;
    let wanted = once::Wanted {
        which,
        only,
        level,
        from,
    };
    let done = once::verify(settings, wanted, stop).await;
    tell_done(done, form, printer)
}

fn read(wish: Wish) -> Result<Asked, String> {
    let only = wish.database.as_slice();
    let only = parse_databases(only)?.into_iter().next();
    let level = match wish.level {
        None => None,
        Some(word) => Some(Level::find(&word).ok_or_else(|| {
            format!("{word:?} is no level; write stream, archive, restore, rows or content")
        })?),
    };
    let which = if wish.backup == "latest" {
        Which::Latest
    } else {
        match BackupId::parse(&wish.backup) {
            Ok(id) => Which::Id(id),
            // A mistyped id is better told as one than as a file that is not there.
            Err(wrong) if !wish.backup.contains(['/', '.']) => {
                return Err(format!("{wrong}, nor `latest`, nor a file's path"));
            }
            Err(_path) => Which::File(wish.backup.into()),
        }
    };
    let from = wish.from.map(|word| destination(&word)).transpose();
    let from = from.map_err(|wrong| wrong.to_string())?;
    if from.is_some() && matches!(which, Which::File(_)) {
        return Err("a file is where it is; leave --from out".to_owned());
    }
    Ok(Asked {
        which,
        only,
        level,
        from,
    })
}

async fn order(sidecar: &Sidecar, asked: &Asked) -> Result<JobWire, Refusal> {
    let only = asked.only.as_ref().map(ToString::to_string);
    let level = asked.level.map(|level| level.to_string());
    let id = match &asked.which {
        Which::File(file) => {
            let order = FileOrderWire {
                file: file.display().to_string(),
                database: only,
                level,
            };
            let body = serde_json::to_vec(&order).unwrap_or_default();
            return sidecar.order("/v1/files/verify", Bytes::from(body)).await;
        }
        Which::Latest => latest(&sidecar.get("/v1/databases").await?, only.as_deref())?,
        Which::Id(id) => id.to_string(),
    };
    let from = asked.from.map(|from| from.as_str().to_owned());
    let named = [("level", level), ("database", only), ("from", from)];
    let pairs = named.into_iter().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("{name}={}", encode(&value)))
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    let path = format!("/v1/backups/{id}/verify?{query}");
    sidecar.order(&path, Bytes::new()).await
}

/// A value as it may stand in a query, whatever a database is called.
fn encode(value: &str) -> String {
    let encoded = value.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

/// The newest of what `latest` means, of one database or of all.
fn latest(listed: &DatabasesWire, wanted: Option<&str>) -> Result<String, Refusal> {
    let is_wanted = |it: &&DatabaseWire| {
        wanted.is_none_or(|wanted| format!("{}/{}", it.service, it.database) == wanted)
    };
    let wanted = listed.databases.iter().filter(is_wanted);
    let latest = wanted.filter_map(|it| it.latest.as_ref());
    let newest = latest
        .max_by(|a, b| a.at.cmp(&b.at))
        .map(|it| it.id.clone());
    newest.ok_or_else(|| {
        Refusal::Said(
            "no backup is proven and trusted yet, and `latest` means such a one; `stackwarden backups` lists all, name one by its id"
                .to_owned(),
        )
    })
}
