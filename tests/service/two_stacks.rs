//! Two stacks on one host: each sees its own, and nothing of the other.

use crate::harness::{SOON, Stack, StackBuilder, names, wait_until};

fn described(test: &str) -> StackBuilder {
    Stack::builder(test)
        .postgres(|it| it.environment("POSTGRES_DB", test))
        .with_ports()
}

#[test]
fn two_stacks_on_one_host_do_not_see_each_other() {
    let (left, right) = (described("larch").write(), described("rowan").write());
    for (stack, database) in [(&left, "larch"), (&right, "rowan")] {
        stack.up_database(&[(
            database,
            "CREATE TABLE t AS SELECT generate_series(1, 100) i",
        )]);
    }
    left.up();
    right.up();
    // Both wait for the host's one place for proofs, and both get it.
    drop(left.wait_for_proof("larch", "content"));
    drop(right.wait_for_proof("rowan", "content"));
    for (stack, own, other) in [(&left, "larch", &right), (&right, "rowan", &left)] {
        let foreign = if own == "larch" { "rowan" } else { "larch" };
        let databases = stack
            .control("GET", "/v1/databases", "")
            .expect("an answer");
        let all = [
            stack.stackwarden(&["status"]).stdout,
            stack.stackwarden(&["--json", "backups"]).stdout,
            stack.public("/metrics").expect("an answer").body,
            stack.public("/").expect("an answer").body,
            databases.body,
        ];
        for text in &all {
            let text = text.replace(stack.project(), "");
            assert!(
                !text.contains(foreign) && !text.contains(other.project()),
                "{own}: {text}"
            );
        }
        assert!(all.iter().all(|text| text.contains(own)));
        assert_eq!(
            names(&stack.backup_folder()),
            [".stackwarden", stack.project()]
        );
    }
    one_that_goes_down_does_not_matter_to_the_other(&left, &right);
}

fn one_that_goes_down_does_not_matter_to_the_other(left: &Stack, right: &Stack) {
    left.kill("postgres");
    wait_until("the left stack is down", SOON, || {
        let health = left.public("/health")?;
        if health.status == 503 {
            Ok(())
        } else {
            Err(health.body)
        }
    });
    let health = right.public("/health").expect("an answer");
    assert_eq!(health.status, 200, "{}", health.body);
    // A token opens its own stack only.
    let token = std::fs::read_to_string(left.backup_folder().join(".stackwarden/token"));
    let bearer = format!("Bearer {}", token.expect("the token").trim());
    let answer = right.control_with("GET", "/v1/stack", &[("Authorization", &bearer)], "");
    assert_eq!(answer.expect("an answer").status, 401);
}
