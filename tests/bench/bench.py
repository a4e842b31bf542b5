#!/usr/bin/env python3
"""Measures stackwarden against bare pg_dump, pg_restore and the usual bash, side by side in one run.

    tests/bench/bench.py [--rows MILLIONS | --tables N] [--postgres 17] [--readers] [--bucket] [--rounds 2] [--keep]

Every figure is a ratio of two times taken in this run, or a reading of the kernel. Prints a Markdown table;
docs/benchmarks.md holds a run with the machine it was taken on. Needs docker, docker compose and wrk.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

IMAGE = os.environ.get("STACKWARDEN_IMAGE", "stackwarden:0.1.0")
PROJECT = f"sw-bench-{os.getpid()}"
TOKEN = "bench-token-of-this-run"
# So many databases make a page of metrics of more than 1 MB.
MANY = 150
# The next proof that is due begins within a second.
QUIET = 4

COMPOSE = """
name: {project}
services:
  postgres:
    image: postgres:{major}
    environment: {{ POSTGRES_USER: app, POSTGRES_PASSWORD: bench, POSTGRES_DB: app }}
    shm_size: 256mb
    command: ["postgres", "-c", "max_wal_size=4GB", "-c", "shared_buffers=512MB", "-c", "max_locks_per_transaction={locks}"]
    volumes: [data:/var/lib/postgresql/data]
    healthcheck: {{ test: ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "app"], interval: 1s, retries: 60 }}
  app:
    image: postgres:{major}
    entrypoint: ["sleep", "86400"]
    init: true
    depends_on: {{ stackwarden-gate: {{ condition: service_completed_successfully }} }}
    environment: {{ DATABASE_URL: "postgresql://app:bench@postgres/app", PGPASSWORD: bench }}
    labels:
      stackwarden.backup: "false"
      stackwarden.migrate.entrypoint: clear
      stackwarden.migrate: '["psql", "-h", "postgres", "-U", "app", "-d", "app", "-c", "INSERT INTO alembic_version SELECT ''1'' WHERE NOT EXISTS (SELECT 1 FROM alembic_version)"]'
  stackwarden-gate:
    image: {image}
    command: gate
    restart: "no"
    volumes: ["/var/run/docker.sock:/var/run/docker.sock", "{folder}:/backups"]
    depends_on: {{ postgres: {{ condition: service_healthy }} }}
  stackwarden:
    image: {image}
    volumes: ["/var/run/docker.sock:/var/run/docker.sock", "{folder}:/backups"]
    environment:
      STACKWARDEN_TOKEN: {token}
      STACKWARDEN_BACKUP_SCHEDULE: "0 0 1 1 *"
      STACKWARDEN_BACKUP_VERIFY: "${{LEVEL:-stream}}"
      STACKWARDEN_PROOF_MEMORY: 4GB
{bucket}volumes:
  data:
"""

# Ceph's gateway, as `make stores` builds it, on the same machine: it takes its share of the two cores.
BUCKET = """      STACKWARDEN_BACKUP_DATABASES: app
      STACKWARDEN_S3_BUCKET: "${BUCKET}"
      STACKWARDEN_S3_ENDPOINT: "${BUCKET:+http://store:8000}"
      AWS_ACCESS_KEY_ID: AKIATESTTESTTEST
      AWS_SECRET_ACCESS_KEY: secretsecretsecret
  store:
    image: stackwarden-test/ceph:rgw
    environment: { BYTES: "12884901888" }
"""

# An application that writes: so many at once, each row in a transaction of a session of its own. What was acknowledged is told as
# nanoseconds, row and the database's oid; a session that ended before its answer came acknowledged nothing.
WRITERS = 3
WRITES = "CREATE TABLE IF NOT EXISTS writes (id text PRIMARY KEY, at timestamptz DEFAULT clock_timestamp());"
WRITER = """n=0; while [ ! -e /tmp/enough ]; do n=$((n + 1))
told=$(psql -qAtX -U app -d app -c "INSERT INTO writes (id) VALUES ('$1-$n') RETURNING id || ' ' || (SELECT oid FROM pg_database WHERE datname = current_database())" 2>/dev/null) \\
  && echo "$(date +%s%N) $told"
