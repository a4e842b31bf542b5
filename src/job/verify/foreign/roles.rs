//! The roles that a foreign dump takes for granted.

use super::Court;
use crate::domain::backup::Content;
use crate::domain::raw_text;
use crate::job::opened::{Rest, read_all};
use crate::job::verify::VerifyError;
use crate::postgres::scratch::filter_globals;

impl Court<'_> {
    /// The roles of the server's newest backup of them, as far as they can be made; the rest is made up.
    pub(super) async fn apply_roles(&self) -> Result<(), VerifyError> {
        let store = self.context.store.clone();
        let listing = tokio::task::spawn_blocking(move || store.list()).await;
        let listing = listing.map_err(|_lost| VerifyError::Cancelled)??;
        let newest = listing.series.iter().find_map(|(series, backups)| {
            let is_it = series.content == Content::Globals && series.service == self.server.service;
            backups.last().filter(|_| is_it)
        });
        let Some(newest) = newest else { return Ok(()) };
        let path = self.context.store.path_of(&newest.manifest);
        let Ok((sql, _sha256)) = read_all(self.context, &Rest::Disk(path)).await else {
            return Ok(());
        };
        let sql = raw_text::read(sql);
        let plan = &self.scratch.plan;
        let filtered = filter_globals(&sql, &plan.bootstrap_user, plan.tablespaces());
        let command = plan.globals_command(&self.scratch.application);
        let ran = self.scratch.run(self.context, command, Some(filtered.sql));
        drop(ran.await?);
        Ok(())
    }
}
