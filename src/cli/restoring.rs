//! `stackwarden restore`: asks first where something is exchanged or removed.

use std::collections::BTreeSet;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use super::ExitStatus;
use super::arguments::Form;
use super::asking::{Refusal, Sidecar, fail, tell_done, tell_job, usage};
use super::printer::Printer;
use crate::app::once;
use crate::config::Settings;
use crate::domain::failure::chain;
use crate::domain::id::ServiceName;
use crate::domain::restore::Which;
use crate::domain::restore::wish::{Mode, Wish, Words};
use crate::domain::volume::is_of_volume;
use crate::http::wire::{BackupWire, BackupsWire, RestoreOrderWire};

/// What a restore is given: exactly one of into, swap, undo and drop.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("how").required(true).args(["into", "swap", "undo", "drop"])))]
pub(super) struct Restore {
    /// A backup's id, `latest`, or with --into the path of a file: .dump, .sql, or one of both in gzip or zstd.
    #[arg(value_name = "ID|latest|FILE")]
    backup: Option<String>,
    /// Restore into a new database of this name, beside everything that is there.
    #[arg(long, value_name = "NAME")]
    into: Option<String>,
    /// Take a backup, restore beside the live database, compare the copy and put it in the live one's place.
    #[arg(long)]
    swap: bool,
    #[command(flatten)]
    aside: Aside,
    /// Of which database; for a file, on whose server. Only needed where there are several.
    #[arg(long, value_name = "SERVICE/DATABASE")]
    database: Option<String>,
    /// `latest` as it was at this instant, such as 2026-01-21T02:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Where the backup is taken from: disk or s3; otherwise disk, or the bucket where the disk does not have it.
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
    #[command(flatten)]
    owner: OwnerWords,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Whose backup is restored, where it is not this stack's.
#[derive(Debug, Clone, Args)]
struct OwnerWords {
    /// A backup that `backup --from-volume` took of this volume.
    #[arg(long, value_name = "VOLUME")]
    from_volume: Option<String>,
    /// A backup of another Compose project, in the same backup folder or bucket; nothing is written there.
    #[arg(long, value_name = "PROJECT", conflicts_with = "from_volume")]
    from_project: Option<String>,
    /// The STACKWARDEN_S3_PREFIX of that project, where it is another than ours.
    #[arg(long, requires = "from_project")]
    prefix: Option<String>,
    /// The backup's own database, where it is called otherwise than the one of --database.
    #[arg(long, value_name = "SERVICE/DATABASE")]
    of: Option<String>,
}

/// What becomes of what swaps put aside.
#[derive(Debug, Clone, Args)]
struct Aside {
    /// Put back what the newest swap put aside.
    #[arg(long)]
    undo: bool,
    /// Remove what swaps put aside.
    #[arg(long)]
    drop: bool,
}

impl Restore {
    fn words(&self) -> Words {
        let mode = match (&self.into, self.swap, self.aside.undo) {
            (Some(_), _, _) => "into",
            (None, true, _) => "swap",
            (None, false, true) => "undo",
            (None, false, false) => "drop",
        };
        Words {
            mode: mode.to_owned(),
            backup: self.backup.clone(),
            name: self.into.clone(),
            database: self.database.clone(),
            at: self.at.clone(),
            from: self.from.clone(),
            volume: self.owner.from_volume.clone(),
            project: self.owner.from_project.clone(),
            prefix: self.owner.prefix.clone(),
            of: self.owner.of.clone(),
        }
    }
}

/// Restores, through the sidecar or in place.
pub(super) async fn restore(
    settings: &Settings,
    asked: Restore,
    form: Form,
    stop: CancellationToken,
    printer: &mut Printer,
) -> ExitStatus {
    let words = asked.words();
    let wish = match Wish::read(words.clone()) {
        Ok(wish) => wish,
        Err(wrong) => return usage(&wrong.to_string(), printer),
    };
    let sidecar = match Sidecar::find(settings).await {
        Ok(sidecar) => Some(sidecar),
        Err(Refusal::Absent) => None,
        Err(Refusal::Said(why)) => return fail(&why, printer),
    };
    if !asked.yes
        && let Err(status) = confirm(settings, sidecar.as_ref(), &wish, printer).await
    {
        return status;
    }
    let Some(sidecar) = sidecar else {
        let done = once::restore(settings, wish, stop).await;
        return tell_done(done, form, printer);
    };
    let order = RestoreOrderWire {
        mode: words.mode,
        backup: words.backup,
        name: words.name,
        database: words.database,
        at: words.at,
        from: words.from,
        volume: words.volume,
        project: words.project,
        prefix: words.prefix,
        of: words.of,
    };
    let body = serde_json::to_vec(&order).unwrap_or_default();
    let done = sidecar.order("/v1/restores", Bytes::from(body)).await;
    tell_job(done, form, printer)
}

/// Has the database's name typed, where something live is exchanged or something kept is removed. A new database
/// changes nothing that is there, so nobody is asked.
async fn confirm(
    settings: &Settings,
    sidecar: Option<&Sidecar>,
    wish: &Wish,
    printer: &mut Printer,
) -> Result<(), ExitStatus> {
    let what = match &wish.mode {
        Mode::Into(..) => return Ok(()),
        Mode::Swap(_) => {
            "is going to be replaced by a restored copy (a backup is taken first, and what is there is kept beside)"
        }
        Mode::Undo => {
            "is going to be replaced by what the newest swap put aside (what is there is kept beside)"
        }
        Mode::Drop => "loses what its swaps put aside",
    };
    if !Printer::can_ask() {
        let why = "nobody is here to be asked; add --yes to go on without a question";
        return Err(usage(why, printer));
    }
    let listed = if let Some(sidecar) = sidecar {
        sidecar.get::<BackupsWire>("/v1/backups").await
    } else {
        let listed = once::list(settings).await;
        listed.map_err(|error| Refusal::Said(chain(&error)))
    };
    let listed = match listed {
        Ok(listed) => listed.backups,
        Err(Refusal::Said(why)) => return Err(fail(&why, printer)),
        Err(Refusal::Absent) => return Err(fail("the sidecar went away; ask again", printer)),
    };
    let database = database(wish, &listed).map_err(|why| usage(&why, printer))?;
    let (_, name) = database.split_once('/').unwrap_or(("", &database));
    let question = format!("{database} {what}.\nType the database's name ({name}) to go on: ");
    if printer.ask(&question).await.as_deref() == Some(name) {
        return Ok(());
    }
    Err(fail("that was not its name; nothing was changed", printer))
}

/// The database that the question is about.
fn database(wish: &Wish, listed: &[BackupWire]) -> Result<String, String> {
    if let Some(only) = &wish.only {
        return Ok(only.to_string());
    }
    let meant = listed.iter().filter(|it| match &wish.mode {
        Mode::Swap(Which::Id(id)) => it.id == id.to_string(),
        _ => true,
    });
    let of_volume = |it: &&BackupWire| is_of_volume(&ServiceName::new(it.service.as_str()));
    let meant = meant.filter(|it| !of_volume(it));
    let names = meant.filter_map(|it| Some(format!("{}/{}", it.service, it.database.as_ref()?)));
    let names: Vec<String> = names.collect::<BTreeSet<_>>().into_iter().collect();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err("there is no such backup of a live database here; `stackwarden backups` lists all, and one of a volume wants --database SERVICE/DATABASE, in whose place it goes".to_owned()),
        several => Err(format!(
            "say which database with --database SERVICE/DATABASE; there are {}",
            several.join(" and ")
        )),
    }
}
