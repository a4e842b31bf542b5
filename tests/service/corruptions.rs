//! A sample of what tests/bench/corruptions.py does a thousand times: stored bytes corrupted at random are refuted.

use crate::harness::{Artefact, Stack};

/// The same twenty-four corruptions in every run.
const SEED: u64 = 20_260_101;
const EACH: usize = 6;
const KINDS: [&str; 4] = ["flip", "truncate", "splice", "zero"];

const TABLES: &str = "
CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance numeric NOT NULL);
INSERT INTO account SELECT i, 'owner ' || i, i * 7919 % 100000 FROM generate_series(1, 4000) i;
CREATE TABLE noise AS SELECT i, sha512(i::text::bytea) AS body FROM generate_series(1, 1500) i;
";

/// Numbers that look random and are always the same (Knuth's MMIX generator; its high half is good enough for places).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

#[test]
fn stored_bytes_corrupted_at_random_are_refuted_and_the_right_ones_proven_again() {
    let stack = Stack::builder("corruptions").write();
    stack.up_database(&[("app", TABLES)]);
    stack.up();
    drop(stack.wait_for_proof("app", "content"));
    let artefact = stack.artefacts("app").pop().expect("a backup");
    let original = std::fs::read(&artefact.stored).expect("read the dump");
    let mut chance = Chance(SEED);
    for number in 0..EACH * KINDS.len() {
        let kind = KINDS[number % KINDS.len()];
        let bytes = corrupt(kind, &original, &mut chance);
        std::fs::write(&artefact.stored, bytes).expect("write the dump");
        refuted(&stack, &artefact, &format!("{kind} {number}"));
    }
    std::fs::write(&artefact.stored, &original).expect("write the dump");
    drop(stack.stackwarden(&["verify", &artefact.id]).ok());
    let listed = stack.wait_for_verdict("app");
    assert_eq!(listed["standing"], "proven", "{listed:#}");
}

#[track_caller]
fn refuted(stack: &Stack, artefact: &Artefact, case: &str) {
    let ran = stack.stackwarden(&["verify", &artefact.id]).ended_with(1);
    assert!(
        ran.said().contains("SHA-256 differs"),
        "{case}: {}",
        ran.said()
    );
}

/// Bytes that differ from the original.
fn corrupt(kind: &str, original: &[u8], chance: &mut Chance) -> Vec<u8> {
    loop {
        let mut bytes = original.to_vec();
        let at = chance.below(bytes.len());
        let length = (16 << chance.below(9)).min(bytes.len() - at);
        match kind {
            "flip" => bytes[at] ^= 1 << chance.below(8),
            "truncate" => bytes.truncate(at),
            "zero" => bytes[at..at + length].fill(0),
            _ => {
                let source = chance.below(bytes.len() - length + 1);
                bytes.copy_within(source..source + length, at);
            }
        }
        if bytes != original {
            return bytes;
        }
    }
}
