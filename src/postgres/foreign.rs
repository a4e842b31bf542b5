//! What runs in a scratch server to judge a dump that somebody else made.
//!
//! SQL can hold anything, programs too: it runs where there is no network, no file of the host and nothing to lose.

use std::time::Duration;

use serde::Deserialize;

use super::command::{ApplicationName, CommandSpec, Login, pair};
use super::{PostgresError, Session, quote};
use crate::domain::foreign::{HEAD, Shape};
use crate::domain::id::DatabaseName;

/// How much of a file's end is looked at: comments of the trailer, and what newer versions write behind it.
const TAIL: usize = 2_048;

/// Untranslated, since what is said is read; nothing of a role or database stops it.
const OPTIONS: &str = "-c lc_messages=C -c default_transaction_read_only=off -c statement_timeout=0 \
-c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0";

const DATABASES: &str = "SELECT datname AS name FROM pg_catalog.pg_database \
WHERE NOT datistemplate AND datallowconn ORDER BY 1";

/// The databases that are no templates, in the order of names.
///
/// # Errors
/// As [`Session::rows`].
pub async fn databases(
    session: &mut Session,
    deadline: Duration,
) -> Result<Vec<DatabaseName>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let rows = session.rows::<Row>(DATABASES, deadline).await?;
    let names = rows.into_iter().map(|row| DatabaseName::new(row.name));
    Ok(names.collect())
}

fn shell(script: &str, arguments: &[&str]) -> CommandSpec {
    let words = ["sh", "-c", script, "sh"].into_iter();
    let words = words.chain(arguments.iter().copied());
    CommandSpec {
        argv: words.map(str::to_owned).collect(),
        env: vec![pair("LC_ALL", "C")],
    }
}

/// Unpacks a stream into a file; fails where the stream breaks off.
pub fn unpack_command(shape: Shape, from: &str, to: &str) -> CommandSpec {
    let program = if shape == Shape::Zstd { "zstd" } else { "gzip" };
    shell("exec \"$1\" -dc < \"$2\" > \"$3\"", &[program, from, to])
}

/// The first bytes of a file, what is not ASCII as question marks: it may be binary, or in any encoding.
pub fn head_command(file: &str) -> CommandSpec {
    let script = "[ -r \"$2\" ] || exit 1; head -c \"$1\" -- \"$2\" | tr '\\200-\\377' '?'";
    shell(script, &[&HEAD.to_string(), file])
}

/// The last bytes of a file, in the same way.
pub fn tail_command(file: &str) -> CommandSpec {
    let script = "[ -r \"$2\" ] || exit 1; tail -c \"$1\" -- \"$2\" | tr '\\200-\\377' '?'";
    shell(script, &[&TAIL.to_string(), file])
}

/// What stands before the first database in SQL of `pg_dumpall`: roles and tablespaces.
pub fn globals_command(file: &str) -> CommandSpec {
    shell("exec sed '/^\\\\connect /q' \"$1\"", &[file])
}

/// Writes the databases of such SQL into a file of their own: nothing where there are none.
pub fn databases_command(file: &str, to: &str) -> CommandSpec {
    let script = "set -e; : > \"$2\"; line=$(sed -n '/^\\\\connect /{=;q;}' \"$1\"); \
[ -z \"$line\" ] || tail -n +\"$line\" \"$1\" > \"$2\"";
    shell(script, &[file, to])
}

/// Ends with 0 when SQL changes databases by itself.
pub fn connects_command(file: &str) -> CommandSpec {
    shell("exec grep -q '^\\\\connect ' -- \"$1\"", &[file])
}

/// An archive's table of contents.
pub fn listing_command(login: &Login, file: &str) -> CommandSpec {
    archive_command(login, &["-l", file])
}

/// Decodes an archive to its end.
pub fn decode_command(login: &Login, file: &str) -> CommandSpec {
    archive_command(login, &["-f", "/dev/null", file])
}

fn archive_command(login: &Login, words: &[&str]) -> CommandSpec {
    let words = words.iter().map(|word| (*word).to_owned());
    CommandSpec {
        argv: std::iter::once(login.program("pg_restore"))
            .chain(words)
            .collect(),
        env: vec![pair("LC_ALL", "C")],
    }
}

/// Runs SQL, stopping at its first error.
pub fn sql_command(
    login: &Login,
    file: &str,
    database: &DatabaseName,
    application: &ApplicationName,
) -> CommandSpec {
    let mut env = login.environment(application);
    env.push(pair("PGOPTIONS", OPTIONS));
    env.push(pair("LC_ALL", "C"));
    CommandSpec {
        argv: vec![
            login.program("psql"),
            "-qX".to_owned(),
            "-w".to_owned(),
            "-v".to_owned(),
            "ON_ERROR_STOP=1".to_owned(),
            "-o".to_owned(),
            "/dev/null".to_owned(),
            "-d".to_owned(),
            login.connection(database),
            "-f".to_owned(),
            file.to_owned(),
        ],
        env,
    }
}

/// Makes a database with nothing in it.
pub fn create_database(database: &DatabaseName) -> String {
    let name = quote::identifier(database.as_str());
    format!("CREATE DATABASE {name} TEMPLATE template0")
}

/// Removes a database, if it is there.
pub fn drop_database(database: &DatabaseName) -> String {
    let name = quote::identifier(database.as_str());
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

/// A superuser by whom SQL of `pg_dumpall` is run: it may define every other role anew.
pub const JUDGE: &str = "stackwarden_judge";

/// Makes [`JUDGE`].
pub fn create_judge() -> String {
    format!("CREATE ROLE {} SUPERUSER LOGIN", quote::identifier(JUDGE))
}

/// Gives a role another name.
pub fn rename_role(from: &str, to: &str) -> String {
    let (from, to) = (quote::identifier(from), quote::identifier(to));
    format!("ALTER ROLE {from} RENAME TO {to}")
}

/// Makes up a role that a dump takes for granted.
pub fn create_role(name: &str) -> String {
    format!("CREATE ROLE {}", quote::identifier(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_file_becomes_part_of_a_script() {
        let spec = unpack_command(Shape::Gzip, "/in/a\"; rm -rf /", "/out");
        assert_eq!(spec.argv[2], "exec \"$1\" -dc < \"$2\" > \"$3\"");
        assert_eq!(spec.argv[5], "/in/a\"; rm -rf /");
        assert_eq!(create_role("o\"x"), "CREATE ROLE \"o\"\"x\"");
    }
}
