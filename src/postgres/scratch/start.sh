# Runs a scratch server in a container of a database image, without its entrypoint.
# Arguments: folder, major version, bootstrap user, user id of the live server ('' when unknown), encoding of its names.
# Variable: STACKWARDEN_CONFIGURATION, the text of postgresql.conf.
# Ends with 64 for an image that it cannot serve, and with 65 where initdb failed for whatever reason.
set -eu
folder=$1 major=$2 bootstrap=$3 wanted=$4 encoding=$5
umask 077

fail() { echo "stackwarden: $1" >&2; exit 64; }

# The programs must be the live server's own major; an image may hold several.
programs=
for candidate in "$(dirname "$(command -v postgres 2>/dev/null || echo /none/postgres)")" \
  "/usr/lib/postgresql/$major/bin" "/usr/lib/postgresql$major/bin" "/usr/libexec/postgresql$major" \
  "/usr/pgsql-$major/bin" /opt/bitnami/postgresql/bin /usr/local/pgsql/bin /usr/local/bin /usr/bin \
  /usr/lib/postgresql/*/bin /opt/*/bin /nix/var/nix/profiles/default/bin; do
  if [ -x "$candidate/postgres" ] && [ -x "$candidate/initdb" ]; then
    # A program that was killed says nothing about the image.
    version=$("$candidate/postgres" -V 2>/dev/null) || { [ $? -lt 128 ] || exit 65; }
    case $version in
      *") $major."* | *") $major "* | *") ${major}beta"* | *") ${major}rc"* | *") ${major}devel"* | *") $major") programs=$candidate; break ;;
    esac
  fi
done
[ -n "$programs" ] || fail "found no initdb and postgres of version $major in this image"

mkdir -p "$folder"
ln -sfn "$programs" "$folder/bin"

if [ "$(id -u)" = 0 ]; then
  user=${wanted:-$(id -u postgres 2>/dev/null || echo 999)}
  [ "$user" != 0 ] || fail "the server's user is root, under which PostgreSQL does not run"
  # initdb wants a name for its user id.
  if ! awk -F: -v id="$user" '$3 == id { found = 1 } END { exit !found }' /etc/passwd 2>/dev/null; then
    echo "stackwarden:x:$user:$user::/:/bin/sh" >> /etc/passwd
  fi
  group=$(awk -F: -v id="$user" '$3 == id { print $4; exit }' /etc/passwd 2>/dev/null || true)
  group=${group:-$user}
  mkdir -p "$folder/data" "$folder/socket"
  chown "$user:$group" "$folder" "$folder/data" "$folder/socket"
  chmod 755 "$folder" "$folder/socket"
  if command -v gosu >/dev/null 2>&1; then set -- gosu "$user:$group"
  elif command -v su-exec >/dev/null 2>&1; then set -- su-exec "$user:$group"
  elif setpriv --reuid="$user" --regid="$group" --clear-groups true 2>/dev/null; then
    set -- setpriv "--reuid=$user" "--regid=$group" --clear-groups
  elif command -v chroot >/dev/null 2>&1 && chroot "--userspec=$user:$group" / true 2>/dev/null; then
    set -- chroot "--userspec=$user:$group" /
  else fail "found neither gosu, su-exec, setpriv nor chroot in this image"; fi
else
  mkdir -p "$folder/data" "$folder/socket"
  set --
fi

# Checksums of pages guard what is kept; newer versions write them unless told otherwise.
checksums=
[ "$major" -lt 18 ] || checksums=--no-data-checksums

# Not the image's own working folder, which the server's user may not enter.
cd /
LC_ALL=C "$@" "$folder/bin/initdb" -D "$folder/data" -U "$bootstrap" -A trust -E "$encoding" --locale=C --no-sync --no-instructions $checksums >/dev/null \
  || { echo "stackwarden: initdb ended with code $?" >&2; exit 65; }
printf '%s\n' "$STACKWARDEN_CONFIGURATION" > "$folder/data/postgresql.auto.conf"
printf 'local all all trust\n' > "$folder/data/pg_hba.conf"
unset STACKWARDEN_CONFIGURATION
if [ "$(id -u)" = 0 ]; then chown "$user:$group" "$folder/data/postgresql.auto.conf" "$folder/data/pg_hba.conf"; fi
exec "$@" "$folder/bin/postgres" -D "$folder/data"
