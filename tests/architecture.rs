//! The house's rules, read off the source text: who may know whom, which library lives where, and that the papers are true.
//!
//! Standard library only. A rule that has to change is changed here, with its reason in the commit.

#[path = "architecture/faults.rs"]
mod faults;
#[path = "architecture/files.rs"]
mod files;
#[path = "architecture/papers.rs"]
mod papers;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write as _;

use files::{assert_none, product, sources};
use source::Source;

type Checked = Result<(), Box<dyn Error>>;

/// From the ground up: a module, and all it may know. `a::b` allows only that part of `a`.
const HOUSE: [(&str, &str); 20] = [
    ("domain", ""),
    ("lifecycle", ""),
    ("clock", "domain"),
    ("docker", "domain"),
    ("postgres", "domain"),
    ("store", "domain"),
    ("archive", "domain"),
    ("journal", "domain"),
    ("observe", "domain"),
    ("client", "domain"),
    ("notify", "domain"),
    (
        "job",
        "domain clock docker postgres store archive client notify",
    ),
    ("board", "domain"),
    ("desk", "domain store::disk journal observe job board"),
    ("trigger", "domain clock docker board desk"),
    ("http", "domain lifecycle clock observe board desk"),
    // Keys are read at the edge, where all that is wrong is told at once.
    ("config", "domain archive"),
    (
        "app",
        "domain lifecycle clock docker store journal observe job board desk trigger http config",
    ),
    (
        "cli",
        "domain lifecycle observe::logging client http::wire config app",
    ),
    ("main", "cli"),
];

