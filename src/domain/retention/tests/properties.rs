//! What holds for any stock, any rules and any instant.

use proptest::prelude::*;

use super::*;
use crate::domain::backup::find_suspect;

fn any_backup() -> impl Strategy<Value = Backup> {
    let ages = prop_oneof![3 => -100_i64..20_000, 2 => 0_i64..200];
    (ages, 0..5_u8, 0..4_u8, 0..2_u8, 0..12_u8).prop_map(|(hours, proof, reason, origin, trust)| {
        let mut backup = match trust {
            0 => suspect(hours),
            1 => accepted(suspect(hours)),
            2 => accepted(unproven(hours)),
            _ => unproven(hours),
        };
        backup.proofs.clear();
        match proof {
            0 => {}
            1 => prove(&mut backup, None),
            2 => prove(&mut backup, Some(Level::Archive)),
            _ => prove(&mut backup, Some(Level::Rows)),
        }
        backup.manifest.reason = match reason {
            0 => Reason::PreMigration,
            1 => Reason::PreRestore,
            _ => Reason::Schedule,
        };
        backup.manifest.origin.database_oid = u32::from(origin);
        backup
    })
}

pub(super) fn any_keep() -> impl Strategy<Value = KeepPolicy> {
    let within = proptest::option::of(0_u64..10_000_000);
    let counts = [0_u32..4, 0..4, 0..4, 0..4, 0..4];
    (within, counts).prop_map(
        |(within, [last, daily, weekly, monthly, yearly])| KeepPolicy {
            within: within.map(Duration::from_secs),
            last,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

pub(super) fn any_rules() -> impl Strategy<Value = Rules> {
    let crons = vec!["0 2 * * *", "0 * * * *", "0 2 * * 1-5", "0 3 1 * *"];
    (
        any_keep(),
        proptest::sample::select(Level::ALL.to_vec()),
        proptest::sample::select(crons),
    )
        .prop_map(|(keep, verify, cron)| Rules {
            keep,
            verify,
            schedule: Schedule::parse(cron, Zone::UTC).unwrap(),
        })
}

/// Distinct ids, as they are in a folder.
fn distinct(mut backups: Vec<Backup>, content: &Content) -> Vec<Backup> {
    for (position, backup) in backups.iter_mut().enumerate() {
        let digits = u16::try_from(position).unwrap().to_be_bytes();
        backup.manifest.id = BackupId::build(backup.manifest.snapshot_at, digits);
        backup.manifest.series.content = content.clone();
        if let Some(acceptance) = &mut backup.acceptance {
            acceptance.id = backup.manifest.id.clone();
        }
    }
    backups
}

fn ids_left(rules: &Rules, stock: &Stock<'_>, at: Timestamp) -> BTreeSet<(Series, BackupId)> {
    let kept = plan(rules, stock, at)
        .into_iter()
        .filter(|it| !it.is_removal());
    kept.map(|it| (it.series.clone(), it.backup.manifest.id.clone()))
        .collect()
}

pub(super) fn stock<'a>(
    shelves: &'a [(Series, Vec<Backup>)],
    left: Option<&BTreeSet<(Series, BackupId)>>,
) -> Stock<'a> {
    let shelf = |(series, backups): &'a (Series, Vec<Backup>)| {
        let there = backups.iter().filter(|it| {
            left.is_none_or(|left| left.contains(&(series.clone(), it.manifest.id.clone())))
        });
        (series, there.collect())
    };
    Stock {
        series: shelves.iter().map(shelf).collect(),
        legibility: Legibility::Whole,
        upstream: None,
    }
}

/// Two databases and roles that some of their backups name.
pub(super) fn any_shelves() -> impl Strategy<Value = Vec<(Series, Vec<Backup>)>> {
    let backups =
        || proptest::collection::vec((any_backup(), proptest::option::of(0_usize..12)), 0..25);
    (
        backups(),
        backups(),
        proptest::collection::vec(any_backup(), 0..12),
    )
        .prop_map(|(app, other, roles)| {
            let roles = distinct(roles, &Content::Globals);
            let database = |name: &str, backups: Vec<(Backup, Option<usize>)>| {
                let content = Content::Database(DatabaseName::new(name));
                let named = backups.into_iter().map(|(mut backup, position)| {
                    let roles = position.and_then(|it| roles.get(it));
                    backup.manifest.globals = roles.map(|it| it.manifest.id.clone());
                    backup
                });
                (series(content.clone()), distinct(named.collect(), &content))
            };
            let (app, other) = (database("app", app), database("other", other));
            vec![app, other, (series(Content::Globals), roles)]
        })
}

