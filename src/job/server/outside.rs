//! Servers outside the stack: libpq's programs run in our own container, which shares our files.
//!
//! Invariants: a password stands in a file of ours alone, which nobody else may read and which no argument carries; it is
//! kept in memory where the container lets us; libpq does all of TLS, so that `sslmode` means what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::{ServerError, connect_maintenance};
use crate::docker::OwnContainer;
use crate::domain::database::secret::Secret;
use crate::domain::external::address::{Address, AddressPassword};
use crate::domain::external::{Clients, Outside};
use crate::domain::id::ServiceName;
use crate::domain::roster::ServerTarget;
use crate::job::{JobContext, Run};
use crate::postgres::{Login, Network, catalog};

/// Where Debian's packages put the programs of each major version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// What has to be there of each.
const NEEDED: [&str; 4] = ["psql", "pg_dump", "pg_dumpall", "pg_restore"];
/// Where passwords are kept: memory first, which every container has; then what is lost with the container.
const PLACES: [&str; 2] = ["/dev/shm", "/tmp"];

/// The programs in our own container, in which the engine can run them only where it is known.
pub fn find_clients(own: Option<&OwnContainer>) -> Clients {
    let majors = find_majors(Path::new(PROGRAMS));
    match (own, majors.is_empty()) {
        (None, _) => Clients::Missing(
            "its programs run in stackwarden's own container, which the engine does not show; run stackwarden as a container of this Docker host",
        ),
        (Some(_), true) => Clients::Missing(
            "this image has no PostgreSQL programs; use the one that `make image-with-clients` (docker build --target with-clients) builds",
        ),
        (Some(_), false) => Clients::Here(majors),
    }
}

fn find_majors(folder: &Path) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let majors = entries.filter_map(|entry| {
        let major: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        let is_whole = NEEDED.iter().all(|name| programs.join(name).is_file());
        is_whole.then_some(major)
    });
    majors.collect()
}

fn folder_of(major: u32) -> String {
    format!("{PROGRAMS}/{major}/bin")
}

/// The files of passwords that this process has written.
#[derive(Debug, Default)]
pub struct Passfiles {
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    folder: Option<PathBuf>,
    files: BTreeMap<ServiceName, (Secret<String>, PathBuf)>,
    count: u32,
}

impl Passfiles {
    /// The file with this password; a changed password gets another file, since the old one may be being read.
    async fn keep(&self, service: &ServiceName, password: &str) -> std::io::Result<PathBuf> {
        let mut written = self.written.lock().await;
        if let Some((kept, path)) = written.files.get(service)
            && kept.reveal() == password
        {
            return Ok(path.clone());
        }
        let folder = match &written.folder {
            Some(folder) => folder.clone(),
            None => make_folder().await?,
        };
        written.folder = Some(folder.clone());
        written.count += 1;
        let path = folder.join(written.count.to_string());
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .await?;
        file.write_all(passfile_line(password).as_bytes()).await?;
        file.flush().await?;
        let kept = (Secret::new(password.to_owned()), path.clone());
        if let Some((_, old)) = written.files.insert(service.clone(), kept) {
            // What cannot be removed is gone with the container.
            drop(tokio::fs::remove_file(old).await);
        }
        Ok(path)
    }
}

