//! An empty Postgres of the stock image beside the stack: where an owner without stackwarden restores, and where a
//! wrong dump is made.

use super::program::{Ran, docker, run};
use super::stack::Stack;
use super::{SOON, wait_until};

/// Where it sees the stack's backup folder.
const FOLDER: &str = "/stored";

/// A running empty server, removed when dropped.
#[derive(Debug)]
pub struct FreshServer {
    container: String,
}

impl FreshServer {
    /// Starts one that sees the backup folder of a stack.
    #[track_caller]
    pub fn start(stack: &Stack, image: &str) -> Self {
        Self::start_with(stack, image, &[])
    }

    /// The same with more to see, as `docker run -v` has it.
    #[track_caller]
    pub fn start_with(stack: &Stack, image: &str, mounts: &[String]) -> Self {
        let container = format!("{}-fresh", stack.project());
        let label = format!("test.stack={}", stack.project());
        let volume = format!("{}:{FOLDER}", stack.backup_folder().display());
        let trust = "POSTGRES_HOST_AUTH_METHOD=trust";
        let mut words = vec![
            "run", "-d", "--name", &container, "--label", &label, "-v", &volume,
        ];
        for mount in mounts {
            words.extend(["-v", mount]);
        }
        words.extend(["-e", trust, image]);
        drop(docker(&words).ok());
        let server = Self { container };
        wait_until("the fresh server takes connections", SOON, || {
            let asked = docker(&[
                "exec",
                &server.container,
                "pg_isready",
                "-q",
                "-h",
                "127.0.0.1",
            ]);
            if asked.code == 0 {
                Ok(())
            } else {
                Err(asked.said())
            }
        });
        server
    }

    /// Runs one line of shell as its superuser, in a folder of the backup folder.
    pub fn shell(&self, folder: &str, line: &str) -> Ran {
        let folder = format!("{FOLDER}/{folder}");
        let words = [
            "exec",
            "-e",
            "PGUSER=postgres",
            "-w",
            &folder,
            &self.container,
            "sh",
            "-c",
            line,
        ];
        docker(&words)
    }

    /// Executes SQL, stopping at the first error; gives what it prints.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let words = [
            "exec",
            "-i",
            &self.container,
            "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
        ];
        run("docker", &words, Some(sql)).ok().trim().to_owned()
    }
}

impl Drop for FreshServer {
    fn drop(&mut self) {
        drop(docker(&["rm", "-fv", &self.container]));
    }
}
