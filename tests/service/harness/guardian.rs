//! Removes a test's stack however the test ends.
//!
//! A process of its own reads a pipe that only the test holds open: when the test is done, panics or is killed, the
//! pipe closes and the process cleans. So there is one way to clean, and no ending that leaves something.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
cat >/dev/null
project=$1; folder=$2
# Compose hands a server's anonymous volume to the next container by its name, and then takes it for no anonymous one.
volumes=$(docker ps -aq --filter "label=com.docker.compose.project=$project" \
  | xargs -r docker inspect -f '{{range .Mounts}}{{println .Name}}{{end}}' | grep -xE '[0-9a-f]{64}')
docker compose -p "$project" -f "$folder/compose.yml" down -v --remove-orphans -t 0
for label in "stackwarden.owned-by-project=$project" "com.docker.compose.project=$project" "test.stack=$project"; do
  docker ps -aq --filter "label=$label" | xargs -r docker rm -fv
  docker volume ls -q --filter "label=$label" | xargs -r docker volume rm -f
  docker network ls -q --filter "label=$label" | xargs -r docker network rm
done
echo "$volumes" | xargs -r docker volume rm -f
docker images -q --filter "reference=stackwarden-test/$project/*" | xargs -r docker rmi -f
# Files written by containers may belong to root.
rm -rf "$folder" || docker run --rm -v "$folder:/folder" --entrypoint sh "$3" -c 'rm -rf /folder/*' ; rm -rf "$folder"
"#;

/// The cleaning process of one stack.
#[derive(Debug)]
pub struct Guardian {
    child: Child,
}

impl Guardian {
    /// Stands by; `image` is one with a shell.
    pub fn begin(project: &str, folder: &Path, image: &str) -> Self {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "sh", project])
            .arg(folder)
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A runner that kills the test's whole group must not kill its cleaning.
            .process_group(0)
            .spawn()
            .expect("start sh");
        Self { child }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // The next test finds a clean host; a failure to wait changes nothing about this one.
        drop(self.child.wait());
    }
}
