//! The image with PostgreSQL's client programs: the Dockerfile's own stages around the program of the image under test.

use super::builder::image;
use super::program::run;

const DOCKERFILE: &str = include_str!("../../../Dockerfile");
/// Where its stages begin and what follows them.
const STAGES: (&str, &str) = ("FROM debian:trixie-slim AS clients", "# What comes last");
/// Where they take the program from.
const BUILT: &str = "--from=build /build/root/ /";

/// Builds it, which takes a second where its packages are in the builder's cache, and gives its name.
#[track_caller]
pub fn with_clients() -> String {
    let (tested, begin, end) = (image(), STAGES.0, STAGES.1);
    let stages = DOCKERFILE
        .split_once(begin)
        .and_then(|(_, rest)| rest.split_once(end))
        .map(|(stages, _)| format!("{begin}{stages}"))
        .expect("the Dockerfile has stages with clients");
    assert!(stages.contains(BUILT), "{stages}");
    let stages = stages.replace(BUILT, &format!("--from={tested} / /"));
    let name = format!("{tested}-with-clients");
    // Without buildx the classic builder serves.
    let has_buildx = run("docker", &["buildx", "version"], None).code == 0;
    let kit = if has_buildx {
        "DOCKER_BUILDKIT=1"
    } else {
        "DOCKER_BUILDKIT=0"
    };
    let words = [kit, "docker", "build", "-q", "-t", &name, "-"];
    drop(run("env", &words, Some(&stages)).ok());
    name
}
