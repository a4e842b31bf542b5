//! Whole histories: backups that are alike or suspect, failures, proofs, other servers, acceptances, clocks that jump,
//! labels that change, retention that is killed half way. Once there was a verified backup, there is one.
//!
//! Left out is the one fault that nobody can promise anything about: bytes that rot after they were proven. Bytes that
//! were wrong when they were written are in it.

use proptest::prelude::*;

use super::properties::any_keep;
use super::*;
use crate::domain::schedule::due::{Due, History, is_due, newest_success};

/// What can happen to a stack.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes.
    Wait { hours: i64 },
    /// The host's clock is wrong from now on, or right again.
    SetClock { hours: i64 },
    /// A backup succeeds, with roles of its own or those of the last run.
    BackUp {
        reason: Reason,
        roles: Roles,
        looks: Looks,
    },
    /// Somebody says of the newest suspect backup that it is as it should be.
    Accept,
    /// A backup fails: the scheduler knows, the folder does not.
    Fail,
    /// The newest backup that owes a proof gets one.
    Prove { verdict: Verdicts },
    /// The database stands on this server from now on: an empty volume, or the old one again.
    Move { server: u32 },
    /// Retention runs by these rules and is killed after so many removals.
    Prune {
        policy: KeepPolicy,
        killed_after: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Roles {
    Changed,
    Unchanged,
    Failed,
}

/// Whether a backup looks like its predecessor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Looks {
    Alike,
    Suspect,
}

#[derive(Debug, Clone, Copy)]
enum Verdicts {
    Proven(Level),
    Refuted,
    CouldNotBeMade,
}

#[derive(Debug, Default)]
struct Folder {
    databases: Vec<Backup>,
    globals: Vec<Backup>,
    made: i64,
    hours: i64,
    skew: i64,
    server: u32,
    last_attempt: Option<Timestamp>,
    failures: u32,
}

impl Folder {
    fn now(&self) -> Timestamp {
        now() + TimeDelta::hours(self.hours + self.skew)
    }

    /// A backup of this very moment; ids never repeat, since they have a random part.
    fn take(&mut self, reason: Reason) -> Backup {
        self.made += 1;
        let mut taken = unproven(0);
        let at = self.now() + TimeDelta::seconds(self.made);
        taken.manifest.id = BackupId::build(at, [0, 0]);
        taken.manifest.snapshot_at = at;
        taken.manifest.published_at = at;
        taken.manifest.reason = reason;
        taken.manifest.origin.system_identifier = self.server.to_string();
        taken
    }

    fn back_up(&mut self, reason: Reason, roles: Roles, looks: Looks) {
        self.last_attempt = Some(self.now());
        self.failures = 0;
        let mut taken = self.take(reason);
        let of_server = |it: &&Backup| it.manifest.origin == taken.manifest.origin;
        let known = self.globals.iter().rfind(of_server);
        let known = known.map(|it| it.manifest.id.clone());
        taken.manifest.globals = match (roles, known) {
            (Roles::Failed, _) => None,
            (Roles::Unchanged, Some(known)) => Some(known),
            (Roles::Unchanged | Roles::Changed, _) => {
                let mut globals = self.take(reason);
                globals.manifest.series.content = Content::Globals;
                let id = globals.manifest.id.clone();
                self.globals.push(globals);
                Some(id)
            }
        };
        if looks == Looks::Suspect {
            taken.manifest.suspicion = suspect(0).manifest.suspicion;
        }
        self.databases.push(taken);
    }

    fn accept(&mut self) {
        if let Some(backup) = self.databases.iter_mut().rfind(|it| !it.is_trusted()) {
            *backup = accepted(backup.clone());
        }
    }

    fn prove(&mut self, verdict: Verdicts) {
        let mut owing = self.databases.iter_mut();
        let Some(backup) = owing.rfind(|it| it.owes_proof(Level::Content)) else {
            return;
        };
        // What was proven once does not turn out wrong later: that would be rot.
        match verdict {
            Verdicts::Refuted if !backup.is_verified() => prove(backup, None),
            Verdicts::Proven(level) => prove(backup, Some(level)),
            Verdicts::Refuted | Verdicts::CouldNotBeMade => {}
        }
    }

    /// As `job::prune` does it: one listing, everything judged by it, removed one by one, and only behind a success.
    fn prune(&mut self, policy: &KeepPolicy, killed_after: usize) {
        if self.failures > 0 {
            return;
        }
        let now = self.now();
        let of_database = series(Content::Database(DatabaseName::new("app")));
        let of_roles = series(Content::Globals);
        let stock = Stock {
            series: BTreeMap::from([
                (&of_database, self.databases.iter().collect()),
                (&of_roles, self.globals.iter().collect()),
            ]),
            legibility: Legibility::Whole,
            upstream: None,
        };
        let condemned: Vec<(Series, BackupId)> = plan(&rules(policy), &stock, now)
            .into_iter()
            .filter(Verdict::is_removal)
            .map(|it| (it.series.clone(), it.backup.manifest.id.clone()))
            .take(killed_after)
            .collect();
        let stays = |it: &Backup| {
            let key = (it.manifest.series.clone(), it.manifest.id.clone());
            !condemned.contains(&key)
        };
        self.databases.retain(stays);
        self.globals.retain(stays);
    }

