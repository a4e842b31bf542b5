//! Arguments, help and the health check.

use insta::assert_snapshot;

use crate::program::stackwarden;

#[test]
fn help_lists_every_command() {
    let ended = stackwarden(&["--help"]).run();
    assert_eq!(ended.code, 0, "{}", ended.everything());
    assert_eq!(ended.errors, "");
    assert_snapshot!(ended.output, @r#"
    Migrations behind a backup, backups proven by restoring them, health and metrics for one Compose stack

    Usage: stackwarden [OPTIONS] <COMMAND>

    Commands:
      run          Run the sidecar: schedule, proofs, health, metrics
      gate         Run the migrations of the stack, in order, each behind a backup; the application waits for it
      backup       Take backups now, of everything or of the databases named as service/database
      backups      List the backups that exist and how far each is proven
      verify       Prove one backup now by restoring it, or judge a dump that somebody else made
      restore      Restore a backup beside the live database, put it in its place, and take that back
      status       Show the stack: health, backups, jobs and what needs attention; exit code 4 when it is not well
      notify       The ways by which people are told of failures
      config       Show the effective settings and where each comes from
      healthcheck  Tell Docker whether this container lives

    Options:
          --json     Print JSON instead of text
      -h, --help     Print help
      -V, --version  Print version
    "#);
}

#[test]
fn help_of_a_command_tells_its_arguments() {
    let ended = stackwarden(&["verify", "--help"]).run();
    assert_eq!(ended.code, 0, "{}", ended.everything());
    assert_snapshot!(ended.output, @r#"
    Prove one backup now by restoring it, or judge a dump that somebody else made

    Usage: stackwarden verify [OPTIONS] <ID|latest|FILE> [DATABASE]

    Arguments:
      <ID|latest|FILE>  A backup's id, `latest`, or the path of a file: .dump, .sql, or one of both in gzip or zstd
      [DATABASE]        Of which database, as service/database; for a file, whose server the throw-away one is like

    Options:
          --database <SERVICE/DATABASE>  The same
          --json                         Print JSON instead of text
          --level <LEVEL>                How far: archive, restore, rows or content
          --from <DESTINATION>           The copy that is proven: disk or s3; otherwise the disk's, or the bucket's where the disk has none
      -h, --help                         Print help
    "#);
}

#[test]
fn the_version_is_one_line() {
    let ended = stackwarden(&["--version"]).run();
    assert_eq!(ended.code, 0, "{}", ended.everything());
    assert_eq!(
        ended.output,
        concat!("stackwarden ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn mistakes_in_the_arguments_are_usage_errors_with_a_hint() {
    let cases: [(&[&str], &str); 10] = [
        (&[], "Usage: stackwarden"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["bakcup"], "'backup'"),
        (&["status", "--jsn"], "'--json'"),
        (&["verify"], "<ID|latest|FILE>"),
        (&["notify"], "test"),
        (&["gate", "now"], "unexpected argument 'now'"),
        (&["verify", "latest", "--level"], "--level <LEVEL>"),
        (&["restore", "latest"], "--into <NAME>|--swap|--undo|--drop"),
        (
            &["restore", "latest", "--swap", "--undo"],
            "cannot be used with",
        ),
    ];
    for (arguments, part) in cases {
        let ended = stackwarden(arguments).run();
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.everything());
        assert_eq!(ended.output, "", "{arguments:?}");
        assert!(
            ended.errors.contains(part),
            "{arguments:?}: {}",
            ended.errors
        );
    }
}

#[test]
fn a_database_is_named_with_its_service() {
    for word in ["app", "postgres/", "/app"] {
        let ended = stackwarden(&["backup", word]).run();
        assert_eq!(ended.code, 2, "{}", ended.everything());
        assert_eq!(
            ended.errors,
            format!(
                "stackwarden: {word:?} names no database; write service/database, such as postgres/app\n"
            )
        );
    }
}

#[test]
fn words_of_a_restore_that_make_no_sense_are_told_before_anything_is_asked() {
    let cases: [(&[&str], &str); 5] = [
        (&["--swap"], "name what to restore"),
        (&["latst", "--swap"], "nor `latest`"),
        (&["./x.dump", "--swap"], "--into NAME"),
        (&["latest", "--into", "x", "--at", "noon"], "is no instant"),
        (&["latest", "--undo"], "restore nothing"),
    ];
    for (words, part) in cases {
        let ended = stackwarden(&[&["restore"], words].concat()).run();
        assert_eq!(ended.code, 2, "{words:?}: {}", ended.everything());
        assert!(ended.errors.contains(part), "{words:?}: {}", ended.errors);
        assert_eq!(ended.errors.lines().count(), 1, "{}", ended.errors);
    }
}

#[test]
fn outside_a_sidecar_the_health_check_is_always_well() {
    let ended = stackwarden(&["healthcheck"]).run();
    assert_eq!(ended.everything(), "code 0\n");
    // Even where the settings are wrong: they are the process's, not its own.
    let ended = stackwarden(&["healthcheck"])
        .with("TZ", "Europe/Pari")
        .run();
    assert_eq!(ended.everything(), "code 0\n");
}
