//! One series in one destination, judged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;

use super::origin::{self, place};
use super::{KeepReason, Legibility, Outcome, Rules, Upstream, Verdict, find_holds, generation};
use crate::domain::backup::{Backup, Series, Standing, latest};
use crate::domain::id::BackupId;
use crate::domain::unit::Timestamp;

/// The backups in one series' folder.
pub(super) struct Shelf<'a, 'u> {
    series: &'a Series,
    /// Newest first.
    ordered: Vec<&'a Backup>,
    now: Timestamp,
    upstream: Option<&'u Upstream<'a>>,
}

/// What stays so far, with the reasons.
#[derive(Default)]
pub(super) struct Kept<'a>(BTreeMap<&'a BackupId, BTreeSet<KeepReason>>);

impl<'a> Kept<'a> {
    pub(super) fn keep(&mut self, backup: &'a Backup, reason: KeepReason) {
        let reasons = self.0.entry(&backup.manifest.id).or_default();
        reasons.insert(reason);
    }

    fn keep_all(&mut self, backups: &[&'a Backup], reason: KeepReason) {
        for backup in backups {
            self.keep(backup, reason);
        }
    }

    fn holds(&self, backup: &Backup) -> bool {
        self.0.contains_key(&backup.manifest.id)
    }
}

impl<'a, 'u> Shelf<'a, 'u> {
    pub(super) fn new(series: &'a Series, backups: &[&'a Backup], now: Timestamp) -> Self {
        let mut ordered = backups.to_vec();
        ordered.sort_by(|left, right| place(right).cmp(&place(left)));
        Self {
            series,
            ordered,
            now,
            upstream: None,
        }
    }

    /// The same in a destination that is filled from another one.
    pub(super) fn below(self, upstream: Option<&'u Upstream<'a>>) -> Self {
        Self { upstream, ..self }
    }