    /// Servers of which a verified backup is there, with the roles that it restores on top of. One taken before a
    /// restore does not count: it is no candidate when somebody wants the latest.
    fn safe_servers(&self) -> BTreeSet<String> {
        let has_roles = |it: &Backup| {
            let named = it.manifest.globals.as_ref();
            named.is_none_or(|id| self.globals.iter().any(|it| &it.manifest.id == id))
        };
        let safe = self.databases.iter().filter(|it| {
            it.is_verified()
                && it.is_trusted()
                && it.manifest.reason != Reason::PreRestore
                && has_roles(it)
        });
        safe.map(|it| it.manifest.origin.system_identifier.clone())
            .collect()
    }

    /// When the nightly schedule asks again, as `trigger::schedule` finds out.
    fn next_due(&self) -> Timestamp {
        let nightly = Schedule::parse("0 2 * * *", Zone::UTC).unwrap();
        let taken = self.databases.iter();
        let taken = taken.filter(|it| it.manifest.reason != Reason::PreRestore);
        let history = History {
            last_success: newest_success(taken.map(|it| it.manifest.snapshot_at), self.now()),
            last_attempt: self.last_attempt,
            failures: self.failures,
        };
        match is_due(&nightly, &history, self.now()) {
            Due::Now(_) => self.now(),
            Due::Later(at) => at,
        }
    }

    fn live(&mut self, step: &Step) {
        match step {
            Step::Wait { hours } => self.hours += hours,
            Step::SetClock { hours } => self.skew = *hours,
            Step::BackUp {
                reason,
                roles,
                looks,
            } => self.back_up(*reason, *roles, *looks),
            Step::Accept => self.accept(),
            Step::Fail => {
                self.last_attempt = Some(self.now());
                self.failures += 1;
            }
            Step::Prove { verdict } => self.prove(*verdict),
            Step::Move { server } => self.server = *server,
            Step::Prune {
                policy,
                killed_after,
            } => self.prune(policy, *killed_after),
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let roles = prop_oneof![
        Just(Roles::Unchanged),
        Just(Roles::Changed),
        Just(Roles::Failed)
    ];
    let verdict = prop_oneof![
        4 => proptest::sample::select(Level::ALL.to_vec()).prop_map(Verdicts::Proven),
        1 => Just(Verdicts::Refuted),
        1 => Just(Verdicts::CouldNotBeMade),
    ];
    let looks = prop_oneof![5 => Just(Looks::Alike), 1 => Just(Looks::Suspect)];
    let killed = prop_oneof![2 => Just(usize::MAX), 1 => 0_usize..4];
    prop_oneof![
        4 => (1_i64..2_000).prop_map(|hours| Step::Wait { hours }),
        1 => (-30_000_i64..30_000).prop_map(|hours| Step::SetClock { hours }),
        1 => Just(Step::SetClock { hours: 0 }),
        6 => (proptest::sample::select(Reason::ALL.to_vec()), roles, looks)
            .prop_map(|(reason, roles, looks)| Step::BackUp { reason, roles, looks }),
        1 => Just(Step::Accept),
        1 => Just(Step::Fail),
        4 => verdict.prop_map(|verdict| Step::Prove { verdict }),
        1 => (0_u32..3).prop_map(|server| Step::Move { server }),
        4 => (any_keep(), killed).prop_map(|(policy, killed_after)| Step::Prune { policy, killed_after }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_history_leaves_zero_verified_backups_once_there_was_one(
        steps in proptest::collection::vec(any_step(), 1..80),
    ) {
        let mut folder = Folder::default();
        let mut safe = BTreeSet::new();
        let mut is_accepted = false;
        for (position, step) in steps.iter().enumerate() {
            folder.live(step);
            let now_safe = folder.safe_servers();
            // Who accepts another server in the old one's place says that the old one's backups may age: from then on
            // there has to be one of any server. The accepted backup itself may age and go, and its acceptance with it.
            is_accepted |= folder.databases.iter().any(|it| it.acceptance.is_some());
            let holds = if is_accepted { safe.is_empty() || !now_safe.is_empty() } else { now_safe.is_superset(&safe) };
            prop_assert!(
                holds,
                "step {position} took the last verified backup of {:?} away", safe.difference(&now_safe)
            );
            safe = now_safe;
        }
        // Nor does any history stop backups: with the right clock the next one is due within a day.
        folder.skew = 0;
        prop_assert!(folder.next_due() <= folder.now() + TimeDelta::hours(24));
    }
}