done"""

LOAD = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
CREATE TABLE accounts AS SELECT g AS id, g % 97 AS branch, md5(g::text) AS name, (g % 100000)::numeric / 100 AS balance,
  now() - g * interval '1 second' AS at FROM generate_series(1, {accounts}) g;
CREATE TABLE events AS SELECT g AS id, 1 + g % {accounts} AS account, md5(g::text) || md5((g * 7)::text) AS payload,
  g % 5 AS kind, jsonb_build_object('k', g % 1000, 'v', md5((g % 5000)::text)) AS details FROM generate_series(1, {events}) g;
ALTER TABLE accounts ADD PRIMARY KEY (id);
ALTER TABLE events ADD PRIMARY KEY (id);
CREATE INDEX ON events (account);
VACUUM ANALYZE;
"""

TABLES = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);\n"
TABLE = ("CREATE TABLE t_{n:05} (id serial PRIMARY KEY, name text, at timestamptz DEFAULT now());\n"
         "INSERT INTO t_{n:05} (name) SELECT md5(g::text) FROM generate_series(1, 20) g;\n")

# The nine steps of the usual script: plain dump to a file, size, header, trailer, checksum, gzip, listing, retention.
NINE_STEPS = """set -e; f=/work/plain.sql
pg_dump -U app app > $f; wc -c < $f >/dev/null; head -n 5 $f | grep -q 'PostgreSQL database dump'
tail -n 5 $f | grep -q 'dump complete'; sha256sum $f > $f.sha256; gzip -f $f; ls -la /work >/dev/null
find /work -name '*.gz' -mtime +7 -delete"""

