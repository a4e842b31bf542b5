#!/usr/bin/env bash
# First start: makes the cluster from POSTGRES_* and runs /docker-entrypoint-initdb.d. Every start: becomes the user postgres and the server.
set -Eeuo pipefail

fail() { echo "docker-entrypoint.sh: $*" >&2; exit 1; }

# secret NAME: takes the value from the file that NAME_FILE names; both at once is a mistake.
secret() {
  local file_name="$1_FILE"
  local file=${!file_name:-}
  [ -z "$file" ] && return 0
  [ -z "${!1:-}" ] || fail "$1 and $file_name are both set"
  export "$1"="$(< "$file")"
  unset "$file_name"
}

make_cluster() {
  [ -n "${POSTGRES_PASSWORD:-}" ] || [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ] \
    || fail "the database is not initialised and POSTGRES_PASSWORD is not set"
  local arguments=()
  eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
  [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
  if [ -n "${POSTGRES_PASSWORD:-}" ]; then   # through a pipe: never in the arguments, never in a file
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
  else
    initdb --username="$POSTGRES_USER" "${arguments[@]}"
  fi
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption -D "$PGDATA")}" >> "$PGDATA/pg_hba.conf"
}

run_sql() { psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname "$@"; }

# The official order: by name; a script that is not executable is sourced, the rest goes through psql.
run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) echo "$0: running $file"; if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) echo "$0: running $file"; run_sql "$POSTGRES_DB" -f "$file" ;;
      *.sql.gz) echo "$0: running $file"; gunzip -c "$file" | run_sql "$POSTGRES_DB" ;;
      *.sql.xz) echo "$0: running $file"; xzcat "$file" | run_sql "$POSTGRES_DB" ;;
      *.sql.zst) echo "$0: running $file"; zstd -dc "$file" | run_sql "$POSTGRES_DB" ;;
      *) echo "$0: ignoring $file" ;;
    esac
  done
}

# Nobody connects over the network before the init files are through: this first server listens on its socket only.
first_start() {
  PGUSER=${PGUSER:-$POSTGRES_USER} pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")" -w start
  if [ "$POSTGRES_DB" != postgres ]; then
    printf 'CREATE DATABASE :"db";\n' | POSTGRES_DB='' run_sql postgres --set db="$POSTGRES_DB"
  fi
  PGPASSWORD=${POSTGRES_PASSWORD:-} run_init_files
  pg_ctl -D "$PGDATA" -m fast -w stop
}

main() {
  [ "${1:0:1}" != - ] || set -- postgres "$@"
  [ "$1" = postgres ] || exec "$@"
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
    find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    exec gosu postgres "$BASH_SOURCE" "$@"
  fi
  secret POSTGRES_PASSWORD; secret POSTGRES_USER; secret POSTGRES_DB; secret POSTGRES_INITDB_ARGS
  export POSTGRES_USER=${POSTGRES_USER:-postgres}
  export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"; chmod 700 "$PGDATA" 2>/dev/null || true
    make_cluster
    shift
    first_start "$@"
    set -- postgres "$@"
    echo "PostgreSQL init process complete; ready for start up."
  fi
  exec "$@"
}

main "$@"
