//! The only reader of the process's environment, and of the files that `_FILE` variables name.

use std::ffi::OsString;
use std::path::Path;

use super::{ConfigErrors, ConfigNote, Settings, Variables};

/// Reads the settings of this process.
///
/// # Errors
/// When any variable is wrong; all of them are named.
pub fn load() -> Result<(Settings, Vec<ConfigNote>), ConfigErrors> {
    Settings::read(&collect(std::env::vars_os()), &read_file)
}

/// Sorts variables into readable ones and others; a name that is no text cannot be ours.
fn collect(pairs: impl Iterator<Item = (OsString, OsString)>) -> Variables {
    let mut variables = Variables::default();
    for (name, value) in pairs {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => {
                variables.values.insert(name, value);
            }
            (Ok(name), Err(_not_text)) => {
                variables.unreadable.insert(name);
            }
            (Err(_not_text), _) => {}
        }
    }
    variables
}

fn read_file(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_value_that_is_no_text_is_kept_apart() {
        let bytes = OsString::from_vec(vec![0xff]);
        let pairs = [
            (OsString::from("TZ"), bytes.clone()),
            (bytes, OsString::from("x")),
            (OsString::from("A"), OsString::from("b")),
        ];
        let variables = collect(pairs.into_iter());
        assert!(variables.unreadable.contains("TZ"));
        assert_eq!(variables.values.len(), 1);
        assert!(!format!("{variables:?}").contains('b'));
    }

    #[test]
    fn a_missing_file_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(read_file(&path).unwrap_err().contains("No such file"));
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(read_file(&path), Ok("x\n".to_owned()));
    }
}