TUNED = ("-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 "
         "-c autovacuum=off -c maintenance_work_mem=256MB -c max_wal_size=4GB -c shared_buffers=256MB")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(command)[:200]} failed with {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout


def timed(*command):
    begun = time.monotonic()
    run(*command)
    return time.monotonic() - begun


def best(rounds, action):
    return min(action() for _ in range(rounds))


class Stack:
    def __init__(self, major, folder, bucket, tables):
        self.folder = folder / "backups"
        self.folder.mkdir()
        self.file = folder / "compose.yml"
        self.file.write_text(COMPOSE.format(project=PROJECT, major=major, image=IMAGE, folder=self.folder, token=TOKEN,
                                            # A bare pg_dump of many tables needs more than the default.
                                            locks=1024 if tables else 64,
                                            bucket=BUCKET if bucket else ""))
        self.database = f"{PROJECT}-postgres-1"
        self.sidecar = f"{PROJECT}-stackwarden-1"

    def compose(self, *arguments, level="stream", bucket="shop-backups"):
        return run("docker", "compose", "-f", str(self.file), *arguments, env={**os.environ, "LEVEL": level, "BUCKET": bucket})

    def inside(self, script):
        return ("docker", "exec", "-u", "postgres", self.database, "sh", "-c", script)

    def start_sidecar(self, level, bucket="shop-backups"):
        self.compose("up", "-d", "--wait", "--force-recreate", "--no-deps", "stackwarden", level=level, bucket=bucket)
        until("the sidecar to know its database", lambda: self.status()["databases"])
        self.settle()

    def status(self):
        return json.loads(run("docker", "exec", self.sidecar, "/stackwarden", "status", "--json"))

    def settle(self):
        """Until no job has run for a while: what is unproven is proven by and by, and would run beside what is measured."""
        quiet = lambda: all(job["ended_at"] for job in self.status()["jobs"])
        begun = time.monotonic()
        while True:
            until("running jobs to end", quiet)
            since = time.monotonic()
            while quiet():
                if time.monotonic() - since > QUIET:
                    return
                time.sleep(0.5)
            if time.monotonic() - begun > 1800:
                sys.exit("bench: the sidecar never came to rest")

    def back_up(self):
        """Wall seconds of the command, and what the manifest says."""
        begun = time.monotonic()
        job = json.loads(run("docker", "exec", self.sidecar, "/stackwarden", "backup", "--json", "postgres/app"))
        wall = time.monotonic() - begun
        part = next(part for part in job["parts"] if part["subject"] == "postgres/app")
        manifest = json.loads(next(self.folder.rglob(f"{part['backup']}.json")).read_text())
        return wall, manifest

    def stage_sums(self):
        text = get(self.address(), "/metrics").decode()
        found = re.findall(r'backup_duration_seconds_sum\{service="postgres",database="app",stage="(\w+)"\} (\S+)', text)
        return {stage: float(value) for stage, value in found}

    def address(self):
        return run("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.sidecar).strip()

    def pid(self):
        return run("docker", "inspect", "-f", "{{.State.Pid}}", self.sidecar).strip()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        pid = self.pid()
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        return {name: int(re.search(rf"{name}:\s+(\d+)", text).group(1)) / 1024 for name in ("VmHWM", "VmRSS", "RssAnon")}


class Rows(list):
    """Tells each row as it comes, so that a later failure does not cost the earlier figures."""

    def append(self, row):
        print("bench: " + "; ".join(part for part in row if part), file=sys.stderr, flush=True)
        super().append(row)


def get(address, path):
    with urllib.request.urlopen(f"http://{address}:9180{path}", timeout=20) as answer:
        return answer.read()


def until(what, condition, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.2)
    sys.exit(f"bench: waited {seconds} s in vain for {what}")


def wrk(url, connections=16):
    text = run("wrk", "-t1", f"-c{connections}", "-d5s", "--latency", url)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def per_core(stack):
    """What /health serves, and what it would serve if the sidecar had one whole core."""
    cpu, (rate, p99) = stack.cpu_seconds(), wrk(f"http://{stack.address()}:9180/health")
    spent = stack.cpu_seconds() - cpu
    return f"{rate:,.0f} requests/s, {rate * 5 / spent:,.0f} per second of CPU, p99 {p99:.1f} ms"


def readers(stack, rows):
    """/health and /metrics while many databases, each with its series, are being backed up."""
    create = ["psql", "-q", "-U", "app", "-d", "app", "-v", "ON_ERROR_STOP=1"]
    # A database without a table is not backed up.
    text = "CREATE DATABASE many_000;\n\\c many_000\nCREATE TABLE one (id int PRIMARY KEY);\n\\c app\n" + "\n".join(
        f"CREATE DATABASE many_{n:03} TEMPLATE many_000;" for n in range(1, MANY))
    run("docker", "exec", "-i", "-u", "postgres", stack.database, *create, input=text)
    stack.compose("up", "-d", "--wait", "--force-recreate", "--no-deps", "stackwarden", level="stream")
    size = lambda: len(get(stack.address(), "/metrics"))
    until("a page of 1 MB", lambda: size() > 1_000_000, 900)
    busy = lambda: any(job["kind"] == "backup" and not job["ended_at"] for job in stack.status()["jobs"])
    if not busy():
        subprocess.Popen(["docker", "exec", stack.sidecar, "/stackwarden", "backup"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the backup to begin", busy)
    rows.append(("`/health` during a backup", per_core(stack), "", "10 000 on one core"))
    # One scraper at a time, as Prometheus is.
    _, p99 = wrk(f"http://{stack.address()}:9180/metrics", connections=1)
    if not busy():
        sys.exit("bench: the backup ended before the readers did; raise MANY")
    rows.append((f"`/metrics`, {size() / 1e6:.1f} MB, during a backup", f"p99 {p99:.1f} ms", "", "20 ms at 1 MB"))


def restore(stack, major, dump, settings, jobs, after):
    """Seconds to restore `dump` into a throw-away server with these settings."""
    name = f"{PROJECT}-restore"
    try:
        run("docker", "run", "-d", "--name", name, "--label", "stackwarden.bench=1", "-e", "POSTGRES_PASSWORD=x", "-e",
            "POSTGRES_USER=app", "--shm-size", "256m", "-v", f"{dump.parent}:/dump:ro", f"postgres:{major}",
            "postgres", *settings.split())
        until("the restore server", lambda: subprocess.run(
            ["docker", "exec", name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "app"]).returncode == 0)
        return timed("docker", "exec", name, "sh", "-c",
                     f"createdb -U app copy && pg_restore -U app -d copy -j {jobs} /dump/{dump.name} && {after}")
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True)


def gate_seconds(stack):
    stack.compose("up", "-d", "--no-deps", "--force-recreate", "stackwarden-gate")
    name = f"{PROJECT}-stackwarden-gate-1"
    until("the gate", lambda: run("docker", "inspect", "-f", "{{.State.Status}}", name).strip() == "exited")
    state = json.loads(run("docker", "inspect", "-f", "{{json .State}}", name))
    if state["ExitCode"] != 0:
        sys.exit(f"bench: the gate failed: {run('docker', 'logs', name)[-500:]}")
    parse = lambda text: time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:-1][:7])
    return parse(state["FinishedAt"]) - parse(state["StartedAt"])


def event_milliseconds(stack):
    """From Docker's own time of a `die` to /health showing it."""
    app, address = f"{PROJECT}-app-1", stack.address()
    status = lambda: json.loads(get_any(address, "/health"))["status"]
    until("a well stack", lambda: status() != "fail", 60)
    asker = subprocess.Popen(["docker", "kill", app], stdout=subprocess.DEVNULL)
    begun = time.time()
    while status() != "fail":
        if time.time() - begun > 30:
            sys.exit("bench: /health never showed the stopped app")
    seen = time.time()
    asker.wait()
    told = run("docker", "events", "--since", f"{begun - 1:.0f}", "--until", f"{time.time() + 1:.0f}", "--filter", f"container={app}",
               "--filter", "event=die", "--format", "{{.TimeNano}}")
    run("docker", "start", app)
    return (seen - int(told.split()[-1]) / 1e9) * 1000


def get_any(address, path):
    try:
        return get(address, path)
    except urllib.error.HTTPError as error:
        return error.read()


class Writers:
    """Rows that an application wrote, and knows to be written, while databases are exchanged under it."""

    def __init__(self, stack, work):
        self.stack, self.files, self.processes = stack, [], []
        run(*stack.inside(f"psql -qX -U app -d app -c '{WRITES}'"))
        for number in range(WRITERS):
            path = work / f"acknowledged-{number}"
            self.files.append(path)
            command = ["docker", "exec", "-u", "postgres", stack.database, "sh", "-c", WRITER, "sh", f"w{number}"]
            self.processes.append(subprocess.Popen(command, stdout=path.open("w"), stderr=subprocess.DEVNULL))

    def acknowledged(self):
        """When, which row, in which database; in the order of time."""
        lines = [line.split() for path in self.files for line in path.read_text().splitlines()]
        return sorted((int(at), row, int(oid)) for at, row, oid in (line for line in lines if len(line) == 3))

    def end(self):
        run(*self.stack.inside("touch /tmp/enough"))
        for process in self.processes:
            process.wait(60)

    def lost(self):
        """Acknowledged rows that are not in the database that acknowledged them."""
        acknowledged, lost = self.acknowledged(), []
        names = run(*self.stack.inside("psql -qAtX -U app -d postgres -c 'SELECT oid, datname FROM pg_database'"))
        names = dict((int(oid), name) for oid, name in (line.split("|", 1) for line in names.splitlines()))
        for oid in {oid for _, _, oid in acknowledged}:
            told = {row for _, row, where in acknowledged if where == oid}
            # Names of what is put aside hold no quotes.
            there = run(*self.stack.inside(f"psql -qAtX -U app -d '{names[oid]}' -c 'SELECT id FROM writes'")) if oid in names else ""
            lost += sorted(told - set(there.split()))
        return lost

    def gaps(self):
        """The silence at each of the two changes of database, in milliseconds: what the application saw."""
        acknowledged = self.acknowledged()
        pairs = zip(acknowledged, acknowledged[1:])
        changes = [(after[0], (after[0] - before[0]) / 1e6) for before, after in pairs if before[2] != after[2]]
        # What was acknowledged before a change may be told just after it.
        longest = sorted(changes, key=lambda change: -change[1])[:2]
        return [silence for _, silence in sorted(longest)]


def exchanged_under_writers(stack, rows, work, chosen):
    """A swap from the bucket and its undo, while an application writes."""
    writers = Writers(stack, work)
    try:
        until("the application to write", lambda: len(writers.acknowledged()) > 100)
        of = ["--database", "postgres/app"]
        for words in ([*chosen, "--swap", "--yes", "--from", "s3", *of], ["--undo", "--yes", *of]):
            restored(stack, rows, words)
            seen = len(writers.acknowledged())
            until("the application to go on", lambda: len(writers.acknowledged()) > seen + 100)
    finally:
        writers.end()
    lost, acknowledged, gaps = writers.lost(), writers.acknowledged(), writers.gaps()
    if lost or len(gaps) != 2:
        sys.exit(f"bench: {len(lost)} acknowledged rows are gone ({lost[:5]}), and the database changed {len(gaps)} times")
    rows.append(("rows that the application wrote meanwhile", f"{len(acknowledged):,} acknowledged, {len(lost)} lost", "", "0 lost"))
    rows.append(("the application's longest wait at swap and undo", " and ".join(f"{gap:.0f} ms" for gap in gaps), "", "milliseconds"))


def restored(stack, rows, words):
    begun = time.monotonic()
    done = run("docker", "exec", stack.sidecar, "/stackwarden", "restore", *words)
    took = re.search(r"nobody could connect for (\d+ ms)", done)
    told = f"nobody could connect for {took.group(1)}" if took else ""
    rows.append((f"`restore {' '.join(words)}`", f"{time.monotonic() - begun:.1f} s", told, ""))


def cpu_of(stack):
    """Seconds of CPU that Postgres, the sidecar and the store have used so far, by the kernel's count."""
    found = []
    for name in (stack.database, stack.sidecar, f"{PROJECT}-store-1"):
        pid = run("docker", "inspect", "-f", "{{.State.Pid}}", name).strip()
        groups = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        first = re.search(r":([\w,]*cpuacct[\w,]*):(.*)", groups)
        if first:
            path = pathlib.Path(f"/sys/fs/cgroup/{first.group(1)}{first.group(2)}/cpuacct.usage")
            found.append(int(path.read_text()) / 1e9)
            continue
        path = pathlib.Path(f"/sys/fs/cgroup{re.search(r'0::(.*)', groups).group(1)}/cpu.stat")
        found.append(int(re.search(r"usage_usec (\d+)", path.read_text()).group(1)) / 1e6)
    return found


def from_the_bucket(stack, rows, bare, rounds, work):
    """Backups that go to the disk and the bucket in one pass, and what comes back from there."""
    stack.compose("up", "-d", "--wait", "store")
    walls = {}
    for bucket in ("", "shop-backups"):
        stack.start_sidecar("archive", bucket)
        spent, took = [], []
        for _ in range(rounds):
            before, begun = cpu_of(stack), time.monotonic()
            walls.setdefault(bucket, []).append(stack.back_up()[0])
            took.append(time.monotonic() - begun)
            spent.append([after - at for after, at in zip(cpu_of(stack), before)])
            stack.settle()
    disk, both = min(walls[""]), min(walls["shop-backups"])
    rows.append(("backup to disk alone at `archive`", f"{disk:.1f} s", f"{disk / bare:.2f} × bare", ""))
    rows.append(("backup to disk and bucket at `archive`", f"{both:.1f} s", f"{both / bare:.2f} × bare", "1.7 with S3"))
    fastest = took.index(min(took))
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in zip(("Postgres", "sidecar", "store"), spent[fastest]))
    rows.append(("its seconds of CPU, of two cores", told, f"{sum(spent[fastest]) / (2 * took[fastest]):.0%} of both", ""))
    rows.append(("sidecar's memory with a bucket, peak", f"{stack.memory()['VmHWM']:.0f} MiB", "", "64 MiB"))
    # `latest` is the newest that was restored and compared, and the application's table has to be in it.
    run(*stack.inside(f"psql -qX -U app -d app -c '{WRITES}'"))
    stack.start_sidecar("content")
    stack.back_up()
    until("a proof", lambda: any(job["kind"] == "verify" and job["ended_at"] for job in stack.status()["jobs"]))
    stack.settle()
    restored(stack, rows, ["latest", "--into", "copy", "--from", "s3"])
    run(*stack.inside("dropdb -U app copy"))
    exchanged_under_writers(stack, rows, work, ["latest"])
    rows.append(("sidecar's memory after restores, peak", f"{stack.memory()['VmHWM']:.0f} MiB", "", "64 MiB"))


