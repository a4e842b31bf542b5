#!/usr/bin/env python3
"""Corrupts stored backups at random and tells which level of a verification catches each.

    tests/bench/corruptions.py [--count 1000] [--seed 20260101] [--keep]

Each packing that stackwarden stores gets its share: zstd inside the archive (PostgreSQL 17), a plain archive inside one zstd
stream (15), gzip inside the archive (15 without the zstd program). Prints a Markdown table; docs/faults.md holds a run.

What is the product's own and what is not. Backups are taken by stackwarden. `stream` is `stackwarden verify`, once per
corruption. `archive` runs the same words in the database's container as the check after each dump. `restore` first runs
the same pg_restore in one long-lived container that was made of what `docker inspect` says of stackwarden's own scratch
server; where that succeeds, size and hash in the manifest are forged, and `stackwarden verify --level content` judges.
So the levels above `stream` are asked as if the bytes had been wrong when they were written: nobody gets to them otherwise.
"""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

IMAGE = os.environ.get("STACKWARDEN_IMAGE", "stackwarden:0.1.0")
SCRATCH = "stackwarden-proof"
KINDS = ("flip", "truncate", "splice", "zero")
BATCH = 50

COMPOSE = """
name: {project}
services:
  postgres:
    image: {postgres}
    environment: {{ POSTGRES_USER: app, POSTGRES_PASSWORD: bench, POSTGRES_DB: app }}
    volumes: ["{folder}/corrupt:/corrupt:ro"]
    healthcheck: {{ test: ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "app"], interval: 1s, retries: 60 }}
  stackwarden:
    image: {image}
    volumes: ["/var/run/docker.sock:/var/run/docker.sock", "{folder}/backups:/backups"]
    environment:
      STACKWARDEN_BACKUP_SCHEDULE: "0 0 1 1 *"
      STACKWARDEN_BACKUP_VERIFY: "${{LEVEL:-content}}"
"""

LOAD = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL, balance numeric(12,2), mood mood, at timestamptz);
INSERT INTO accounts SELECT g, 'owner ' || g, (g * 7919 % 100000)::numeric / 100, (ARRAY['good', 'bad'])[1 + g % 2]::mood,
  '2026-01-01'::timestamptz + g * interval '1 minute' FROM generate_series(1, 4000) g;
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, account int REFERENCES accounts, body jsonb, tags text[]);
INSERT INTO events (account, body, tags) SELECT 1 + g % 4000, jsonb_build_object('k', g % 1000, 'v', md5((g % 500)::text)),
  ARRAY['a', g::text] FROM generate_series(1, 8000) g;
