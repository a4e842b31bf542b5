mod probe;

use std::time::Duration;

use super::fixture::server::BUCKET;
use super::fixture::wire::{Fault, Plan};
use super::fixture::{Stage, access, access as access_of, series, store};
use super::*;
use crate::domain::backup::{Backup, Level};
use crate::domain::bucket::Ability;
use crate::domain::database::secret::Secret;
use crate::domain::failure::FailureKind;
use crate::domain::unit::{ByteCount, Timestamp};
use crate::store::staged::{Ownership, StagedFile};

const MIB: u64 = 1 << 20;

fn aim(store: &S3Store, manifest: &Manifest) -> Aim {
    Aim {
        key: store.key_of(manifest),
        expected: Some(manifest.stored_size),
        standstill: Duration::from_secs(5),
    }
}

/// From the finished file to the manifest.
async fn back_up(store: &S3Store, path: &Path, manifest: &Manifest) -> Result<(), S3Error> {
    let mut upload = store.upload(aim(store, manifest), Source::finished(path)?);
    if let Err(error) = upload.send().await {
        upload.abort().await;
        return Err(error);
    }
    upload.complete().await?;
    store.publish(manifest).await
}

async fn listed(store: &S3Store) -> Vec<Backup> {
    let listing = store.list().await.unwrap();
    assert_eq!(listing.problems, Vec::<String>::new());
    listing.series.into_values().flatten().collect()
}

/// Today, by the clock of the store.
fn stage_age() -> Duration {
    std::fs::metadata("/proc/self")
        .unwrap()
        .modified()
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
}

#[tokio::test]
async fn what_was_uploaded_in_parts_is_listed_read_back_and_removed() {
    let stage = Stage::set();
    let (store, server) = (&stage.store, &stage.server);
    for size in [3, 8 * MIB, 20 * MIB + 1] {
        let (path, manifest) = stage.stored(size);
        back_up(store, &path, &manifest).await.unwrap();
        let object = server.bucket.join(store.key_of(&manifest));
        assert_eq!(std::fs::metadata(object).unwrap().len(), size);
        let there = listed(store).await;
        assert_eq!(there.len(), 1);
        // Nobody has read it back from there yet.
        assert_eq!(there[0].level(), Some(Level::Stream));
        assert_eq!(there[0].manifest.stored_sha256, manifest.stored_sha256);
        let read = store.open(&store.key_of(&manifest)).await.unwrap();
        assert_eq!(read.finish().await.unwrap(), manifest.stored_sha256);
        let full = store.find(&series(), &manifest.id).await.unwrap();
        assert_eq!(full.unwrap().id, manifest.id);
        store.remove(&manifest).await.unwrap();
        assert_eq!(server.objects(), Vec::<String>::new());
        assert!(listed(store).await.is_empty());
    }
}

#[tokio::test]
async fn an_upload_follows_a_file_that_grows_and_shows_nothing_before_its_end() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(20 * MIB);
    let ownership = Ownership {
        user: rustix::process::getuid().as_raw(),
        group: rustix::process::getgid().as_raw(),
    };
    let target = stage.folder.path().join("grown");
    let mut staged = StagedFile::create(target, ownership).unwrap();
    let source = Source::follow(&staged).unwrap();
    let mut upload = stage.store.upload(aim(&stage.store, &manifest), source);
    let bytes = std::fs::read(path).unwrap();
    let grow = async {
        for chunk in bytes.chunks(64 << 10) {
            staged
                .write(bytes::Bytes::copy_from_slice(chunk))
                .await
                .unwrap();
        }
        // Both whole parts are there before the file is finished.
        let mut waited = 0;
        while stage.server.unfinished_parts() < 2 {
            assert!(waited < 1_000, "no part came");
            tokio::time::sleep(Duration::from_millis(10)).await;
            waited += 1;
        }
        assert_eq!(stage.server.objects(), Vec::<String>::new());
        staged.finish().await.unwrap()
    };
    let (stored, sent) = tokio::join!(grow, upload.send());
    sent.unwrap();
    assert_eq!(stored.sha256, manifest.stored_sha256);
    assert_eq!(stage.server.objects(), Vec::<String>::new());
    upload.complete().await.unwrap();
    assert!(listed(&stage.store).await.is_empty());
    let read = stage
        .store
        .open(&stage.store.key_of(&manifest))
        .await
        .unwrap();
    assert_eq!(read.finish().await.unwrap(), manifest.stored_sha256);
}

