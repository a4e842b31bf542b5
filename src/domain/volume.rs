//! A volume of the host with an old server's data, and the series of what is backed up from it.
//!
//! Such a series stands under a name that no service of Compose can have, so that it never meets a live server's.

use std::fmt;

use thiserror::Error;

use super::id::ServiceName;
use super::room::{Shortage, find_shortage, needed_for_revival};
use super::unit::ByteCount;

/// Before a volume's name in the place of a service's; no service has a colon in its name.
const MARK: &str = "volume:";

/// The folders of a volume in which data may be, beside `<major>/docker`.
const FOLDERS: [&str; 3] = ["", "/pgdata", "/data"];

/// A Docker volume's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

/// Why a text is no volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no name of a volume; `docker volume ls` lists them, such as shop_postgres_data")]
pub struct VolumeNameError(String);

impl VolumeName {
    /// Reads a name; never a path, which Docker would mount too.
    ///
    /// # Errors
    /// When no volume has such a name.
    pub fn parse(text: &str) -> Result<Self, VolumeNameError> {
        let begins = |byte: u8| byte.is_ascii_alphanumeric();
        let goes_on = |byte: u8| begins(byte) || matches!(byte, b'_' | b'.' | b'-');
        let is_name =
            text.len() >= 2 && text.bytes().next().is_some_and(begins) && text.bytes().all(goes_on);
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(VolumeNameError(text.to_owned()))
        }
    }

    /// As Docker has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands in place of a service in the series of its backups.
    pub fn service(&self) -> ServiceName {
        ServiceName::new(format!("{MARK}{}", self.0))
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An image as people name it, such as `postgres:15`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName(String);

/// Why a text is no image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no name of an image; `docker image ls` lists them, such as postgres:15")]
pub struct ImageNameError(String);

impl ImageName {
    /// Reads a name or an id; it becomes part of a path when Docker is asked for it.
    ///
    /// # Errors
    /// When no image has such a name.
    pub fn parse(text: &str) -> Result<Self, ImageNameError> {
        let is_letter = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'@')
        };
        let begins = text
            .bytes()
            .next()
            .is_some_and(|it| it.is_ascii_alphanumeric());
        if begins && text.bytes().all(is_letter) && !text.contains("..") {
            Ok(Self(text.to_owned()))
        } else {
            Err(ImageNameError(text.to_owned()))
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a series of this service was taken from a volume.
pub fn is_of_volume(service: &ServiceName) -> bool {
    service.as_str().starts_with(MARK)
}

/// A folder with a server's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder {
    /// Where in the volume: empty for its root, else it begins with a slash.
    pub below: String,
    /// What `PG_VERSION` says.
    pub major: String,
    /// User id of the files.
    pub owner: u32,
    /// What it takes.
    pub size: ByteCount,
    /// What of it stands elsewhere: tablespaces, or the log.
    pub elsewhere: Vec<String>,
}

/// What was found in a volume and beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Folders with data.
    pub folders: Vec<DataFolder>,
    /// What the servers of the image say that they are.
    pub servers: Vec<String>,
    /// Free bytes where the copy goes; `None` where nobody knows.
    pub free: Option<ByteCount>,
}

/// Why no server can be started on a copy of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// There is no data in it.
    #[error(
        "volume {volume} holds no data of PostgreSQL: there is no PG_VERSION in its root, in pgdata/, in data/ or in <major>/docker/"
    )]
    Empty {
        /// Which.
        volume: VolumeName,
    },
    /// It is of another version.
    #[error(
        "volume {volume} holds data of PostgreSQL {} and image {image} runs {}; name an image of that version, such as postgres:{newest}",
        .found.join(" and "), .runs.join(" and ")
    )]
    OtherMajor {
        /// Which.
        volume: VolumeName,
        /// The image.
        image: ImageName,
        /// The versions of the data.
        found: Vec<String>,
        /// The last of them.
        newest: String,
        /// The versions of the image.
        runs: Vec<String>,
    },
    /// The image is no server's.
    #[error(
        "image {image} has no server of PostgreSQL in it; name the image that the old stack ran"
    )]
    NoServer {
        /// The image.
        image: ImageName,
    },
    /// A part of it is in another volume.
    #[error(
        "volume {volume} does not hold everything: its data is also in {}, which is another volume or a folder of the host; start the old stack and back it up there",
        .elsewhere.join(" and ")
    )]
    Elsewhere {
        /// Which.
        volume: VolumeName,
        /// Where the rest is.
        elsewhere: Vec<String>,
    },
    /// The copy does not fit.
    #[error(
        "Docker's disk has too little room for a copy of volume {volume}: {shortage}; nothing was copied"
    )]
    NoRoom {
        /// Which.
        volume: VolumeName,
        /// How much.
        shortage: Shortage,
    },
}