CREATE INDEX ON events (account);
CREATE TABLE noise AS SELECT g AS id, sha512(g::text::bytea) AS body FROM generate_series(1, 1500) g;
CREATE VIEW good AS SELECT * FROM accounts WHERE mood = 'good';
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
COMMENT ON TABLE accounts IS 'who owns what';
SELECT lo_from_bytea(0, sha256('large'));
"""

# Both programs have to end well, as stackwarden asks it.
DECODE = {"file:zstd": "{ zstd -dc -q < $f; echo $? > /tmp/rc; } | pg_restore -f /dev/null && [ $(cat /tmp/rc) = 0 ]"}
# A pipe, as stackwarden feeds it: on a file that it can seek in, pg_restore reads another way.
DECODE_PLAIN = "cat $f | pg_restore -f /dev/null"
UNPACK = {"file:zstd": "zstd -dc -q -f -o /tmp/archive -- $f && "}
RESTORE = ("PGOPTIONS='-c default_transaction_read_only=off -c statement_timeout=0' timeout 120 pg_restore -C -w --exit-on-error "
           "--no-tablespaces -j 2 -d \"user='app' host='/stackwarden/socket' dbname='template1'\" ")
# Whatever a damaged archive created goes before the next one.
CLEAN = ("for d in $(psql -h /stackwarden/socket -U app -d template1 -qAtXc \"SELECT quote_ident(datname) FROM pg_database "
         "WHERE NOT datistemplate AND datname <> 'postgres'\"); do "
         "psql -h /stackwarden/socket -U app -d template1 -qXc \"DROP DATABASE $d WITH (FORCE)\"; done")


def run(*command, expect=(0,), **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if expect and done.returncode not in expect:
        sys.exit(f"corruptions: {' '.join(command)[:200]} ended with {done.returncode}: {(done.stdout + done.stderr)[-800:]}")
    return done


def until(what, ask, seconds=240):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    sys.exit(f"corruptions: waited {seconds} s in vain for {what}")


class Stack:
    """A database, its sidecar, one proven backup, and a scratch server like the one that proved it."""

    def __init__(self, postgres, work):
        self.project = f"sw-corrupt-{os.getpid()}-{random.getrandbits(16):04x}"
        self.folder = work / self.project
        for name in ("corrupt", "backups"):
            (self.folder / name).mkdir(parents=True)
        self.file = self.folder / "compose.yml"
        self.file.write_text(COMPOSE.format(project=self.project, postgres=postgres, image=IMAGE, folder=self.folder))
        self.database, self.sidecar = f"{self.project}-postgres-1", f"{self.project}-stackwarden-1"
        self.scratch = f"{self.project}-scratch"

    def compose(self, *words, level="content"):
        return run("docker", "compose", "-f", str(self.file), *words, env={**os.environ, "LEVEL": level})

    def begin(self):
        self.compose("up", "-d", "--wait", "postgres")
        run("docker", "exec", "-i", self.database, "psql", "-q", "-U", "app", "-d", "app", "-v", "ON_ERROR_STOP=1", input=LOAD)
        self.compose("up", "-d", "stackwarden")
        self.start_scratch(until("the first proof's scratch server", self.own_scratch))
        until("the first proof", lambda: any(it["standing"] == "proven" and it["level"] == "content" for it in self.listed()))
        # From now on nothing is proven but what is asked for.
        self.compose("up", "-d", "--force-recreate", "--no-deps", "stackwarden", level="archive")
        until("the sidecar", self.listed)
        (manifest,) = [path for path in self.folder.glob("backups/*/postgres/app/*.json") if ".proof-" not in path.name]
        self.manifest_path, self.manifest = manifest, json.loads(manifest.read_text())
        self.stored = manifest.with_name(self.manifest["file"])
        self.original, self.packing = self.stored.read_bytes(), self.manifest["compression"]

    def own_scratch(self):
        """What the engine says of the scratch server of this stack's own proof."""
        done = run("docker", "inspect", SCRATCH, expect=None)
        found = json.loads(done.stdout) if done.returncode == 0 else []
        label = "stackwarden.owned-by-project"
        return found[0] if found and found[0]["Config"]["Labels"].get(label) == self.project else None

    def start_scratch(self, like):
        config = like["Config"]
        environment = [word for line in config["Env"] for word in ("-e", line)]
        run("docker", "run", "-d", "--name", self.scratch, "--label", f"com.docker.compose.project={self.project}", "--network", "none",
            "--user", config["User"] or "0", "--tmpfs", "/stackwarden:exec", "-v", f"{self.folder}/corrupt:/corrupt:ro", *environment,
            "--entrypoint", config["Entrypoint"][0], like["Image"], *config["Entrypoint"][1:], *config["Cmd"])
        ready = ("docker", "exec", self.scratch, "pg_isready", "-q", "-h", "/stackwarden/socket")
        until("the long-lived scratch server", lambda: run(*ready, expect=None).returncode == 0)
        roles = sorted(self.folder.glob("backups/*/postgres/globals/*.sql"))[0].read_text()
        # The bootstrap user is there; its ALTER stays.
        roles = "".join(line + "\n" for line in roles.splitlines() if line != "CREATE ROLE app;")
        run("docker", "exec", "-i", self.scratch, "psql", "-qX", "-h", "/stackwarden/socket", "-U", "app", "-d", "template1", input=roles)

    def listed(self):
        done = run("docker", "exec", self.sidecar, "/stackwarden", "--json", "backups", expect=None)
        return [it for it in json.loads(done.stdout) if it["database"] == "app"] if done.returncode == 0 else []

    def verify(self, level):
        """The standing after `stackwarden verify`, and the differences it named; the proof is taken away again."""
        identity = self.manifest["id"]
        done = run("docker", "exec", self.sidecar, "/stackwarden", "verify", identity, "--level", level, expect=(0, 1))
        proofs = sorted(self.stored.parent.glob(f"{identity}.proof-*"))
        if len(proofs) != 1 + self.first_proofs:
            sys.exit(f"corruptions: no proof was written: {done.stdout}{done.stderr}")
        proof = json.loads(proofs[-1].read_text())
        proofs[-1].unlink()
        return done.returncode == 0, proof.get("differences") or []

    def forge(self, data):
        forged = {**self.manifest, "stored_sha256": hashlib.sha256(data).hexdigest(), "stored_bytes": len(data)}
        self.manifest_path.write_text(json.dumps(forged))

    def heal(self):
        self.manifest_path.write_text(json.dumps(self.manifest))
        self.stored.write_bytes(self.original)

    def codes(self, container, script, count):
        """The exit code of a script for each of the numbered files."""
        loop = f'for n in $(seq 0 {count - 1}); do f=/corrupt/$n; ( {script} ) >/dev/null 2>&1; echo "$n $?"; {{ {CLEAN if container == self.scratch else ":"}; }} >/dev/null 2>&1; done'
        done = run("docker", "exec", container, "sh", "-c", loop)
        return [int(line.split()[1]) for line in done.stdout.splitlines()]

    def end(self):
        run("docker", "rm", "-f", "-v", self.scratch, expect=None)
        run("docker", "compose", "-f", str(self.file), "down", "-v", "-t", "0", expect=None)