/// A folder of this very process: others in this container have theirs. What one of the same number left goes.
async fn make_folder() -> std::io::Result<PathBuf> {
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for place in PLACES {
        let folder = Path::new(place).join(format!("stackwarden-{}", std::process::id()));
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                last = error;
                continue;
            }
            _ => {}
        }
        match tokio::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .await
        {
            Ok(()) => return Ok(folder),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One line for whatever libpq connects to with it; backslashes and colons are escaped.
fn passfile_line(password: &str) -> String {
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

/// How to log in to a server outside the stack, by the newest programs there are: their sessions reach every server.
pub(super) async fn login(
    context: &JobContext,
    target: &ServerTarget,
    outside: &Outside,
) -> Result<Login, ServerError> {
    let no_programs = |why: &'static str| ServerError::NoPrograms {
        service: target.service.clone(),
        why,
    };
    let major = match (&outside.clients, outside.clients.newest()) {
        (Clients::Missing(why), _) => return Err(no_programs(why)),
        (Clients::Here(_), None) => return Err(no_programs("there are none")),
        (Clients::Here(_), Some(major)) => major,
    };
    let address = &outside.address;
    let password = read_password(target, address).await?;
    let passfile = match password {
        None => None,
        Some(password) => {
            let kept = context.passfiles.keep(&target.service, &password).await;
            let path = kept.map_err(|source| ServerError::Passfile {
                service: target.service.clone(),
                source,
            })?;
            Some(path.display().to_string())
        }
    };
    let own = [
        ("host", address.host.clone()),
        ("port", address.port.to_string()),
    ];
    let parameters = own.into_iter().chain(address.parameters.iter().cloned());
    let network = Network {
        programs: folder_of(major),
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        passfile,
        entry: outside.entry().clone(),
    };
    Ok(Login::network(&address.user, network))
}

/// Read each time: whoever rotates a password writes another one into the file.
async fn read_password(
    target: &ServerTarget,
    address: &Address,
) -> Result<Option<String>, ServerError> {
    match &address.password {
        AddressPassword::None => Ok(None),
        AddressPassword::Value(secret) => Ok(Some(secret.reveal().clone())),
        AddressPassword::File(path) => {
            let read = tokio::fs::read_to_string(path).await;
            let text = read.map_err(|source| ServerError::PasswordFile {
                service: target.service.clone(),
                path: path.clone(),
                source,
            })?;
            let line = text.lines().next().unwrap_or_default();
            Ok(Some(line.to_owned()).filter(|line| !line.is_empty()))
        }
    }
}

/// The login for programs that read or write dumps, which must not be older than the server. One of the stack has its own.
///
/// # Errors
/// When the server does not answer, or is newer than all programs there are.
pub async fn login_for_programs(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
) -> Result<Login, ServerError> {
    let login = super::login(context, target).await?;
    let Some(outside) = &target.server.outside else {
        return Ok(login);
    };
    let mut connected = connect_maintenance(context, run, target).await?;
    let facts = catalog::server_facts(&mut connected.session).await;
    let server = facts.map_err(|source| connected.error(source))?.major();
    let chosen = outside.clients.find_for(server);
    let major = chosen.ok_or_else(|| ServerError::TooNew {
        service: target.service.clone(),
        server,
        newest: outside.clients.newest().unwrap_or_default(),
    })?;
    Ok(login.with_programs(folder_of(major)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_programs_of_a_major_version_count_when_all_are_there() {
        let folder = tempfile::tempdir().unwrap();
        for (major, names) in [
            ("15", &NEEDED[..2]),
            ("17", &NEEDED[..]),
            ("x", &NEEDED[..]),
        ] {
            let bin = folder.path().join(major).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for name in names {
                std::fs::write(bin.join(name), "").unwrap();
            }
        }
        assert_eq!(find_majors(folder.path()), BTreeSet::from([17]));
        assert_eq!(find_majors(&folder.path().join("none")), BTreeSet::new());
        let Clients::Missing(why) = find_clients(None) else {
            panic!("nothing can be run where the engine does not know us");
        };
        assert!(why.contains("own container"), "{why}");
    }

    #[test]
    fn letters_that_mean_something_in_a_passfile_are_escaped() {
        assert_eq!(passfile_line(r"a:b\c"), "*:*:*:*:a\\:b\\\\c\n");
    }

    #[tokio::test]
    async fn nobody_else_reads_a_kept_password_and_a_new_one_replaces_it() {
        let passfiles = Passfiles::default();
        let shop = ServiceName::new("shop");
        let first = passfiles.keep(&shop, "one").await.unwrap();
        assert_eq!(passfiles.keep(&shop, "one").await.unwrap(), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&first), 0o600);
        assert_eq!(mode(first.parent().unwrap()), 0o700);
        let second = passfiles.keep(&shop, "two").await.unwrap();
        assert!(!first.exists(), "the old password is still there");
        assert_eq!(std::fs::read_to_string(&second).unwrap(), "*:*:*:*:two\n");
        assert!(!format!("{passfiles:?}").contains("two"));
        std::fs::remove_dir_all(second.parent().unwrap()).unwrap();
    }
}
