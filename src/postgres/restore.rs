//! What a restore into a live server runs: programs that read a dump from their standard input, and the statements that
//! make, rename and remove databases.
//!
//! A rename waits for nobody: sessions with the database are ended meanwhile, by [`end_sessions`]. It holds the
//! database's lock while it looks, so that no new session begins before the transaction has ended.

use std::time::Duration;

use serde::Deserialize;

use super::command::{ApplicationName, CommandSpec, Login, pair};
use super::failure::PostgresError;
use super::session::{Session, Statement};
use super::{dump, quote};
use crate::domain::id::DatabaseName;
use crate::domain::restore::outside::Placement;
use crate::domain::unit::ByteCount;

const DEADLINE: Duration = Duration::from_secs(30);

/// The programs wait for nothing and no setting of a role or a database stops them.
const OPTIONS: &str = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 \
-c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0";

/// What stands between the bytes and the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpacking {
    /// Nothing.
    Nothing,
    /// `zstd -dc`
    Zstd,
    /// `gzip -dc`
    Gzip,
}

impl Unpacking {
    fn before(self, words: Vec<String>) -> Vec<String> {
        let program = match self {
            Self::Nothing => return words,
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        };
        dump::piped(
            &format!("{{ {program} -dc -q; echo \"stackwarden-rc=$?\" >&2; }} | \"$@\""),
            words,
        )
    }

    /// Whether the unpacking went well, by the standard error of the whole; asked only of what was read to its end.
    pub fn is_well(self, stderr: &str) -> bool {
        self == Self::Nothing || dump::parse_pipe_code(stderr).is_success()
    }
}

/// The program that restores.
#[derive(Debug)]
pub struct IntoRequest<'a> {
    /// As whom.
    pub login: &'a Login,
    /// Into which empty database.
    pub database: &'a DatabaseName,
    /// How the bytes are packed around the archive.
    pub unpacking: Unpacking,
    /// The name shown in `pg_stat_activity`.
    pub application: &'a ApplicationName,
}

impl IntoRequest<'_> {
    fn spec(&self, words: &[&str], options: &str) -> CommandSpec {
        let (program, words) = words.split_first().unwrap_or((&"", &[]));
        let mut argv = vec![self.login.program(program)];
        argv.extend(words.iter().map(|&word| word.to_owned()));
        argv.extend(["-d".to_owned(), self.login.connection(self.database)]);
        let env = self.login.environment(self.application);
        CommandSpec {
            argv: self.unpacking.before(argv),
            env: self.login.with_options(env, options),
        }
    }

    /// `pg_restore` of an archive from the standard input, in one job. Where `schema` makes TimescaleDB, as that wants it.
    ///
    /// Subscriptions stay out: a second one of the same name would take the first one's changes, or its slot with it when it is
    /// dropped, and a database with one cannot be.
    pub fn archive(&self, schema: &str, placement: Placement) -> CommandSpec {
        let mut words = vec!["pg_restore", "-w", "--exit-on-error", "--no-subscriptions"];
        if placement == Placement::Default {
            words.push("--no-tablespaces");
        }
        if schema.contains("\nCREATE EXTENSION IF NOT EXISTS timescaledb ") {
            self.spec(&words, &format!("{OPTIONS} -c timescaledb.restoring=on"))
        } else {
            self.spec(&words, OPTIONS)
        }
    }

    /// SQL from the standard input, stopping at its first error.
    pub fn sql(&self) -> CommandSpec {
        let words = [
            "psql",
            "-qX",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-o",
            "/dev/null",
        ];
        let mut spec = self.spec(&words, OPTIONS);
        spec.argv.extend(["-f".to_owned(), "-".to_owned()]);
        spec
    }
}

/// The schema text of an archive from the standard input; its head is enough.
pub fn archive_schema_command(login: &Login, unpacking: Unpacking) -> CommandSpec {
    let words = ["-C", "-s", "-f", "-"].into_iter().map(str::to_owned);
    let argv = std::iter::once(login.program("pg_restore")).chain(words);
    CommandSpec {
        argv: unpacking.before(argv.collect()),
        env: vec![pair("LC_ALL", "C")],
    }
}