/// A library, and the only files that may know it: beginnings of their paths below `src`.
const HOMES: [(&str, &str); 23] = [
    ("age", "archive"),
    ("anyhow", "cli"),
    ("aws_sdk_s3", "store/s3"),
    ("aws_smithy_http_client", "store/s3/connection"),
    ("aws_smithy_types", "store/s3"),
    ("axum", "http"),
    ("bollard", "docker"),
    ("chrono_tz", "domain/schedule"),
    ("clap", "cli"),
    ("croner", "domain/schedule"),
    (
        "getrandom",
        "app/run docker/exec/line job job/backup/take postgres/session/psql store/disk \
         store/s3/probe store/s3/record",
    ),
    ("hyper", "client http/server store/s3/send"),
    ("hyper_util", "client http/server"),
    ("md5", "store/s3"),
    ("prometheus", "observe/metrics"),
    ("rustix", "http/server store/disk store/staged"),
    // Formats and rows only: no noun of the domain is ever written or read by itself.
    (
        "serde",
        "cli/asking cli/printer http/route/order http/route/read http/wire job/server journal \
         notify/telegram observe/logging postgres store/codec",
    ),
    ("shell_words", "docker/exec domain/label"),
    ("subtle", "http/auth"),
    ("tokio_cron_scheduler", "trigger/schedule"),
    ("tokio_postgres", "postgres"),
    ("tokio_rustls", "client store/s3/connection"),
    ("tracing_subscriber", "observe/logging"),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = [
    "common", "data", "helper", "helpers", "info", "manager", "misc", "util", "utils",
];

/// The bounded waits of the end-to-end tests: from outside, Docker can only be asked again and again.
const WAITS: [&str; 2] = [
    "tests/service/harness.rs",
    "tests/service/harness/program.rs",
];

const HARD_LIMIT: usize = 500;
const LIMIT: usize = 350;

#[test]
fn knowledge_points_only_downwards() -> Checked {
    let mut below = BTreeSet::new();
    for (module, known) in HOUSE {
        let mut tops = known
            .split_whitespace()
            .filter_map(|it| it.split("::").next());
        let upward = tops.find(|top| !below.contains(top));
        assert_eq!(
            upward, None,
            "the table lets {module} know what stands above it"
        );
        below.insert(module);
    }
    let product = product()?;
    let complaints: Vec<String> = product.iter().flat_map(Source::forbidden_edges).collect();
    let rule = "the table HOUSE forbids this; move the code, or change the table with a reason";
    assert_none(&complaints, rule);
    Ok(())
}

#[test]
fn the_table_names_every_module_and_only_edges_that_are_used() -> Checked {
    let product = product()?;
    let modules = product.iter().map(Source::top).filter(|top| *top != "lib");
    let named = HOUSE.iter().map(|(module, _)| *module);
    let (modules, named): (BTreeSet<&str>, BTreeSet<&str>) = (modules.collect(), named.collect());
    assert_eq!(
        modules, named,
        "modules of src, and modules of the table HOUSE"
    );
    let mut unused = Vec::new();
    for (module, known) in HOUSE {
        let own = product.iter().filter(|source| source.top() == module);
        let used: Vec<String> = own
            .flat_map(Source::paths)
            .map(|it| it.join("::") + "::")
            .collect();
        let is_used = |edge: &&str| {
            used.iter()
                .any(|path| path.starts_with(&format!("{edge}::")))
        };
        let edges = known.split_whitespace().filter(|edge| !is_used(edge));
        unused.extend(edges.map(|edge| format!("{module} -> {edge}")));
    }
    assert_none(
        &unused,
        "nobody goes this way any more; strike it out of the table HOUSE",
    );
    Ok(())
}

#[test]
fn a_planted_edge_is_seen_however_it_is_written() {
    let exec = |text: &str| {
        Source::new("src/docker/exec.rs", text)
            .forbidden_edges()
            .len()
    };
    assert_eq!(
        exec("use crate::domain::id::JobId; use super::store::X;"),
        0
    );
    assert_eq!(exec("fn f() { crate::desk::Desk::open(); }"), 1);
    assert_eq!(
        exec("use crate::{\n  domain::{id, unit},\n  docker::Exec,\n  job::{self, Run as R},\n};"),
        2
    );
    assert_eq!(exec("use super::super::store::*;"), 1);
    assert_eq!(
        exec("// crate::desk\n/* crate::desk */ const A: &str = r#\"crate::desk\"#;"),
        0
    );
    let docker = |text: &str| Source::new("src/docker.rs", text).forbidden_edges().len();
    assert_eq!(
        docker("fn f<'a>(_: &'a str) -> char { '\"' } use super::job;"),
        1
    );
    assert_eq!(
        docker("const A: &str = \"\\\\\"; use crate::job::Run; const B: &str = \"\";"),
        1
    );
    assert_eq!(
        docker("#[cfg(test)]\nmod tests { use crate::job; fn f() {} }"),
        0
    );
    assert_eq!(
        docker("#[cfg(test)] use crate::job;\n#[cfg(test)] mod x;"),
        0
    );
    assert_eq!(
        docker("#[cfg(test)] mod tests { fn f() {} } use crate::job::Run;"),
        1
    );
    let show = |text: &str| Source::new("src/cli/show.rs", text).forbidden_edges().len();
    assert_eq!(show("use crate::http::wire::StackWire;"), 0);
    assert_eq!(show("use crate::http::Doors; use crate::http;"), 2);
}

#[test]
fn a_planted_library_and_a_module_for_tests_are_seen() {
    let source = Source::new("src/http.rs", "#[cfg(test)]\nmod fixture;\nmod wire;");
    assert_eq!(source.test_modules, ["src/http/fixture.rs"]);
    let knows = |text: &str| Source::new("src/job.rs", text).knows_library("bollard");
    assert!(knows("use bollard::Docker;"));
    assert!(!knows("use crate::bollard::X; // bollard::Docker"));
}

#[test]
fn nobody_hands_on_what_another_module_owns() -> Checked {
    let marks = [["pub", "use", "crate"], [")", "use", "crate"]];
    let product = product()?;
    let hands_on = product
        .iter()
        .filter(|it| marks.iter().any(|mark| it.has(mark)));
    let complaints: Vec<String> = hands_on.map(|it| it.path.clone()).collect();
    assert_none(
        &complaints,
        "a re-export shows others what the table forbids them to know",
    );
    Ok(())
}

#[test]
fn each_library_has_its_home() -> Checked {
    let product = product()?;
    let mut complaints = Vec::new();
    for (library, homes) in HOMES {
        let homes: Vec<&str> = homes.split_whitespace().collect();
        let knowing = product
            .iter()
            .filter(|source| source.knows_library(library));
        let knowing: Vec<&Source> = knowing.collect();
        let strangers = knowing
            .iter()
            .filter(|it| !homes.iter().any(|home| it.is_in(home)));
        complaints.extend(strangers.map(|it| format!("{} knows {library}", it.path)));
        let empty = homes
            .iter()
            .filter(|home| !knowing.iter().any(|it| it.is_in(home)));
        complaints.extend(empty.map(|home| format!("{home} does not know {library} any more")));
    }
    assert_none(&complaints, "the table HOMES says otherwise");
    Ok(())
}

#[test]
fn the_domain_does_nothing_and_only_config_reads_the_environment() -> Checked {
    let mut complaints = Vec::new();
    for source in product()? {
        let reads =
            ["var", "vars", "var_os", "vars_os"].map(|name| source.has(&["env", "::", name]));
        if reads.contains(&true) && !source.is_in("config/env") {
            complaints.push(format!("{} reads the environment", source.path));
        }
        let libraries = ["tokio", "tracing", "serde", "rustix"];
        let acts = libraries
            .into_iter()
            .filter(|library| source.knows_library(library));
        let modules = ["fs", "process", "thread", "env"];
        // Looked for outside tests only: a test may write the reference page.
        let product = &source.product;
        let calls = |module: &&str| {
            product
                .windows(3)
                .any(|it| it.iter().eq(["std", "::", module]))
        };
        let does = acts.chain(modules.into_iter().filter(calls));
        let does = does.filter(|_| source.top() == "domain");
        complaints.extend(does.map(|what| format!("{} uses {what}", source.path)));
    }
    assert_none(
        &complaints,
        "the domain decides and does nothing; config::env alone reads settings",
    );
    Ok(())
}

#[test]
fn files_are_short_documented_finished_and_well_named() -> Checked {
    let mut complaints = Vec::new();
    for source in sources("src")?.into_iter().chain(sources("tests")?) {
        let (path, lines) = (&source.path, source.text.lines().count());
        let mut complain = |what: &str| complaints.push(format!("{path} {what}"));
        if lines > HARD_LIMIT {
            complain(&format!("has {lines} lines, {HARD_LIMIT} are allowed"));
        } else if lines > LIMIT {
            writeln!(
                std::io::stderr(),
                "{path} has {lines} lines; from {LIMIT} on it wants to be split"
            )?;
        }
        // Tests in a file of their own are told by the module they are of.
        if !source.text.starts_with("//!") && !path.ends_with("/tests.rs") {
            complain("does not begin by saying what it is (//!)");
        }
        for name in ["todo", "unimplemented", "dbg"] {
            if source.has(&[name, "!"]) {
                complain(&format!("holds {name}!"));
            }
        }
        if source.has(&["#", "[", "ignore"]) {
            complain("holds an ignored test");
        }
        if source.has(&["thread", "::", "sleep"]) && !WAITS.contains(&path.as_str()) {
            complain("sleeps instead of waiting for a condition");
        }
        for name in EMPTY_NAMES {
            if source.module().split('/').any(|it| it == name) || source.has(&["mod", name]) {
                complain(&format!("is called {name}, which says nothing"));
            }
        }
    }
    assert_none(&complaints, "the style of this house");
    Ok(())
}