impl Survey {
    /// Reads what the look printed. What is in a volume may be anything: a line that is none of ours says nothing.
    pub fn parse(said: &str) -> Self {
        let mut survey = Self::default();
        for line in said.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            match words.as_slice() {
                ["folder", below, major, owner, size] if is_known(below) => {
                    if let (Ok(owner), Ok(kilobytes)) = (owner.parse(), size.parse::<u64>()) {
                        survey.folders.push(DataFolder {
                            below: (*below).to_owned(),
                            major: (*major).to_owned(),
                            owner,
                            size: ByteCount(kilobytes.saturating_mul(1024)),
                            elsewhere: Vec::new(),
                        });
                    }
                }
                ["elsewhere", target] => {
                    if let Some(folder) = survey.folders.last_mut() {
                        folder.elsewhere.push((*target).to_owned());
                    }
                }
                ["server", version] => survey.servers.push((*version).to_owned()),
                ["free", kilobytes] => {
                    let free = kilobytes.parse::<u64>().ok();
                    survey.free = free.map(|it| ByteCount(it.saturating_mul(1024)));
                }
                _ => {}
            }
        }
        survey
    }

    /// The data that a server of this image can be started on, with room for its copy and `reserve` behind it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choose(
        &self,
        volume: &VolumeName,
        image: &ImageName,
        reserve: ByteCount,
    ) -> Result<&DataFolder, Unfit> {
        let Some(newest) = self.folders.last() else {
            let volume = volume.clone();
            return Err(Unfit::Empty { volume });
        };
        let mut runs: Vec<String> = self.servers.iter().filter_map(|it| major_of(it)).collect();
        runs.sort();
        runs.dedup();
        if runs.is_empty() {
            let image = image.clone();
            return Err(Unfit::NoServer { image });
        }
        let mut fitting = self.folders.iter().filter(|it| runs.contains(&it.major));
        let Some(folder) = fitting.next_back() else {
            let found = self.folders.iter().map(|it| it.major.clone());
            return Err(Unfit::OtherMajor {
                volume: volume.clone(),
                image: image.clone(),
                found: found.collect(),
                newest: newest.major.clone(),
                runs,
            });
        };
        if !folder.elsewhere.is_empty() {
            return Err(Unfit::Elsewhere {
                volume: volume.clone(),
                elsewhere: folder.elsewhere.clone(),
            });
        }
        match find_shortage(self.free, needed_for_revival(folder.size, reserve)) {
            None => Ok(folder),
            Some(shortage) => Err(Unfit::NoRoom {
                volume: volume.clone(),
                shortage,
            }),
        }
    }
}