def corrupt(kind, original, chance):
    """Bytes that differ from the original, and where."""
    while True:
        data, at = bytearray(original), chance.randrange(len(original))
        length = min(2 ** chance.randrange(4, 13), len(original) - at)
        if kind == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "truncate":
            del data[at:]
        elif kind == "zero":
            data[at:at + length] = bytes(length)
        else:  # bytes of one place at another, as a mixed-up block
            source = chance.randrange(len(original) - length + 1)
            data[at:at + length] = original[source:source + length]
        if bytes(data) != original:
            return bytes(data)


def level_of(differences):
    """The lowest level at which a proof would have named one of these differences."""
    text = [str(it) if isinstance(it, str) else f"{it.get('kind')} {it.get('name')}: {it.get('what')}" for it in differences]
    below = lambda it: "holds other values" not in it
    if any(it.startswith(("schema", "file", "role")) for it in text):
        return "restore"
    return "rows" if any(below(it) for it in text) else "content"


def judge(stack, batch, found):
    """Asks every level about a batch of corruptions, and counts."""
    for number, (_, data) in enumerate(batch):
        (stack.folder / "corrupt" / str(number)).write_bytes(data)
    decoded = stack.codes(stack.database, DECODE.get(stack.packing, DECODE_PLAIN), len(batch))
    file = "/tmp/archive" if stack.packing in UNPACK else "$f"
    restored = stack.codes(stack.scratch, UNPACK.get(stack.packing, "") + RESTORE + file, len(batch))
    for (kind, data), decode, restore in zip(batch, decoded, restored, strict=True):
        stack.stored.write_bytes(data)
        well, differences = stack.verify("stream")
        caught = {"stream"} if not well and "SHA-256 differs" in str(differences) else set()
        if decode != 0:
            caught.add("archive")
        first = "restore" if restore != 0 else None
        if restore == 0:
            stack.forge(data)
            well, differences = stack.verify("content")
            first = None if well else level_of(differences)
        stack.heal()
        levels = ("restore", "rows", "content")
        caught |= set(levels[levels.index(first):]) if first else {"equal"}
        found[stack.packing, kind].append(caught)
        if restore == 124:
            print(f"corruptions: a {kind} let pg_restore hang", file=sys.stderr)


def without_zstd():
    """PostgreSQL 15 as it is in images that have no zstd program."""
    name = "stackwarden-corruptions:15-without-zstd"
    run("docker", "build", "-q", "-t", name, "-", input="FROM postgres:15\nRUN rm -f $(command -v zstd)\n")
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--keep", action="store_true", help="leave the stacks running")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    work = pathlib.Path(tempfile.mkdtemp(prefix="stackwarden-corruptions-"))
    found, begun = collections.defaultdict(list), time.monotonic()
    images = ("postgres:17", "postgres:15", without_zstd())
    try:
        for position, image in enumerate(images):
            share = arguments.count // 3 + (position < arguments.count % 3)
            stack = Stack(image, work)
            try:
                stack.begin()
                stack.first_proofs = len(list(stack.stored.parent.glob("*.proof-*")))
                cases = [(KINDS[n % 4], corrupt(KINDS[n % 4], stack.original, chance)) for n in range(share)]
                for start in range(0, share, BATCH):
                    judge(stack, cases[start:start + BATCH], found)
                    print(f"corruptions: {stack.packing}: {min(start + BATCH, share)} of {share}", file=sys.stderr, flush=True)
            finally:
                if not arguments.keep:
                    stack.end()
    finally:
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)
    columns = ("stream", "archive", "restore", "rows", "content", "equal")
    print("| packing | corruption | number | `stream` | `archive` | `restore` | `rows` | `content` | copy equal |\n|" + "---|" * 9)
    whole = [caught for cases in found.values() for caught in cases]
    for (packing, kind), cases in [*found.items(), (("**all**", ""), whole)]:
        counts = [sum(column in caught for caught in cases) for column in columns]
        print(f"| {packing} | {kind} | {len(cases)} | " + " | ".join(map(str, counts)) + " |")
    print(f"\nSeed {arguments.seed}, {time.monotonic() - begun:.0f} s.")
    missed = sum("stream" not in caught for caught in whole)
    if missed or len(whole) != arguments.count:
        sys.exit(f"corruptions: {missed} of {len(whole)} were not caught at stream")


if __name__ == "__main__":
    main()
