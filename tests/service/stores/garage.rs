//! Garage: what people who host themselves run.

use super::{BUCKET, BULK, up, wait_for_copies, wait_for_status, with_store};

const GARAGE: &str = "dxflrs/garage:v2.5.0";
const GARAGE_SETTINGS: &str = r#"
metadata_dir = "/meta"
data_dir = "/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
rpc_secret = "0000000000000000000000000000000000000000000000000000000000000001"
[s3_api]
s3_region = "garage"
api_bind_addr = "0.0.0.0:8000"
"#;
/// It takes no keys that look otherwise.
const GARAGE_KEY: &str = "GK0123456789abcdef01234567";
const GARAGE_SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The store lies in a region of its own name, which nobody's default is.
#[test]
fn garage_takes_every_copy_and_gives_it_back_once_its_region_is_right() {
    let store = format!(
        "image: {GARAGE}
command: [/garage, server, --single-node, --default-bucket]
environment: [GARAGE_DEFAULT_BUCKET={BUCKET}, GARAGE_DEFAULT_ACCESS_KEY={GARAGE_KEY}, GARAGE_DEFAULT_SECRET_KEY={GARAGE_SECRET}]
volumes: ['./garage.toml:/etc/garage.toml:ro']
healthcheck: {{ test: [CMD, /garage, bucket, info, {BUCKET}], interval: 1s, retries: 60 }}"
    );
    let mut stack = with_store("garage", GARAGE, &[], GARAGE_KEY)
        .service("store", &store)
        .file("garage.toml", GARAGE_SETTINGS)
        .sidecar(|it| it.environment("AWS_SECRET_ACCESS_KEY", GARAGE_SECRET))
        .write();
    up(&stack, BULK);
    let said = wait_for_status(&stack, "is in another region than");
    assert!(said.contains("garage/s3"), "{said}");
    drop(stack.wait_for_backup("app"));
    let report = stack.stackwarden(&["backup"]).ended_with(3).said();
    assert!(report.contains("on disk only"), "{report}");

    stack.change(|it| it.sidecar(|it| it.environment("STACKWARDEN_S3_REGION", "garage")));
    stack.up();
    wait_for_copies(&stack, 2);
    let report = stack.back_up();
    assert_eq!(report["state"], "succeeded", "{report:#}");
    wait_for_copies(&stack, 3);
    let found = wait_for_status(
        &stack,
        "written, listed and read back; removed; uploaded in parts",
    );
    assert!(found.contains("clocks 0 s apart"), "{found}");
    let newest = stack.backups_of("app")[0]["id"].clone();
    let id = newest.as_str().expect("an id");
    let words = ["restore", id, "--into", "back", "--from", "s3"];
    drop(stack.stackwarden(&words).ended_with(0));
    assert_eq!(stack.psql("back", "SELECT count(*) FROM bulk"), "4000");
}