#[tokio::test]
async fn an_upload_of_a_dump_that_was_given_up_ends_and_is_removed() {
    let stage = Stage::set();
    let ownership = Ownership {
        user: rustix::process::getuid().as_raw(),
        group: rustix::process::getgid().as_raw(),
    };
    let target = stage.folder.path().join("given-up");
    let mut staged = StagedFile::create(target, ownership).unwrap();
    let source = Source::follow(&staged).unwrap();
    let (_, manifest) = stage.stored(1);
    let mut upload = stage.store.upload(aim(&stage.store, &manifest), source);
    let part = bytes::Bytes::from(vec![7; usize::try_from(9 * MIB).unwrap()]);
    staged.write(part).await.unwrap();
    let give_up = async {
        let mut waited = 0;
        while stage.server.unfinished_parts() < 1 {
            assert!(waited < 1_000, "no part came");
            tokio::time::sleep(Duration::from_millis(10)).await;
            waited += 1;
        }
        drop(staged);
    };
    let (sent, ()) = tokio::join!(upload.send(), give_up);
    assert!(matches!(sent, Err(S3Error::GivenUp)), "{sent:?}");
    upload.abort().await;
    assert_eq!(stage.server.unfinished_parts(), 0);
}

#[tokio::test]
async fn a_part_too_large_for_memory_is_sent_from_the_file() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(6 * MIB);
    let store = &stage.store;
    let key = store.key_of(&manifest);
    let created = store.client().create_multipart_upload();
    let created = created.bucket(BUCKET).key(&key).send().await.unwrap();
    let part = send::Part {
        key: key.clone(),
        upload: created.upload_id.clone().unwrap(),
        number: 1,
        piece: source::Piece {
            offset: 0,
            length: 6 * MIB,
        },
        is_in_memory: false,
    };
    let file = Arc::new(std::fs::File::open(&path).unwrap());
    // The first try is refused, so that it is sent again.
    stage.wire.plan(Plan::Once(1, Fault::Trouble));
    let part = send::send_part(store.clone(), part, file, path)
        .await
        .unwrap();
    let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder()
        .parts(part)
        .build();
    let join = store.client().complete_multipart_upload().bucket(BUCKET);
    let join = join.key(&key).set_upload_id(created.upload_id);
    join.multipart_upload(parts).send().await.unwrap();
    let read = store.open(&key).await.unwrap();
    assert_eq!(read.finish().await.unwrap(), manifest.stored_sha256);
}

const FAULTS: [Fault; 5] = [
    Fault::Trouble,
    Fault::Throttled,
    Fault::Hang,
    Fault::CutBefore,
    Fault::CutAfter,
];

/// One fault at every request of an upload in parts: the next try of the request makes it good.
#[tokio::test]
async fn one_fault_at_any_request_of_an_upload_does_no_harm() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(9 * MIB);
    stage.wire.plan(Plan::Sound);
    back_up(&stage.store, &path, &manifest).await.unwrap();
    let requests = stage.wire.count();
    assert!(requests >= 6, "{requests}");
    stage.store.remove(&manifest).await.unwrap();
    for fault in FAULTS {
        for at in 1..=requests {
            stage.wire.plan(Plan::Once(at, fault));
            let done = back_up(&stage.store, &path, &manifest).await;
            assert!(done.is_ok(), "{fault:?} at {at}: {done:?}");
            stage.wire.plan(Plan::Sound);
            assert_eq!(listed(&stage.store).await.len(), 1, "{fault:?} at {at}");
            let read = stage
                .store
                .open(&stage.store.key_of(&manifest))
                .await
                .unwrap();
            assert_eq!(read.finish().await.unwrap(), manifest.stored_sha256);
            stage.store.remove(&manifest).await.unwrap();
            stage.store.abort_orphans().await.unwrap();
        }
    }
}

