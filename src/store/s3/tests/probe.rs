//! What is found out about a store at the start, and with which key nothing is sent to it.

use chrono::TimeDelta;

use super::*;

#[tokio::test]
async fn a_strict_server_does_everything_and_is_left_clean() {
    let stage = Stage::set();
    let now = Timestamp::from(std::time::UNIX_EPOCH + stage_age());
    let abilities = stage.store.begin_probe().run(now).await.unwrap();
    assert_eq!(abilities.removal, Ability::Offered);
    assert_eq!(abilities.multipart, Ability::Offered);
    assert_eq!(abilities.put_once, Ability::Offered);
    assert_eq!(abilities.consequences(), Vec::<String>::new());
    assert_eq!(stage.server.objects(), Vec::<String>::new());
}

/// It leaves one object, however often it is tried, and its age is no skew of the clocks once it may go on.
#[tokio::test]
async fn a_key_that_may_only_write_is_told_and_leaves_one_object() {
    let stage = Stage::set();
    let now = Timestamp::from(std::time::UNIX_EPOCH + stage_age());
    let mut probe = stage.store.begin_probe();
    for later in [0, 10, 20] {
        stage
            .wire
            .plan(Plan::From(if later == 0 { 2 } else { 1 }, Fault::Denied));
        let now = now + TimeDelta::minutes(later);
        let error = probe.run(now).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("write but not read or list") && error.kind() == FailureKind::Permanent,
            "{said}"
        );
        assert_eq!(stage.server.objects().len(), 1);
    }
    stage.wire.plan(Plan::Sound);
    let late = now + TimeDelta::minutes(30);
    let abilities = probe.run(late).await.unwrap();
    assert_eq!(abilities.consequences(), Vec::<String>::new());
    assert_eq!(stage.server.objects(), Vec::<String>::new());
    // Clocks that are apart are told.
    let early = now - TimeDelta::minutes(5);
    let said = stage
        .store
        .begin_probe()
        .run(early)
        .await
        .unwrap()
        .consequences();
    assert!(said[0].contains("set the host's clock"), "{said:?}");
}

/// What could neither be found nor removed again is not sent.
#[tokio::test]
async fn nothing_is_uploaded_with_a_key_that_may_not_list() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(9 * MIB);
    stage.wire.plan(Plan::Once(1, Fault::Denied));
    let refused = back_up(&stage.store, &path, &manifest).await;
    assert!(
        matches!(refused, Err(S3Error::Denied { doing: "list", .. })),
        "{refused:?}"
    );
    assert_eq!(stage.wire.count(), 1);
    assert_eq!(stage.server.unfinished_parts(), 0);
}
