//! A stored backup as its files show it, without asking stackwarden.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A backup's files.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// Its id.
    pub id: String,
    /// The manifest's path.
    pub manifest_path: PathBuf,
    /// The manifest.
    pub manifest: Value,
    /// The stored file that the manifest names.
    pub stored: PathBuf,
}

impl Artefact {
    /// Everything in a series' folder that has a manifest, oldest first.
    pub fn list(folder: &Path) -> Vec<Self> {
        let mut found: Vec<Self> = names(folder)
            .into_iter()
            .filter(|name| is_json(name) && name.matches('.').count() == 1)
            .map(|name| Self::read(folder, &name))
            .collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    fn read(folder: &Path, name: &str) -> Self {
        let manifest_path = folder.join(name);
        let text = std::fs::read_to_string(&manifest_path).expect("read a manifest");
        let manifest: Value = serde_json::from_str(&text).expect("a manifest is JSON");
        let file = manifest["file"].as_str().expect("a manifest names a file");
        Self {
            id: name.trim_end_matches(".json").to_owned(),
            stored: folder.join(file),
            manifest_path,
            manifest,
        }
    }

    /// Its proofs, oldest first.
    pub fn proofs(&self) -> Vec<Value> {
        let folder = self
            .manifest_path
            .parent()
            .expect("a manifest has a folder");
        let start = format!("{}.proof-", self.id);
        let mut names = names(folder);
        names.retain(|name| name.starts_with(&start) && is_json(name));
        let read = |name: &String| {
            let text = std::fs::read_to_string(folder.join(name)).expect("read a proof");
            serde_json::from_str(&text).expect("a proof is JSON")
        };
        names.iter().map(read).collect()
    }

    /// Writes a changed manifest in place of its own.
    pub fn write_manifest(&self, manifest: &Value) {
        let text = serde_json::to_string_pretty(manifest).expect("write JSON");
        std::fs::write(&self.manifest_path, text).expect("write a manifest");
    }
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension() == Some("json".as_ref())
}

/// The names in a folder, in order; none when there is no folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