/// A line that stays broken from any request on: the upload fails in a sentence, nothing of it is listed, and the next
/// run over a sound line leaves one whole backup and no parts.
#[tokio::test]
async fn a_line_that_breaks_at_any_request_of_an_upload_leaves_nothing_that_is_listed() {
    let stage = Stage::set_patiently();
    let (path, manifest) = stage.stored(9 * MIB);
    stage.wire.plan(Plan::Sound);
    back_up(&stage.store, &path, &manifest).await.unwrap();
    let requests = stage.wire.count();
    stage.store.remove(&manifest).await.unwrap();
    for fault in [Fault::Trouble, Fault::CutBefore, Fault::CutAfter] {
        for at in 1..=requests {
            stage.wire.plan(Plan::From(at, fault));
            let done = back_up(&stage.store, &path, &manifest).await;
            let error = done.unwrap_err();
            assert_eq!(
                error.kind(),
                FailureKind::Transient,
                "{fault:?} at {at}: {error}"
            );
            stage.wire.plan(Plan::Sound);
            let there = listed(&stage.store).await;
            // The manifest's own answer was lost: then it is there, and so are its bytes.
            let is_whole = at == requests && fault == Fault::CutAfter;
            assert_eq!(there.len(), usize::from(is_whole), "{fault:?} at {at}");
            stage.store.abort_orphans().await.unwrap();
            back_up(&stage.store, &path, &manifest).await.unwrap();
            assert_eq!(listed(&stage.store).await.len(), 1, "{fault:?} at {at}");
            assert_eq!(stage.server.unfinished_parts(), 0, "{fault:?} at {at}");
            stage.store.remove(&manifest).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_upload_whose_process_was_killed_is_aborted_at_the_next_start() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(9 * MIB);
    let source = Source::finished(&path).unwrap();
    let mut upload = stage.store.upload(aim(&stage.store, &manifest), source);
    upload.send().await.unwrap();
    assert_eq!(stage.server.unfinished_parts(), 2);
    // It lives: nobody else touches it.
    assert_eq!(stage.store.abort_orphans().await.unwrap(), 0);
    drop(upload);
    let next = store(access(stage.server.address), stage.folder.path());
    assert_eq!(next.abort_orphans().await.unwrap(), 1);
    assert_eq!(stage.server.unfinished_parts(), 0);
    assert_eq!(next.abort_orphans().await.unwrap(), 0);
}

#[tokio::test]
async fn an_upload_that_stands_still_is_dropped() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(9 * MIB);
    // Behind the listing and the beginning: at the first part.
    stage.wire.plan(Plan::From(3, Fault::Hang));
    let aim = Aim {
        standstill: Duration::from_millis(300),
        ..aim(&stage.store, &manifest)
    };
    let mut upload = stage.store.upload(aim, Source::finished(&path).unwrap());
    let sent = upload.send().await;
    assert!(matches!(sent, Err(S3Error::StoodStill { .. })), "{sent:?}");
    stage.wire.plan(Plan::Sound);
    upload.abort().await;
    assert_eq!(stage.server.unfinished_parts(), 0);
}

#[tokio::test]
async fn a_manifest_is_written_once() {
    let stage = Stage::set();
    let (_, manifest) = stage.stored(1);
    stage.store.publish(&manifest).await.unwrap();
    stage.store.publish(&manifest).await.unwrap();
    let other = Manifest {
        stored_size: ByteCount(2),
        ..manifest
    };
    let refused = stage.store.publish(&other).await;
    assert!(
        matches!(refused, Err(S3Error::Exists { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_download_goes_on_where_its_line_broke_and_sees_every_other_byte() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(3 * MIB);
    back_up(&stage.store, &path, &manifest).await.unwrap();
    let key = stage.store.key_of(&manifest);
    stage.wire.plan(Plan::Once(1, Fault::Half));
    let read = stage.store.open(&key).await.unwrap();
    assert_eq!(read.finish().await.unwrap(), manifest.stored_sha256);
    stage.wire.plan(Plan::From(1, Fault::Half));
    let read = stage.store.open(&key).await.unwrap();
    assert_eq!(
        read.finish().await.unwrap_err().kind(),
        FailureKind::Transient
    );
    stage.wire.plan(Plan::Once(1, Fault::Altered));
    let read = stage.store.open(&key).await.unwrap();
    assert_ne!(read.finish().await.unwrap(), manifest.stored_sha256);
}

#[tokio::test]
async fn what_the_user_has_to_correct_is_named() {
    let stage = Stage::set();
    let good = access(stage.server.address);
    let mut unknown = good.clone();
    unknown.key.id = Secret::new("AKIASOMEBODYELSE".to_owned());
    let mut wrong = good.clone();
    wrong.key.secret = Secret::new("wrong-secret".to_owned());
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let now = Timestamp::from_timestamp(0, 0).unwrap();
    for (access, wanted) in [
        (unknown, "AWS_ACCESS_KEY_ID"),
        (wrong, "AWS_SECRET_ACCESS_KEY"),
        (access_of(closed), "Connection refused"),
    ] {
        let store = store(access, stage.folder.path());
        let error = store.begin_probe().run(now).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(wanted), "{said}");
        assert!(
            !said.contains("wrong-secret") && !said.contains("SOMEBODY"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_what_lies_beside_a_copy_is_told_apart() {
    let stage = Stage::set();
    let (path, manifest) = stage.stored(3);
    back_up(&stage.store, &path, &manifest).await.unwrap();
    let proof = |destination: &str, level| Proof {
        id: manifest.id.clone(),
        destination: destination.to_owned(),
        ..crate::domain::backup::example_proof(Some(level))
    };
    let put = |destination, level| {
        let (store, proof) = (&stage.store, proof(destination, level));
        async move { store.add_proof(&series(), &proof).await.unwrap() }
    };
    put("disk", Level::Content).await;
    put("s3", Level::Archive).await;
    let copy = listed(&stage.store).await.remove(0);
    // Its level is its own, and what is known elsewhere is beside it.
    assert_eq!(copy.level(), Some(Level::Archive));
    assert!(copy.is_restorable() && !copy.is_verified());
    assert_eq!(copy.elsewhere.len(), 1);

    let folder = stage.server.bucket.join(stage.store.key_of(&manifest));
    let folder = folder.parent().unwrap();
    let newer = folder.join("20200101T000000Z-aaaa.json");
    std::fs::write(newer, r#"{"format": 2}"#).unwrap();
    let bytes = codec::encode_manifest(&manifest);
    std::fs::write(folder.join("20200101T000000Z-bbbb.json"), bytes).unwrap();
    let listing = stage.store.list().await.unwrap();
    let ids = listing.series.values().flatten().map(|it| &it.manifest.id);
    assert_eq!(ids.collect::<Vec<_>>(), [&manifest.id]);
    let told = listing.problems.join("; ");
    assert!(
        told.contains("20200101T000000Z-aaaa.json") && told.contains("it has format 2"),
        "{told}"
    );
    assert!(
        told.contains("20200101T000000Z-bbbb.json names another backup"),
        "{told}"
    );
    // Nobody knows which roles the others need.
    assert_eq!(listing.unreadable.len(), 1);
}

#[tokio::test]
async fn a_removal_that_breaks_off_leaves_no_manifest_without_its_bytes_and_is_swept() {
    let stage = Stage::set();
    let store = &stage.store;
    let today = Timestamp::from(std::time::UNIX_EPOCH + stage_age());
    for step in 1..=3 {
        let (path, manifest) = stage.stored(3);
        back_up(store, &path, &manifest).await.unwrap();
        let proof = Proof {
            id: manifest.id.clone(),
            destination: "s3".to_owned(),
            ..crate::domain::backup::example_proof(Some(Level::Archive))
        };
        store.add_proof(&series(), &proof).await.unwrap();
        stage.wire.plan(Plan::Removals(step, Fault::CutBefore));
        store.remove(&manifest).await.unwrap_err();
        stage.wire.plan(Plan::Sound);
        // The manifest goes first: either all of it is there, or nobody lists it.
        assert_eq!(listed(store).await.len(), usize::from(step == 1));
        if step == 1 {
            store.remove(&manifest).await.unwrap();
        }
        // What is young may be somebody's upload.
        assert_eq!(store.sweep(today).await.unwrap(), Vec::<String>::new());
        let left = store.orphans(today + chrono::TimeDelta::days(2)).await;
        assert_eq!(left.unwrap().len(), [0, 2, 1][step - 1]);
        let swept = store.sweep(today + chrono::TimeDelta::days(2)).await;
        assert_eq!(swept.unwrap().len(), [0, 2, 1][step - 1]);
        assert_eq!(stage.server.objects(), Vec::<String>::new());
    }
    let (path, manifest) = stage.stored(3);
    back_up(store, &path, &manifest).await.unwrap();
    stage.wire.plan(Plan::Removals(1, Fault::Denied));
    let denied = store.remove(&manifest).await.unwrap_err();
    assert!(matches!(denied, S3Error::Denied { .. }), "{denied}");
    assert_eq!(stage.wire.removals(), 1);
    assert_eq!(listed(store).await.len(), 1);
}
