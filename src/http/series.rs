//! Which series of backups are shown: those of databases that are configured now.

use std::collections::BTreeSet;

use crate::board::{Picture, Reach, ServerPicture};
use crate::domain::backup::{Content, Series};

/// The series of every server that is backed up, its roles included.
///
/// A server that was never reached is shown by what the disk holds of it, so that its alerts do not
/// fall silent when it is down at our start.
pub(super) fn shown_series(picture: &Picture) -> BTreeSet<Series> {
    let servers = picture.servers.values().filter(|it| it.policy.enabled);
    servers
        .flat_map(|server| series_of(picture, server))
        .collect()
}

fn series_of(picture: &Picture, server: &ServerPicture) -> Vec<Series> {
    if server.databases.is_empty() && server.reach != Reach::Reached {
        let stored = picture.series.keys();
        return stored
            .filter(|series| series.service == server.service)
            .cloned()
            .collect();
    }
    let databases = server.databases.iter();
    let mut contents: Vec<Content> = databases
        .map(|database| Content::Database(database.database.clone()))
        .collect();
    // Roles are taken and proven together with databases; a server without any has none to prove.
    if !contents.is_empty() {
        contents.push(Content::Globals);
    }
    contents
        .into_iter()
        .map(|content| Series {
            project: picture.project.clone(),
            service: server.service.clone(),
            content,
        })
        .collect()
}
