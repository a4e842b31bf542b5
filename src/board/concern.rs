//! What needs attention: what keeps stackwarden from its work, and backups that somebody should look at.

use std::sync::Arc;

use super::{Picture, Reach, SeriesPicture, ServerPicture};
use crate::domain::backup::{Backup, Series, Standing, copy, find_suspect};
use crate::domain::retention::{KeepReason, Rules, find_holds, is_behind};
use crate::domain::unit::Timestamp;

impl Picture {
    /// What keeps stackwarden itself from its work, one sentence each.
    pub fn concerns(&self, now: Timestamp) -> Vec<String> {
        let mut concerns = Vec::new();
        for (what, reach) in [("docker", &self.docker), ("backup folder", &self.folder)] {
            if let Reach::Lost(why) = reach {
                concerns.push(format!("{what}: {why}"));
            }
        }
        self.add_bucket_concerns(&mut concerns);
        for (channel, reach) in &self.channels {
            if let Reach::Lost(why) = reach {
                concerns.push(format!("{}: {why}", channel.as_str()));
            }
        }
        for server in self.servers.values() {
            if let Reach::Lost(why) = &server.reach {
                concerns.push(format!("{}: {why}", server.service));
            }
        }
        for (series, state) in &self.series {
            concerns.extend(self.series_concerns(series, state, now));
        }
        let said = self
            .problems
            .iter()
            .chain(&self.label_problems)
            .chain(&self.folder_problems);
        concerns.extend(said.cloned());
        concerns
    }

    /// What somebody should know of one series, one sentence each.
    pub fn series_concerns(
        &self,
        series: &Series,
        state: &SeriesPicture,
        now: Timestamp,
    ) -> Vec<String> {
        let failed = state.last_error.as_ref();
        let failed = failed.map(|why| format!("backup of {series}: {why}"));
        let concerns = [
            failed,
            refuted_concern(series, state),
            suspicion_concern(series, state),
            room_concern(series, state),
            self.hold_concern(series, state, now),
            state
                .unremovable
                .as_ref()
                .map(|why| format!("{series}: {why}")),
        ];
        let breaches = self.breaches(series, state, now).into_iter();
        let decayed = state
            .backups
            .iter()
            .filter_map(|it| decay_concern(series, it));
        let concerns = concerns.into_iter().flatten();
        concerns.chain(decayed).chain(breaches).collect()
    }

    /// The server of a database that is backed up now.
    fn find_server(&self, series: &Series) -> Option<&ServerPicture> {
        let database = series.content.database()?;
        let server = self.servers.get(&series.service)?;
        let is_known = server.databases.iter().any(|it| it.database == *database);
        (is_known && server.policy.enabled).then_some(server)
    }

    /// What a database's backups do not meet; roles have no objective, and what holds no table nothing to lose.
    fn breaches(&self, series: &Series, state: &SeriesPicture, now: Timestamp) -> Vec<String> {
        let (Some(objectives), Some(server)) = (&self.objectives, self.find_server(series)) else {
            return Vec::new();
        };
        if server.has_nothing_to_lose(&series.content) {
            return Vec::new();
        }
        let backups = state.backups.iter().map(AsRef::as_ref);
        let breaches = objectives.judge(backups, self.started_at, now);
        breaches
            .iter()
            .map(|it| format!("{series}: {it}"))
            .collect()
    }

    /// Nothing goes while backups or proofs fail, so the disk fills or its past stays thin: somebody has to know.
    fn hold_concern(
        &self,
        series: &Series,
        state: &SeriesPicture,
        now: Timestamp,
    ) -> Option<String> {
        // What is not backed up any more stays as it is, and nobody has to do anything about it.
        let server = self.find_server(series)?;
        let rules = Rules::from(&server.policy);
        let holds = find_holds(&rules, state.backups.iter().map(AsRef::as_ref), now);
        let oldest = state.backups.first()?.manifest.snapshot_at;
        let holds_by = |hold| holds.contains(&hold);
        // The first proof of a young series is on its way.
        let is_young = !is_behind(&rules.schedule, oldest, now);
        if holds_by(KeepReason::BackupsFail) {
            Some(format!(
                "no backup of {series} has succeeded for two intervals of its schedule; retention removes nothing of it meanwhile"
            ))
        } else if holds_by(KeepReason::NoneVerified) && !is_young {
            Some(format!(
                "no backup of {series} is verified, so retention removes nothing of it and the disk fills; `stackwarden backups` tells why"
            ))
        } else if holds_by(KeepReason::ProofsFail) {
            Some(format!(
                "no newer backup of {series} has been verified for two intervals of its schedule; retention keeps every verified one meanwhile"
            ))
        } else {
            None
        }
    }
}

impl Picture {
    /// What keeps backups from being in the bucket, and what is wrong with those that are.
    fn add_bucket_concerns(&self, concerns: &mut Vec<String>) {
        let Some(bucket) = &self.bucket else { return };
        if let Reach::Lost(why) = &bucket.reach {
            concerns.push(format!("s3: {why}"));
        }
        let limits = bucket.limits.iter();
        concerns.extend(limits.map(|limit| format!("s3: {}: {limit}", bucket.place)));
        concerns.extend(bucket.problems.iter().cloned());
        for (series, state) in &self.series {
            if let Some(why) = &state.copy_error {
                let missing = copy::count_missing(&state.backups, &state.copies);
                concerns.push(format!(
                    "s3: {series} lacks {missing} of its backups there: {why}"
                ));
            }
            let is_refuted = |it: &&Arc<Backup>| it.standing() == Standing::Refuted;
            for copy in state.copies.iter().filter(is_refuted) {
                let id = &copy.manifest.id;
                concerns.push(format!(
                    "s3: the copy of backup {id} of {series} did not prove: it is not what was written"
                ));
            }
        }
    }
}

/// What was good once: the disk, or somebody, has changed it.
fn decay_concern(series: &Series, backup: &Backup) -> Option<String> {
    let found = backup.decay()?.differences.first()?;
    let id = &backup.manifest.id;
    Some(format!(
        "backup {id} of {series} was good and is not any more: {found}; look after the disk it is on"
    ))
}

fn refuted_concern(series: &Series, state: &SeriesPicture) -> Option<String> {
    let backup = state.backups.last()?;
    let is_refuted = backup.standing() == Standing::Refuted && backup.decay().is_none();
    let id = &backup.manifest.id;
    is_refuted.then(|| format!("backup {id} of {series} did not prove"))
}

/// Nothing of a suspect series is removed meanwhile, so somebody has to look and decide.
fn suspicion_concern(series: &Series, state: &SeriesPicture) -> Option<String> {
    let backups = || state.backups.iter().map(AsRef::as_ref);
    let backup: &Backup = find_suspect(backups())?;
    let reasons = backup.suspicion()?.reasons.join("; ");
    let id = &backup.manifest.id;
    let newest = &state.backups.last()?.manifest.id;
    let otherwise = if newest == id {
        String::new()
    } else {
        format!("; if it is not, but {newest} is again: stackwarden backups --accept {newest}")
    };
    Some(format!(
        "backup {id} of {series} is suspect: {reasons}; retention is frozen. If that is as it should be: stackwarden backups --accept {id}{otherwise}"
    ))
}

fn room_concern(series: &Series, state: &SeriesPicture) -> Option<String> {
    let backup = state.backups.last()?;
    backup.awaits_room()?;
    let proof = backup.newest_whole_proof()?;
    let why = proof.reason.as_deref().unwrap_or_default();
    let id = &backup.manifest.id;
    Some(format!(
        "backup {id} of {series} is not restored yet: {why}; it is tried again when there is room"
    ))
}