/// Unpacks from the standard input to the standard output.
pub fn unpack_command(unpacking: Unpacking) -> CommandSpec {
    CommandSpec {
        argv: unpacking.before(vec!["cat".to_owned()]),
        env: vec![pair("LC_ALL", "C")],
    }
}

/// A live database as it is from outside: `pg_dump` of no object in it, so that it waits for no lock of a table.
pub fn outside_command(
    login: &Login,
    database: &DatabaseName,
    application: &ApplicationName,
) -> CommandSpec {
    let request = IntoRequest {
        login,
        database,
        unpacking: Unpacking::Nothing,
        application,
    };
    let words = ["pg_dump", "-C", "-s", "-w", "-N", "*", "--encoding=UTF8"];
    request.spec(&words, OPTIONS)
}

/// Tells the free kilobytes where a server keeps its data; [`parse_free`] reads the answer.
pub fn free_command(folder: &str) -> CommandSpec {
    let words = ["df", "-Pk", "--", folder].into_iter().map(str::to_owned);
    CommandSpec {
        argv: words.collect(),
        env: vec![pair("LC_ALL", "C")],
    }
}

/// The free bytes in the answer of `df -Pk`; `None` for another answer.
pub fn parse_free(said: &str) -> Option<ByteCount> {
    let line = said.lines().nth(1)?;
    let free: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    Some(ByteCount(free.saturating_mul(1024)))
}

/// The statement that renames a database.
pub fn rename_sql(from: &DatabaseName, to: &DatabaseName) -> String {
    format!(
        "ALTER DATABASE {} RENAME TO {}",
        quote::identifier(from.as_str()),
        quote::identifier(to.as_str())
    )
}

/// The statement that removes a database, with whoever is in it.
pub fn remove_sql(database: &DatabaseName) -> String {
    let name = quote::identifier(database.as_str());
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

/// The statement that removes a database in which nobody is.
pub fn remove_unused_sql(database: &DatabaseName) -> String {
    format!("DROP DATABASE {}", quote::identifier(database.as_str()))
}

/// Asks all sessions with these databases to end; says how many there are.
///
/// # Errors
/// As [`Session::row`]: a superuser's session is another superuser's to end.
pub async fn end_sessions(session: &mut Session, databases: &[u32]) -> Result<u64, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        ended: u64,
    }
    let listed: Vec<String> = databases.iter().map(ToString::to_string).collect();
    let sql = format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) AS ended
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.datid = ANY ('{{{}}}'::pg_catalog.oid[])",
        listed.join(",")
    );
    Ok(session.row::<Row>(&sql, DEADLINE).await?.ended)
}

/// What keeps a database from being renamed, one fragment each.
///
/// # Errors
/// As [`Session::rows`].
pub async fn obstacles(
    session: &mut Session,
    database: &DatabaseName,
) -> Result<Vec<String>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        what: String,
    }
    let name = quote::literal(database.as_str());
    let sql = format!(
        "SELECT pg_catalog.format('replication slot %s (drop it: SELECT pg_drop_replication_slot(%L))', s.slot_name, s.slot_name) AS what
FROM pg_catalog.pg_replication_slots AS s WHERE s.database = {name}
UNION ALL SELECT pg_catalog.format('subscription %s (drop it in the database)', s.subname)
FROM pg_catalog.pg_subscription AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid WHERE d.datname = {name}
UNION ALL SELECT pg_catalog.format('prepared transaction %s (COMMIT PREPARED or ROLLBACK PREPARED it in the database)', x.gid)
FROM pg_catalog.pg_prepared_xacts AS x WHERE x.database = {name}
UNION ALL SELECT 'that it is a template (ALTER DATABASE … IS_TEMPLATE false)'
FROM pg_catalog.pg_database AS d WHERE d.datname = {name} AND d.datistemplate"
    );
    let rows: Vec<Row> = session.rows(&sql, DEADLINE).await?;
    Ok(rows.into_iter().map(|row| row.what).collect())
}