fn newest(backups: &[Backup], fits: impl Fn(&Backup) -> bool) -> Option<&Backup> {
    let fitting = backups.iter().filter(|it| fits(it));
    fitting.max_by_key(|it| (it.manifest.snapshot_at, it.manifest.id.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_newest_and_the_newest_verified_stay_and_a_held_series_loses_nothing(
        shelves in any_shelves(), rules in any_rules(),
    ) {
        let left = ids_left(&rules, &stock(&shelves, None), now());
        for (series, backups) in shelves.iter().filter(|(it, _)| it.content != Content::Globals) {
            let stays = |it: &Backup| left.contains(&(series.clone(), it.manifest.id.clone()));
            let past = |it: &Backup| it.manifest.snapshot_at <= now();
            let verified = |it: &Backup| it.is_verified() && it.is_trusted();
            let must_stay = [
                newest(backups, |_| true),
                newest(backups, past),
                newest(backups, verified),
                newest(backups, |it| past(it) && verified(it)),
            ];
            prop_assert!(must_stay.into_iter().flatten().all(stays));
            prop_assert!(backups.iter().filter(|it| !past(it)).all(stays));
            let success = newest(backups, |it| past(it) && it.standing() != crate::domain::backup::Standing::Refuted);
            let fails = success.is_none_or(|it| is_behind(&rules.schedule, it.manifest.snapshot_at, now()));
            if fails || find_suspect(backups).is_some() {
                prop_assert!(backups.iter().all(stays));
            }
            for gone in backups.iter().filter(|it| !stays(it)) {
                let age = (now() - gone.manifest.snapshot_at).to_std().unwrap();
                prop_assert!(rules.keep.within.is_none_or(|within| age > within));
            }
        }
        // Nothing that stays has lost its roles.
        for (series, backups) in &shelves {
            for it in backups.iter().filter(|it| left.contains(&(series.clone(), it.manifest.id.clone()))) {
                let roles = it.manifest.globals.clone().map(|id| (self::series(Content::Globals), id));
                prop_assert!(roles.is_none_or(|roles| left.contains(&roles)));
            }
        }
    }

    #[test]
    fn planned_again_at_the_same_instant_nothing_more_goes(
        shelves in any_shelves(), rules in any_rules(), hours in -5_000_i64..5_000,
    ) {
        let at = now() + TimeDelta::hours(hours);
        let left = ids_left(&rules, &stock(&shelves, None), at);
        let again = ids_left(&rules, &stock(&shelves, Some(&left)), at);
        prop_assert_eq!(left, again);
    }

    #[test]
    fn a_kill_half_way_changes_nothing_of_what_is_decided(
        shelves in any_shelves(), rules in any_rules(), done in 0_usize..30,
    ) {
        let whole = stock(&shelves, None);
        let verdicts = plan(&rules, &whole, now());
        let key = |it: &Verdict<'_>| (it.series.clone(), it.backup.manifest.id.clone());
        let gone: BTreeSet<_> = verdicts.iter().filter(|it| it.is_removal()).take(done).map(key).collect();
        let half: BTreeSet<_> = verdicts.iter().map(key).filter(|it| !gone.contains(it)).collect();
        let after = ids_left(&rules, &stock(&shelves, Some(&half)), now());
        prop_assert_eq!(after, ids_left(&rules, &whole, now()));
    }

    #[test]
    fn no_database_looks_at_another_one(shelves in any_shelves(), rules in any_rules()) {
        let all = ids_left(&rules, &stock(&shelves, None), now());
        for alone in shelves.chunks(1).take(2) {
            let series = &alone[0].0;
            let by_itself = ids_left(&rules, &stock(alone, None), now());
            let among: BTreeSet<_> = all.iter().filter(|(it, _)| it == series).cloned().collect();
            prop_assert_eq!(by_itself, among);
        }
    }
}
