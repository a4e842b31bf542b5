//! `pg_restore` of a whole database into a scratch server, and where it begins.

use super::{OPTIONS, Tablespaces, with_options};
use crate::domain::id::DatabaseName;
use crate::postgres::command::{ApplicationName, CommandSpec, Login};

/// A database that reads no name as another.
const WITHOUT_ENCODING: &str = "stackwarden_entry";
const CREATE_WITHOUT_ENCODING: &str = "CREATE DATABASE stackwarden_entry TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";

/// What is restored and how.
#[derive(Debug, Clone)]
pub struct RestoreRequest<'a> {
    /// The scratch's login.
    pub login: &'a Login,
    /// The archive, an ordinary file in the container.
    pub file: &'a str,
    /// Where it begins, see [`RestoreEntry`].
    pub entry: &'a DatabaseName,
    /// Where the tablespaces are.
    pub tablespaces: Tablespaces,
    /// Jobs asked for; one where `TimescaleDB` is in the archive, since two break its catalogue.
    pub jobs: u32,
    /// Extensions of the dumped database, as `name version`.
    pub extensions: &'a [String],
    /// The name shown in `pg_stat_activity`.
    pub application: &'a ApplicationName,
}

/// How the restore of one database begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreEntry {
    /// Statements to run first, in `template1`.
    pub preludes: Vec<&'static str>,
    /// The database that `pg_restore -C` connects to, to create the other one.
    pub database: DatabaseName,
}

impl RestoreEntry {
    /// The archive creates its database, so that one which is there already goes.
    ///
    /// Names of databases and roles are bytes that every database reads in its own encoding: created in one, looked for by
    /// the connection and changed in another, a name beyond ASCII would be three different ones. So where the database's
    /// `encoding` is not the one `of_names` of the server, it begins where there is none: there they stay what they were.
    pub fn of(database: &DatabaseName, encoding: Option<&str>, of_names: &str) -> Self {
        let is_same = encoding.map_or(database.as_str().is_ascii(), |it| it == of_names);
        let (entry, create) = if is_same {
            ("template1", None)
        } else {
            (WITHOUT_ENCODING, Some(CREATE_WITHOUT_ENCODING))
        };
        let drop = (database.as_str() == "postgres").then_some("DROP DATABASE postgres");
        Self {
            preludes: drop.into_iter().chain(create).collect(),
            database: DatabaseName::new(entry),
        }
    }
}

/// `pg_restore` of a whole database, encoding, locale, settings and grants from the archive.
pub fn restore_command(request: &RestoreRequest<'_>) -> CommandSpec {
    let timescale = request
        .extensions
        .iter()
        .any(|extension| extension.split(' ').next() == Some("timescaledb"));
    let (jobs, options) = if timescale {
        (1, format!("{OPTIONS} -c timescaledb.restoring=on"))
    } else {
        (request.jobs.max(1), OPTIONS.to_owned())
    };
    let mut argv = vec![request.login.program("pg_restore")];
    argv.extend(["-C", "-w", "--exit-on-error"].map(str::to_owned));
    if request.tablespaces == Tablespaces::LeftOut {
        argv.push("--no-tablespaces".to_owned());
    }
    argv.extend([
        "-j".to_owned(),
        jobs.to_string(),
        "-d".to_owned(),
        request.login.connection(request.entry),
        request.file.to_owned(),
    ]);
    CommandSpec {
        argv,
        env: with_options(request.login.environment(request.application), &options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ProjectName;

    #[test]
    fn timescale_is_restored_by_one_job() {
        let database = DatabaseName::new("postgres");
        let extensions = ["plpgsql 1.0".to_owned(), "timescaledb 2.19.3".to_owned()];
        let command = restore_command(&RestoreRequest {
            login: &Login::scratch("app", "/s"),
            file: "/in/x.dump",
            entry: &RestoreEntry::of(&database, None, "UTF8").database,
            tablespaces: Tablespaces::InPlace,
            jobs: 4,
            extensions: &extensions,
            application: &ApplicationName::build(&ProjectName::new("p"), "verify"),
        });
        assert!(command.argv.join(" ").contains("-j 1 "));
        assert!(format!("{:?}", command.env).contains("timescaledb.restoring=on"));
        assert_eq!(command.argv[0], "/s/bin/pg_restore");
    }

    #[test]
    fn names_are_made_where_no_encoding_changes_them() {
        let entry = |name: &str, encoding| {
            let entry = RestoreEntry::of(&DatabaseName::new(name), encoding, "UTF8");
            (entry.preludes, entry.database.to_string())
        };
        let (drop, create) = ("DROP DATABASE postgres", CREATE_WITHOUT_ENCODING);
        let (usual, other) = ("template1".to_owned(), WITHOUT_ENCODING.to_owned());
        for (name, encoding, wanted) in [
            ("app", Some("UTF8"), (vec![], usual.clone())),
            ("naïve", Some("UTF8"), (vec![], usual.clone())),
            ("postgres", Some("UTF8"), (vec![drop], usual.clone())),
            ("app", None, (vec![], usual)),
            ("naïve", None, (vec![create], other.clone())),
            ("naïve", Some("LATIN1"), (vec![create], other.clone())),
            ("app", Some("LATIN1"), (vec![create], other.clone())),
            ("postgres", Some("LATIN1"), (vec![drop, create], other)),
        ] {
            assert_eq!(entry(name, encoding), wanted, "{name} {encoding:?}");
        }
        assert!(create.contains(WITHOUT_ENCODING) && create.contains("SQL_ASCII"));
    }
}
