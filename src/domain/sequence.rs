//! Values of sequences, and whether a restored one lies where the dump can have read it.
//!
//! Sequences are not MVCC: the dump reads a value somewhere between one taken before it and one taken
//! after it. That interval is what is compared.

use std::collections::BTreeMap;

use super::comparison::{Compared, Difference, ObjectComparison, ObjectKind, TableComparison};

/// Whether a sequence begins anew at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// It fails at its end.
    Bounded,
    /// It begins anew, so that order says nothing.
    Cyclic,
}

/// Whether `last_value` was handed out already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// `is_called`: the next value comes after it.
    Out,
    /// The next value is it.
    NotYet,
}

/// A sequence's place at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceValue {
    /// `last_value`.
    pub last: i64,
    /// `is_called`.
    pub handed: Handed,
}

impl SequenceValue {
    /// The value handed out next, were there no bounds.
    fn next(self, increment: i64) -> i128 {
        match self.handed {
            Handed::Out => i128::from(self.last) + i128::from(increment),
            Handed::NotYet => i128::from(self.last),
        }
    }
}

/// A sequence at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceFact {
    /// `schema.sequence`, each part quoted.
    pub name: String,
    /// Its place, or why it could not be read.
    pub value: Result<SequenceValue, String>,
    /// `seqincrement`; never 0.
    pub increment: i64,
    /// `seqcycle`.
    pub wrapping: Wrapping,
    /// The extension it belongs to.
    pub extension: Option<String>,
}

/// Compares restored sequences with the interval of the dump.
///
/// What cannot be judged (a cycle, a value set back in mid-dump, one of an extension) is named and no
/// difference. Sequences that exist after the dump only are none of its matter.
pub fn compare_sequences(
    before: &[SequenceFact],
    after: &[SequenceFact],
    restored: &[SequenceFact],
) -> TableComparison {
    let after = by_name(after);
    let restored = by_name(restored);
    let mut outcome = TableComparison::default();
    for fact in before {
        let name = fact.name.as_str();
        let judged = judge(fact, after.get(name).copied(), restored.get(name).copied());
        let (compared, why) = match judged {
            Judgement::Equal => (Compared::Digest, None),
            Judgement::Unknown(why) => (Compared::Definition, Some(why)),
            Judgement::Different(what) => {
                if let Some(extension) = &fact.extension {
                    (
                        Compared::Definition,
                        Some(format!("belongs to extension {extension}: {what}")),
                    )
                } else {
                    outcome.differences.push(difference(name, what));
                    (Compared::Digest, None)
                }
            }
        };
        outcome.compared.push(ObjectComparison {
            kind: ObjectKind::Sequence,
            name: fact.name.clone(),
            compared,
            why,
        });
    }
    outcome
}

fn by_name(facts: &[SequenceFact]) -> BTreeMap<&str, &SequenceFact> {
    facts
        .iter()
        .map(|fact| (fact.name.as_str(), fact))
        .collect()
}

fn difference(name: &str, what: String) -> Difference {
    Difference {
        kind: ObjectKind::Sequence,
        name: name.to_owned(),
        what,
    }
}

enum Judgement {
    Equal,
    Different(String),
    Unknown(String),
}

fn judge(
    before: &SequenceFact,
    after: Option<&SequenceFact>,
    restored: Option<&SequenceFact>,
) -> Judgement {
    let Some(restored) = restored else {
        return Judgement::Different("is missing in the restored copy".to_owned());
    };
    let Some(after) = after else {
        return Judgement::Unknown("was dropped while the dump ran".to_owned());
    };
    let (first, last, found) = match (&before.value, &after.value, &restored.value) {
        (Ok(first), Ok(last), Ok(found)) => (*first, *last, *found),
        (Err(why), _, _) | (_, Err(why), _) | (_, _, Err(why)) => {
            return Judgement::Unknown(why.clone());
        }
    };
    if before.increment != after.increment {
        return Judgement::Unknown("was altered while the dump ran".to_owned());
    }
    if first != last && before.wrapping == Wrapping::Cyclic {
        return Judgement::Unknown("it cycles and moved while the dump ran".to_owned());
    }
    let step = before.increment;
    let (low, high) = (first.next(step), last.next(step));
    // Downwards, the later value is the lower one.
    let (low, high) = if step < 0 { (high, low) } else { (low, high) };
    if low > high {
        return Judgement::Unknown("it was set back while the dump ran".to_owned());
    }
    let next = found.next(restored.increment);
    if (low..=high).contains(&next) {
        Judgement::Equal
    } else if low == high {
        Judgement::Different(format!("goes on at {next}, the database at {low}"))
    } else {
        Judgement::Different(format!(
            "goes on at {next}, the database between {low} and {high}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(last: i64, increment: i64) -> SequenceFact {
        SequenceFact {
            name: "public.s".to_owned(),
            value: Ok(SequenceValue {
                last,
                handed: Handed::Out,
            }),
            increment,
            wrapping: Wrapping::Bounded,
            extension: None,
        }
    }

    fn differences(before: SequenceFact, after: SequenceFact, restored: SequenceFact) -> usize {
        compare_sequences(&[before], &[after], &[restored])
            .differences
            .len()
    }

    #[test]
    fn a_value_within_the_interval_is_equal_in_either_direction() {
        assert_eq!(differences(fact(5, 1), fact(9, 1), fact(7, 1)), 0);
        assert_eq!(differences(fact(-5, -1), fact(-9, -1), fact(-7, -1)), 0);
    }

    #[test]
    fn a_value_outside_the_interval_is_a_difference_in_either_direction() {
        assert_eq!(differences(fact(5, 1), fact(9, 1), fact(4, 1)), 1);
        assert_eq!(differences(fact(5, 1), fact(9, 1), fact(10, 1)), 1);
        assert_eq!(differences(fact(-5, -1), fact(-9, -1), fact(-4, -1)), 1);
    }

    #[test]
    fn a_sequence_not_called_yet_differs_from_one_that_was() {
        let mut fresh = fact(1, 1);
        fresh.value = Ok(SequenceValue {
            last: 1,
            handed: Handed::NotYet,
        });
        assert_eq!(differences(fact(1, 1), fact(1, 1), fresh.clone()), 1);
        assert_eq!(differences(fresh.clone(), fact(1, 1), fresh), 0);
    }

    #[test]
    fn what_cannot_be_judged_is_named_and_no_difference() {
        let mut cyclic = fact(1, 1);
        cyclic.wrapping = Wrapping::Cyclic;
        let mut unreadable = fact(1, 1);
        unreadable.value = Err("permission denied".to_owned());
        for (before, after, restored) in [
            (cyclic, fact(9, 1), fact(3, 1)),
            (fact(9, 1), fact(1, 1), fact(9, 1)),
            (unreadable, fact(1, 1), fact(1, 1)),
        ] {
            let outcome = compare_sequences(&[before], &[after], &[restored]);
            assert!(outcome.differences.is_empty());
            assert!(outcome.compared[0].why.is_some());
        }
    }

    #[test]
    fn the_ends_of_the_number_range_do_not_overflow() {
        let end = fact(i64::MAX, 1);
        assert_eq!(differences(end.clone(), end.clone(), end), 0);
    }
}