/// Whether it is one of the places that are looked at.
fn is_known(below: &str) -> bool {
    let major = below
        .strip_prefix('/')
        .and_then(|it| it.strip_suffix("/docker"));
    FOLDERS.contains(&below)
        || major.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `17` of `postgres (PostgreSQL) 17.10 (Debian 17.10-1)`, `9.6` of `9.6.24`.
fn major_of(version: &str) -> Option<String> {
    let number = version.split(") ").nth(1)?;
    let digits = |part: &str| -> String { part.chars().take_while(char::is_ascii_digit).collect() };
    let mut parts = number.split('.').map(digits);
    let first = parts.next().filter(|it| !it.is_empty())?;
    match (first.parse::<u32>().ok()?, parts.next()) {
        (..10, Some(second)) => Some(format!("{first}.{second}")),
        _ => Some(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "server\tpostgres (PostgreSQL) 17.10 (Debian 17.10-1)\n";

    fn chosen(said: &str) -> Result<String, Unfit> {
        let survey = Survey::parse(said);
        let image = ImageName::parse("postgres:17").unwrap();
        let chosen = survey.choose(
            &VolumeName::parse("old").unwrap(),
            &image,
            ByteCount(1 << 30),
        );
        chosen.map(|it| it.below.clone())
    }

    #[test]
    fn a_name_is_no_path_and_its_series_is_no_services() {
        for text in ["", "a", "/var/lib", "./x", "a/b", "-x", "a:b", "a b"] {
            assert!(VolumeName::parse(text).is_err(), "{text:?}");
        }
        let volume = VolumeName::parse("recyclic-prod_prod_postgres.data").unwrap();
        let service = volume.service();
        assert!(is_of_volume(&service) && service.as_str().contains(volume.as_str()));
        assert!(!is_of_volume(&ServiceName::new("postgres")));
    }

    #[test]
    fn an_images_name_leads_nowhere_else() {
        for text in ["postgres:15", "registry.example:5000/a/b@sha256:0f", "0f3a"] {
            assert_eq!(ImageName::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "../containers",
            "a/../b",
            "/a",
            "-a",
            "a b",
            "a?b=c",
            "a#b",
            "a%2e",
        ] {
            assert!(ImageName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_data_of_the_images_version_is_chosen_wherever_it_is() {
        for below in ["", "/pgdata", "/data", "/17/docker"] {
            let said = format!("folder\t{below}\t17\t999\t4096\n{SERVER}free\t99000000\n");
            assert_eq!(chosen(&said).as_deref(), Ok(below));
        }
        let upgraded = format!(
            "folder\t/16/docker\t16\t999\t9\nelsewhere\t/mnt\nfolder\t/17/docker\t17\t999\t9\n{SERVER}"
        );
        assert_eq!(chosen(&upgraded).as_deref(), Ok("/17/docker"));
        let several = "folder\t\t15\t999\t9\nserver\tpostgres (PostgreSQL) 17.1\nserver\tpostgres (PostgreSQL) 15.8\n";
        assert_eq!(chosen(several).as_deref(), Ok(""));
    }

    #[test]
    fn what_does_not_fit_is_told_in_one_sentence() {
        let told = |said: &str| chosen(said).unwrap_err().to_string();
        assert!(told(SERVER).contains("holds no data of PostgreSQL"));
        let lying = format!("folder\t/../etc\t17\t0\t1\n{SERVER}");
        assert!(told(&lying).contains("holds no data of PostgreSQL"));
        let old = format!("folder\t\t15\t999\t9\n{SERVER}");
        let wanted = "volume old holds data of PostgreSQL 15 and image postgres:17 runs 17; name an image of that version, such as postgres:15";
        assert_eq!(told(&old), wanted);
        assert!(told("folder\t\t15\t999\t9\n").contains("has no server"));
        let spread = format!("folder\t\t17\t999\t9\nelsewhere\t/mnt/fast\n{SERVER}");
        assert!(told(&spread).contains("also in /mnt/fast"));
        let full = format!("folder\t\t17\t999\t4096\n{SERVER}free\t1048576\n");
        assert!(told(&full).contains("too little room for a copy of volume old"));
    }

    #[test]
    fn versions_are_read_as_servers_tell_them() {
        for (said, wanted) in [
            (
                "postgres (PostgreSQL) 17.10 (Debian 17.10-1.pgdg120+1)",
                Some("17"),
            ),
            ("postgres (PostgreSQL) 18beta1", Some("18")),
            ("postgres (PostgreSQL) 9.6.24", Some("9.6")),
            ("", None),
        ] {
            assert_eq!(major_of(said).as_deref(), wanted, "{said}");
        }
    }
}