def measure(stack, arguments, work):
    rows, major, rounds = Rows(), arguments.postgres, arguments.rounds
    size = int(run(*stack.inside("psql -U app -d app -Atc 'SELECT pg_database_size(current_database())'")))
    rows.append(("database", f"{size / 1e9:.2f} GB, PostgreSQL {major}", "", ""))
    packing = "pg_dump -U app -Fc --compress=zstd:1 app > /dev/null"
    if major < 16:
        packing = "pg_dump -U app -Fc -Z0 app | zstd -1 -q > /dev/null"
    bare = best(rounds, lambda: timed(*stack.inside(packing)))
    rows.append(("bare dump to /dev/null", f"{bare:.1f} s", "", ""))
    if arguments.bucket:
        from_the_bucket(stack, rows, bare, rounds, work)
        return rows

    def ours(level):
        stack.start_sidecar(level)
        walls, dumps, cpu = [], [], stack.cpu_seconds()
        for _ in range(rounds):
            before = stack.stage_sums().get("dump", 0.0)
            wall, manifest = stack.back_up()
            dumps.append(stack.stage_sums()["dump"] - before)
            walls.append(wall)
            stack.settle()
        return min(walls), min(dumps), (stack.cpu_seconds() - cpu) / rounds, manifest

    stream, dump_plain, cpu, _ = ours("stream")
    rows.append(("backup to disk at `stream`", f"{stream:.1f} s, {cpu:.1f} s of CPU in the sidecar", f"{stream / bare:.2f} × bare", "1.3 (1.1)"))
    archive, dump_decoded, _, _ = ours("archive")
    rows.append(("backup to disk at `archive`", f"{archive:.1f} s", f"{archive / bare:.2f} × bare", "1.7 with S3"))
    counted, dump_counted, _, manifest = ours("content")
    rows.append(("digests beside the dump", f"{dump_counted:.1f} s for {dump_decoded:.1f} s", f"{dump_counted / dump_decoded:.2f} ×", "1.3"))
    rows.append(("digests and decoding beside it", f"{dump_counted:.1f} s for {dump_plain:.1f} s", f"{dump_counted / dump_plain:.2f} ×", ""))
    job = json.loads(run("docker", "exec", stack.sidecar, "/stackwarden", "verify", manifest["id"], "--json"))
    if job["state"] != "succeeded":
        sys.exit(f"bench: the proof failed: {job}")
    proof = job["seconds"]
    proven = counted + proof
    rows.append(("proven backup at `content`", f"{proven:.1f} s ({counted:.1f} + {proof:.1f})", "", ""))
    memory = stack.memory()
    rows.append(("sidecar's memory, peak", f"{memory['VmHWM']:.0f} MiB", "", "64 MiB"))

    nine = best(1, lambda: timed("docker", "exec", "-u", "root", stack.database, "sh", "-c", f"mkdir -p /work; {NINE_STEPS}"))
    run("docker", "exec", "-u", "root", stack.database, "rm", "-rf", "/work")
    rows.append(("nine-step bash", f"{nine:.1f} s", f"{nine / archive:.1f} × ours at `archive`", "5"))

    dump = work / "bare.dump"
    pack = "--compress=zstd:1" if major >= 16 else "-Z1"
    with dump.open("wb") as file:
        begun = time.monotonic()
        subprocess.run(["docker", "exec", "-u", "postgres", stack.database, "pg_dump", "-U", "app", "-Fc", pack, "app"], stdout=file, check=True)
        dumped = time.monotonic() - begun
    tuned = restore(stack, major, dump, TUNED, 2, "true")
    plain = restore(stack, major, dump, "", 1, "psql -U app -d copy -Atc 'SELECT count(*) FROM alembic_version'")
    rows.append(("dump + tuned restore -j2", f"{dumped + tuned:.1f} s", f"ours {proven / (dumped + tuned):.2f} × ({proven - dumped - tuned:+.1f} s)", "1.25 and 3 s"))
    rows.append(("dump + default drill", f"{dumped + plain:.1f} s", f"ours {(dumped + plain) / proven:.2f} × faster", "1.25 (1.5)"))

    time.sleep(5)
    memory = stack.memory()
    rows.append(("sidecar's memory, idle after it", f"{memory['RssAnon']:.1f} MiB anonymous, {memory['VmRSS']:.1f} MiB in all", "", "8 / 20 MiB"))
    rows.append(("`/health`, nothing else running", per_core(stack), "", "10 000 on one core"))
    stack.compose("up", "-d", "stackwarden-gate", "app", level="content")
    gate = statistics.median(gate_seconds(stack) for _ in range(3))
    rows.append(("gate with nothing to do", f"{gate:.2f} s", "", "1 s"))
    event = statistics.median(event_milliseconds(stack) for _ in range(3))
    rows.append(("event to `/health`", f"{event:.0f} ms", "", "100 ms"))
    if arguments.readers:
        readers(stack, rows)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=6.0, help="millions of rows in the larger table; 6 make about 1.6 GB")
    parser.add_argument("--tables", type=int, default=0, help="so many small tables instead of two large ones")
    parser.add_argument("--postgres", type=int, default=17)
    parser.add_argument("--bucket", action="store_true", help="with a bucket beside the disk, and restores from there, instead of the rest")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--readers", action="store_true", help="also /health and /metrics at 1 MB during a backup")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("bench: wrk is missing: apt-get install wrk")
    work = pathlib.Path(tempfile.mkdtemp(prefix="stackwarden-bench-"))
    stack = Stack(arguments.postgres, work, arguments.bucket, arguments.tables)
    try:
        stack.compose("up", "-d", "--wait", "postgres")
        events = int(arguments.rows * 1e6)
        load = LOAD.format(events=events, accounts=max(events // 3, 1))
        if arguments.tables:
            load = TABLES + "".join(TABLE.format(n=n) for n in range(arguments.tables))
        run("docker", "exec", "-i", "-u", "postgres", stack.database, "psql", "-q", "-U", "app", "-d", "app", "-v", "ON_ERROR_STOP=1", input=load)
        rows = measure(stack, arguments, work)
    finally:
        if not arguments.keep:
            subprocess.run(["docker", "compose", "-f", str(stack.file), "down", "-v", "-t", "0", "--remove-orphans"], capture_output=True)
            shutil.rmtree(work, ignore_errors=True)
    print("| what | measured | ratio | bar |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
