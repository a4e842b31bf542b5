//! People are told of a gate that stays closed before any migration begins: nothing else would tell, but a stack that is down.

use crate::alarms::{described, make_certificates, wait_for_messages};
use crate::gate::{assert_closed, assert_open};

/// A service that waits for the gate, with these labels.
fn waiting(labels: &str) -> String {
    format!(
        "image: python:3.13-slim
command: [sleep, infinity]
stop_grace_period: 0s
depends_on: {{ stackwarden-gate: {{ condition: service_completed_successfully }} }}
labels: {{ {labels} }}"
    )
}

#[test]
fn a_gate_that_stays_closed_before_any_migration_is_told_and_its_opening_too() {
    let mut stack = described()
        .gate(|it| it)
        .service("alpha", &waiting(""))
        .service("beta", &waiting(""))
        .write();
    make_certificates(&stack.folder().join("certs"));
    assert_open(&stack);
    let after = |name: &str| {
        let labels = format!("stackwarden.migrate: 'true', stackwarden.migrate.after: {name}");
        waiting(&labels)
    };
    stack.change(|it| {
        it.service("alpha", &after("beta"))
            .service("beta", &after("alpha"))
    });
    drop(assert_closed(&stack, "2"));
    let told = wait_for_messages(&stack, 1);
    for part in [
        "<b>Gate</b> fails since 20",
        "migrations wait for each other: alpha -",
        "docker compose -p",
    ] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    // Closed once more for another reason: known already.
    stack.change(|it| it.service("beta", &waiting("")));
    drop(assert_closed(&stack, "2"));
    stack.change(|it| it.service("alpha", &waiting("")));
    assert_open(&stack);
    let told = wait_for_messages(&stack, 2);
    assert!(told[1].contains("<b>Gate</b> is well again"), "{}", told[1]);
}
