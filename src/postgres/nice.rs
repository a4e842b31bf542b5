//! How a backend makes room for others: by the priority of its process.

use super::command::CommandSpec;

/// By how much: it gets a tenth of a processor that somebody else wants.
const NICE: u32 = 10;

/// Runs in the server's container, as root or as the server's user. A process that is no backend is left alone: the
/// server may be elsewhere, and its numbers mean nothing here. Only the owner of a process may change its priority.
const SCRIPT: &str = r#"pid=$1 nice=$2
case $(tr '\0' ' ' < "/proc/$pid/cmdline") in postgres:*) ;; *) exit 3 ;; esac
while read -r name owner rest; do [ "$name" != Uid: ] || break; done < "/proc/$pid/status"
[ "$(id -u)" != "$owner" ] || exec renice -n "$nice" -p "$pid"
if command -v gosu >/dev/null 2>&1; then exec gosu "$owner" renice -n "$nice" -p "$pid"
elif command -v su-exec >/dev/null 2>&1; then exec su-exec "$owner" renice -n "$nice" -p "$pid"
else exec setpriv --reuid="$owner" renice -n "$nice" -p "$pid"; fi"#;

/// Lowers the priority of the backend with this process number.
pub fn step_back_command(process: i32) -> CommandSpec {
    let (process, nice) = (process.to_string(), NICE.to_string());
    let words = ["sh", "-c", SCRIPT, "sh", &process, &nice];
    CommandSpec {
        argv: words.map(str::to_owned).to_vec(),
        env: Vec::new(),
    }
}