    /// The backups of a database.
    pub(super) fn judge(self, rules: &Rules) -> Vec<Verdict<'a>> {
        let mut kept = Kept::default();
        let own = self.own(&mut kept);
        self.keep_upstream(&own, &mut kept);
        let holds = find_holds(rules, own.iter().copied(), self.now);
        for hold in &holds {
            let held = |it: &&&Backup| *hold != KeepReason::ProofsFail || rules.is_counted(it);
            for backup in own.iter().filter(held) {
                kept.keep(backup, *hold);
            }
        }
        let past = self.past(&own, &mut kept);
        let current = keep_other_origins(&past, &mut kept);
        keep_newest(rules, &current, &mut kept);
        if !holds.contains(&KeepReason::ProofsFail) {
            self.keep_owed(rules, &current, &mut kept);
        }
        generation::keep_counted(rules, &current, &mut kept);
        self.keep_ruled(rules, &current, &mut kept);
        keep_speakers(&own, &mut kept);
        self.verdicts(&kept)
    }

    /// The roles of a server. They have no proof of their own, theirs is that of the databases that restore on top
    /// of them: so none stands for a day, and what no database needs stays while it is young.
    pub(super) fn judge_roles(
        self,
        rules: &Rules,
        referred: &BTreeSet<&BackupId>,
        legibility: Legibility,
    ) -> Vec<Verdict<'a>> {
        let mut kept = Kept::default();
        let own = self.own(&mut kept);
        self.keep_upstream(&own, &mut kept);
        if legibility == Legibility::InPart {
            kept.keep_all(&own, KeepReason::Unreadable);
        }
        for backup in &own {
            if referred.contains(&backup.manifest.id) {
                kept.keep(backup, KeepReason::ReferredTo);
            }
        }
        let past = self.past(&own, &mut kept);
        let current = keep_other_origins(&past, &mut kept);
        kept.keep_all(current.get(..1).unwrap_or_default(), KeepReason::Newest);
        self.keep_ruled(rules, &current, &mut kept);
        self.verdicts(&kept)
    }

    /// Those whose manifest names this very series; any other one stays as it is and counts for nothing.
    fn own(&self, kept: &mut Kept<'a>) -> Vec<&'a Backup> {
        let is_own = |it: &&Backup| it.manifest.series == *self.series;
        let (own, foreign): (Vec<&Backup>, Vec<&Backup>) =
            self.ordered.iter().copied().partition(is_own);
        kept.keep_all(&foreign, KeepReason::Foreign);
        own
    }

    /// What stands where this destination is filled from stays here, or it would be copied again.
    fn keep_upstream(&self, own: &[&'a Backup], kept: &mut Kept<'a>) {
        let Some(upstream) = self.upstream else {
            return;
        };
        for backup in own {
            if upstream
                .backups
                .contains(&(self.series, &backup.manifest.id))
            {
                kept.keep(backup, KeepReason::Upstream);
            }
            if upstream.legibility == Legibility::InPart {
                kept.keep(backup, KeepReason::UnreadableUpstream);
            }
        }
    }

    /// While proofs are made, what nobody has tried to prove yet waits for its turn. Once they fail it ages: a prover
    /// that never works would fill the disk. Copies wait to be read back; few of them are ever restored from there.
    fn keep_owed(&self, rules: &Rules, current: &[&'a Backup], kept: &mut Kept<'a>) {
        let is_owed = |it: &&&Backup| match self.upstream {
            None => rules.asks_for_restores() && it.owes_proof(rules.verify),
            Some(_) => it.standing() == Standing::Unproven,
        };
        for backup in current.iter().filter(is_owed) {
            kept.keep(backup, KeepReason::ProofOwed);
        }
    }

    fn past(&self, own: &[&'a Backup], kept: &mut Kept<'a>) -> Vec<&'a Backup> {
        let is_future = |it: &&Backup| it.manifest.snapshot_at > self.now;
        let (future, past): (Vec<&Backup>, Vec<&Backup>) = own.iter().copied().partition(is_future);
        kept.keep_all(&future, KeepReason::Future);
        past
    }

    fn keep_ruled(&self, rules: &Rules, current: &[&'a Backup], kept: &mut Kept<'a>) {
        if generation::says_nothing(&rules.keep) {
            kept.keep_all(current, KeepReason::NoRule);
        }
        generation::keep_young(&rules.keep, current, self.now, kept);
    }

    fn verdicts(&self, kept: &Kept<'a>) -> Vec<Verdict<'a>> {
        let verdict = |backup: &&'a Backup| Verdict {
            series: self.series,
            backup,
            outcome: match kept.0.get(&backup.manifest.id) {
                Some(reasons) => Outcome::Kept(reasons.clone()),
                None => Outcome::Removed {
                    age: age(backup, self.now),
                },
            },
        };
        self.ordered.iter().rev().map(verdict).collect()
    }
}

/// Keeps what was taken from another server than the newest; gives the rest.
fn keep_other_origins<'a>(past: &[&'a Backup], kept: &mut Kept<'a>) -> Vec<&'a Backup> {
    let (current, other) = origin::split(past);
    kept.keep_all(&other, KeepReason::OtherOrigin);
    current
}

fn keep_newest<'a>(rules: &Rules, current: &[&'a Backup], kept: &mut Kept<'a>) {
    kept.keep_all(current.get(..1).unwrap_or_default(), KeepReason::Newest);
    let verified = |it: &&&Backup| it.is_restorable() && it.is_trusted();
    let counted = |it: &&&Backup| rules.is_counted(it);
    let newest = [
        current.iter().find(verified).copied(),
        current.iter().find(counted).copied(),
        // What was there before a restore is never what somebody means by the latest backup, verified or not.
        latest(current.iter().rev().copied()),
    ];
    for backup in newest.into_iter().flatten() {
        kept.keep(backup, KeepReason::NewestVerified);
    }
}

/// Keeps an acceptance while any older backup that stays would be judged otherwise without it: suspect ones would
/// hold the series again, another server's would never age. The oldest first: what stays by this may need one itself.
fn keep_speakers<'a>(own: &[&'a Backup], kept: &mut Kept<'a>) {
    for (position, speaker) in own.iter().enumerate().rev() {
        let older = own.get(position + 1..).unwrap_or_default();
        let needs_it = |it: &&Backup| !it.is_trusted() || !origin::is_same(it, speaker);
        let is_needed = older.iter().any(|it| needs_it(it) && kept.holds(it));
        if speaker.acceptance.is_some() && is_needed {
            kept.keep(speaker, KeepReason::Speaks);
        }
    }
}

pub(super) fn age(backup: &Backup, now: Timestamp) -> Duration {
    let age: TimeDelta = now.signed_duration_since(backup.manifest.snapshot_at);
    age.to_std().unwrap_or_default()
}