/// The names of all roles.
///
/// # Errors
/// As [`Session::rows`].
pub async fn roles(session: &mut Session) -> Result<Vec<String>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let sql = "SELECT r.rolname AS name FROM pg_catalog.pg_roles AS r";
    let rows: Vec<Row> = session.rows(sql, DEADLINE).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Where the server keeps its data; `None` where it may not tell.
///
/// # Errors
/// A lost session.
pub async fn data_folder(session: &mut Session) -> Result<Option<String>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        folder: String,
    }
    let sql = "SELECT pg_catalog.current_setting('data_directory') AS folder";
    match session.row::<Row>(sql, DEADLINE).await {
        Ok(row) => Ok(Some(row.folder)),
        Err(PostgresError::Server { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Executes statements in one transaction: all of them, or none.
///
/// # Errors
/// The first statement's that failed, and then nothing was changed. When the session is lost the outcome is
/// unknown and has to be looked for.
pub async fn transact(
    session: &mut Session,
    statements: &[String],
    deadline: Duration,
) -> Result<(), PostgresError> {
    let inner = statements.iter().cloned();
    let all = std::iter::once("BEGIN".to_owned())
        .chain(inner)
        .chain(["COMMIT".to_owned()]);
    let all: Vec<Statement> = all.map(Statement::Run).collect();
    let answers = session.batch(&all, deadline).await?;
    // After a failure COMMIT takes everything back, and says no error.
    answers.into_iter().try_for_each(|answer| answer.map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ProjectName;

    fn request<'a>(
        login: &'a Login,
        database: &'a DatabaseName,
        application: &'a ApplicationName,
    ) -> IntoRequest<'a> {
        IntoRequest {
            login,
            database,
            unpacking: Unpacking::Zstd,
            application,
        }
    }

    #[test]
    fn names_are_arguments_and_timescale_is_told_of_its_restore() {
        let login = Login::local("app", None);
        let database = DatabaseName::new("$(rm) o'brien");
        let application = ApplicationName::build(&ProjectName::new("p"), "restore");
        let request = request(&login, &database, &application);
        let spec = request.archive("", Placement::Default);
        assert_eq!(
            spec.argv[2],
            "{ zstd -dc -q; echo \"stackwarden-rc=$?\" >&2; } | \"$@\""
        );
        assert!(spec.argv.contains(&"--no-tablespaces".to_owned()));
        assert_eq!(
            spec.argv.last().unwrap(),
            "user='app' dbname='$(rm) o\\'brien'"
        );
        let schema = "\nCREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public;\n";
        let spec = request.archive(schema, Placement::AsWritten);
        assert!(format!("{:?}", spec.env).contains("timescaledb.restoring=on"));
        assert!(!spec.argv.contains(&"--no-tablespaces".to_owned()));
        assert_eq!(
            rename_sql(&database, &DatabaseName::new("a\"b")),
            "ALTER DATABASE \"$(rm) o'brien\" RENAME TO \"a\"\"b\""
        );
    }

    #[test]
    fn the_free_room_is_read_from_the_second_line() {
        let said = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 40 60 40% /var/lib/postgresql/data\n";
        assert_eq!(parse_free(said), Some(ByteCount(61_440)));
        assert_eq!(parse_free("df: x: No such file"), None);
    }

    #[test]
    fn what_was_unpacked_badly_is_not_well() {
        assert!(Unpacking::Nothing.is_well(""));
        assert!(Unpacking::Gzip.is_well("x\nstackwarden-rc=0\n"));
        assert!(!Unpacking::Zstd.is_well("zstd: truncated\nstackwarden-rc=1\n"));
        assert!(!Unpacking::Zstd.is_well(""));
    }
}
