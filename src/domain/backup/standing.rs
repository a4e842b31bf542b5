//! A backup with its proofs, and how it stands after them.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;

use super::manifest::Manifest;
use super::suspicion::{Acceptance, Suspicion};
use super::word::{Level, Reason, Recipient};
use crate::domain::comparison::{Difference, ObjectComparison};
use crate::domain::id::BackupId;
use crate::domain::room::ProofRoom;
use crate::domain::unit::{ByteCount, Timestamp};

/// How long a proof that lacked room waits at least before the next try: each try writes a proof file.
const ROOM_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// The outcome of one verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Which backup.
    pub id: BackupId,
    /// From which destination: `disk` or `s3`.
    pub destination: String,
    /// When it ended.
    pub at: Timestamp,
    /// How long the whole proof took.
    pub took: Duration,
    /// How long the restore alone took: the measured RTO of the database.
    pub restore_took: Option<Duration>,
    /// The writer's version.
    pub writer_version: String,
    /// The level reached, or `None` when the stored bytes are wrong.
    pub level: Option<Level>,
    /// Why the level is lower than asked for, when it is.
    pub reason: Option<String>,
    /// So much has to be free before it can be proven any further, where room was what it lacked.
    pub awaits_room: Option<ByteCount>,
    /// The public halves of the keys that did not open it, where being opened was what it lacked; none of them where there
    /// was no key at all.
    pub awaits_key: Option<BTreeSet<Recipient>>,
    /// What was compared, object by object.
    pub compared: Vec<ObjectComparison>,
    /// Differences; empty when proven.
    pub differences: Vec<Difference>,
}

impl Proof {
    /// Whether the backup is as good as was found out: no difference and some level.
    pub fn is_good(&self) -> bool {
        self.level.is_some() && self.differences.is_empty()
    }

    /// Whether it says no more than that the stored bytes are those that were written.
    pub fn is_reread(&self) -> bool {
        self.is_good() && self.level <= Some(Level::Archive) && self.reason.is_none()
    }
}

/// A backup as it stands in a destination: manifest plus all proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The manifest.
    pub manifest: Manifest,
    /// All proofs from this destination, oldest first.
    pub proofs: Vec<Proof>,
    /// Proofs from other destinations that lie beside it here: they say what the same bytes hold, not that these are the
    /// same bytes.
    pub elsewhere: Vec<Proof>,
    /// That somebody accepted what makes it suspect.
    pub acceptance: Option<Acceptance>,
}

/// What proofs are made with.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// The room for them on disk, when it is known.
    pub room: Option<ProofRoom>,
    /// The public halves of the keys that open what is sealed.
    pub keys: &'a BTreeSet<Recipient>,
}

/// How a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Complete and archived, no restore tried yet.
    Unproven,
    /// The newest proof reached this level.
    Proven(Level),
    /// The newest proof found a difference or wrong bytes.
    Refuted,
}

impl AsRef<Self> for Backup {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Backup {
    /// What the proofs since the last refutation reached; without one it is unproven.
    ///
    /// A later proof asked for at a lower level takes nothing away; one that found a difference does, until
    /// a newer one restores it and finds none: that the bytes are the same cannot put right what came out of them.
    pub fn standing(&self) -> Standing {
        let refuted = self.proofs.iter().rposition(|proof| !proof.is_good());
        let since = refuted.map_or(0, |position| position + 1);
        let reached = self
            .proofs
            .iter()
            .skip(since)
            .filter_map(|proof| proof.level)
            .filter(|level| refuted.is_none() || *level >= Level::Restore)
            .max();
        match (reached, refuted) {
            (Some(level), _) => Standing::Proven(level),
            (None, Some(_)) => Standing::Refuted,
            (None, None) => Standing::Unproven,
        }
    }

    /// The newest proof that was more than reading the bytes again.
    pub fn newest_whole_proof(&self) -> Option<&Proof> {
        self.proofs.iter().rfind(|proof| !proof.is_reread())
    }

    /// What refuted it, while it is.
    pub fn refutation(&self) -> Option<&Proof> {
        let found = self.proofs.iter().rfind(|proof| !proof.is_good());
        found.filter(|_| self.standing() == Standing::Refuted)
    }

    /// What refuted it although it had been found good before: what is stored has changed.
    pub fn decay(&self) -> Option<&Proof> {
        let refutation = self.refutation()?;
        let was_good = |proof: &Proof| proof.is_good() && proof.at < refutation.at;
        self.proofs.iter().any(was_good).then_some(refutation)
    }

