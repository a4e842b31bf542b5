//! A Postgres outside the stack: encrypted connections alone, a certificate of its own authority, an owner without any other
//! right.

use serde_json::Value;

use crate::harness::{SOON, Stack, docker, run, wait_until};

/// The owner's, with letters that mean something in a file of passwords and in a URL.
pub const PASSWORD: &str = "sh:op\\pass@word/71c2";
/// The same in a URL.
pub const PASSWORD_IN_URL: &str = "sh%3Aop%5Cpass%40word%2F71c2";
/// The name of its certificate.
pub const HOST: &str = "db.example";

/// Makes two authorities, one certificate by the first of them, and starts the server with it.
const START: &str = r#"
set -e
mkdir -p /tls && cd /tls
for authority in ca other; do
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$authority of the test" -keyout $authority.key -out $authority.pem 2>/dev/null
done
openssl req -newkey rsa:2048 -nodes -subj /CN=db.example -keyout server.key -out server.csr 2>/dev/null
printf 'subjectAltName=DNS:db.example\n' > extension
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out server.pem 2>/dev/null
printf 'local all all trust\nhostssl all all all scram-sha-256\n' > hba.conf
chown postgres server.key server.pem hba.conf && chmod 600 server.key
# Takes connections on 5998 and never says a word.
perl -MIO::Socket::INET -e '$silent = IO::Socket::INET->new(LocalPort => 5998, Listen => 9) or die; sleep' &
exec docker-entrypoint.sh postgres -c ssl=on -c ssl_cert_file=/tls/server.pem -c ssl_key_file=/tls/server.key -c hba_file=/tls/hba.conf
"#;

/// What owners of managed databases find: one may not enter `postgres`, nor ask for the server's identifier; another may enter
/// it.
const SETTING: &str = r"
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
CREATE ROLE shop LOGIN CREATEDB PASSWORD 'sh:op\pass@word/71c2';
CREATE DATABASE shop OWNER shop;
CREATE DATABASE locked OWNER shop;
CREATE ROLE keeper LOGIN CREATEDB PASSWORD 'sh:op\pass@word/71c2';
CREATE DATABASE ledger OWNER keeper;
GRANT CONNECT ON DATABASE postgres TO keeper;
REVOKE CONNECT ON DATABASE shop, locked FROM PUBLIC;
\connect locked
REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC;
CREATE TABLE t AS SELECT 1 AS i;
ALTER TABLE t OWNER TO shop;
\connect ledger
SET ROLE keeper;
CREATE TABLE entries AS SELECT i FROM generate_series(1, 100) i;
\connect shop
SET ROLE shop;
CREATE TABLE orders (id int PRIMARY KEY, amount numeric, note text);
INSERT INTO orders SELECT i, i * 1.5, repeat('x', i % 40) FROM generate_series(1, 5000) i;
CREATE TABLE parts AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 2000) i;
SELECT lo_from_bytea(0, 'an object');
";

/// A running server, removed when dropped.
#[derive(Debug)]
pub struct Server {
    container: String,
}

impl Server {
    /// Starts it beside a stack whose network exists.
    #[track_caller]
    pub fn start(stack: &Stack) -> Self {
        Self::start_of(stack, "postgres:17")
    }

    /// The same of another major version.
    #[track_caller]
    pub fn start_of(stack: &Stack, image: &str) -> Self {
        let container = format!("{}-outside", stack.project());
        let (label, network) = (
            format!("test.stack={}", stack.project()),
            format!("{}_default", stack.project()),
        );
        let password = "POSTGRES_PASSWORD=a secret of nobody";
        let words = [
            "run",
            "-d",
            "--name",
            &container,
            "--label",
            &label,
            "--network",
            &network,
            "--network-alias",
            HOST,
            "--network-alias",
            "other.example",
            "-e",
            password,
            image,
            "bash",
            "-c",
            START,
        ];
        drop(docker(&words).ok());
        let server = Self { container };
        // Its own setup ends with a restart that listens on the network.
        wait_until("the server outside takes connections", SOON, || {
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
        drop(server.psql("postgres", SETTING));
        for name in ["ca.pem", "other.pem"] {
            let text = docker(&["exec", &server.container, "cat", &format!("/tls/{name}")]).ok();
            std::fs::write(stack.folder().join(format!("certificates/{name}")), text)
                .expect("write a certificate");
        }
        server
    }

    /// Executes SQL as superuser, stopping at the first error; gives what it prints.
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

/// A URL of an owner for a database.
pub fn url(user: &str, database: &str) -> String {
    format!("postgres://{user}:{PASSWORD_IN_URL}@{HOST}/{database}")
}

/// Writes down the servers that the sidecar is to know, and the owner's password.
pub fn give(stack: &Stack, servers: &Value) {
    let secrets = stack.folder().join("secrets");
    std::fs::write(secrets.join("servers"), servers.to_string()).expect("write the servers");
    std::fs::write(secrets.join("shop"), format!("{PASSWORD}\n")).expect("write the password");
}

impl Drop for Server {
    fn drop(&mut self) {
        // Before the stack: a network with a container in it stays behind.
        drop(docker(&["rm", "-fv", &self.container]));
    }
}