    /// Whether a proof at this level is still owed: never tried so far, and nobody said why it cannot be.
    pub fn owes_proof(&self, asked: Level) -> bool {
        let newest = self.newest_whole_proof();
        let stepped_down = newest.is_some_and(|proof| proof.reason.is_some());
        match self.standing() {
            Standing::Unproven => true,
            Standing::Proven(level) => level < asked && !stepped_down,
            Standing::Refuted => false,
        }
    }

    /// What the newest proof lacked, where all that keeps the backup from being restored is room.
    pub fn awaits_room(&self) -> Option<ByteCount> {
        let newest = self.newest_whole_proof();
        let newest = newest.filter(|_| !self.is_verified())?;
        newest.awaits_room
    }

    /// Whether to prove it now: it is owed, or what its last proof lacked is there, not only for a moment.
    pub fn is_due_for_proof(&self, asked: Level, means: &Means<'_>, now: Timestamp) -> bool {
        self.owes_proof(asked)
            || self.has_room_again(means.room, now)
            || self.has_key_now(means.keys)
    }

    /// Whether a key is there that opens it and was not when it was last tried.
    fn has_key_now(&self, keys: &BTreeSet<Recipient>) -> bool {
        let newest = self.newest_whole_proof().filter(|_| !self.is_verified());
        let tried = newest.and_then(|proof| proof.awaits_key.as_ref());
        tried.is_some_and(|tried| {
            let seal = self.manifest.seal.as_ref();
            let mut recipients = seal.into_iter().flat_map(|seal| &seal.recipients);
            recipients.any(|it| keys.contains(it) && !tried.contains(it))
        })
    }

    fn has_room_again(&self, room: Option<ProofRoom>, now: Timestamp) -> bool {
        let newest = self.newest_whole_proof();
        let newest = newest.filter(|_| self.awaits_room().is_some());
        newest.is_some_and(|newest| {
            now >= newest.at + ROOM_PAUSE && room.is_some_and(|room| room.is_ample(&self.manifest))
        })
    }

    /// The level that may be shown: the manifest's own until a proof says more or less.
    pub fn level(&self) -> Option<Level> {
        match self.standing() {
            Standing::Unproven => Some(self.manifest.level),
            Standing::Proven(level) => Some(level),
            Standing::Refuted => None,
        }
    }

    /// Verified means: restored (level `restore` or better) and equal.
    pub fn is_verified(&self) -> bool {
        matches!(self.standing(), Standing::Proven(level) if level >= Level::Restore)
    }

    /// Whether what it holds was restored and found equal: from here, or from elsewhere while the bytes here were read
    /// back and are the same.
    pub fn is_restorable(&self) -> bool {
        let is_same = matches!(self.standing(), Standing::Proven(level) if level >= Level::Archive);
        let is_whole = |it: &Proof| it.is_good() && it.level >= Some(Level::Restore);
        self.is_verified() || (is_same && self.elsewhere.iter().any(is_whole))
    }

    /// Why it is suspect; nothing once somebody has accepted it.
    pub fn suspicion(&self) -> Option<&Suspicion> {
        let suspicion = self.manifest.suspicion.as_ref();
        suspicion.filter(|_| self.acceptance.is_none())
    }

    /// Whether it is trusted to stand for its database.
    pub fn is_trusted(&self) -> bool {
        self.suspicion().is_none()
    }
}

/// What `latest` means: of one series, oldest first, the newest that is verified, trusted and not one of
/// those that a restore takes before it overwrites.
pub fn latest<'a>(
    backups: impl IntoIterator<Item = &'a Backup, IntoIter: DoubleEndedIterator>,
) -> Option<&'a Backup> {
    let fits = |backup: &&Backup| {
        backup.is_restorable()
            && backup.is_trusted()
            && backup.manifest.reason != Reason::PreRestore
    };
    backups.into_iter().rev().find(fits)
}

/// The newest suspect backup of a series about which nobody has decided: neither is it accepted, nor any that was
/// taken after it. While there is one, retention removes nothing of the series, whatever later backups look like:
/// a person decides, not the next backup.
pub fn find_suspect<'a>(backups: impl IntoIterator<Item = &'a Backup>) -> Option<&'a Backup> {
    let place = |it: &&Backup| (it.manifest.snapshot_at, it.manifest.id.clone());
    let mut newest_first: Vec<&Backup> = backups.into_iter().collect();
    newest_first.sort_by_key(|it| std::cmp::Reverse(place(it)));
    let open = newest_first
        .into_iter()
        .take_while(|it| it.acceptance.is_none());
    open.into_iter().find(|it| !it.is_trusted())
}

#[cfg(test)]
pub(super) mod tests;
