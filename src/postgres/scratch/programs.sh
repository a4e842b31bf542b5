# For the scripts behind it: a server's programs in a container of its image, and the user that it runs as.
# Ends with 64 for an image that cannot be served, and with 65 where a program was killed.
fail() { echo "stackwarden: $1" >&2; exit 64; }

# Folders with the programs of a server; $1 is a major version, or `*`.
folders_with_programs() {
  for place in "$(dirname "$(command -v postgres 2>/dev/null || echo /none/postgres)")" \
    /usr/lib/postgresql/$1/bin /usr/lib/postgresql$1/bin /usr/libexec/postgresql$1 \
    /usr/pgsql-$1/bin /opt/bitnami/postgresql/bin /usr/local/pgsql/bin /usr/local/bin /usr/bin \
    /usr/lib/postgresql/*/bin /opt/*/bin /nix/var/nix/profiles/default/bin; do
    if [ -x "$place/postgres" ] && [ -x "$place/initdb" ]; then echo "$place"; fi
  done
}

# Sets `programs` to the folder with those of the major version $1: an image may hold several.
find_programs() {
  programs=
  for candidate in $(folders_with_programs "$1"); do
    # A program that was killed says nothing about the image.
    version=$("$candidate/postgres" -V 2>/dev/null) || { [ $? -lt 128 ] || exit 65; }
    case $version in
      *") $1."* | *") $1 "* | *") ${1}beta"* | *") ${1}rc"* | *") ${1}devel"* | *") $1") programs=$candidate; break ;;
    esac
  done
  [ -n "$programs" ] || fail "found no initdb and postgres of version $1 in this image"
}

# Sets `user` and `group`, and `drop` to the words that run a program as these; $1 is a user id, or '' for the image's own.
find_user() {
  user=${1:-$(id -u postgres 2>/dev/null || echo 999)}
  [ "$user" != 0 ] || fail "the server's user is root, under which PostgreSQL does not run"
  # initdb wants a name for its user id.
  if ! awk -F: -v id="$user" '$3 == id { found = 1 } END { exit !found }' /etc/passwd 2>/dev/null; then
    echo "stackwarden:x:$user:$user::/:/bin/sh" >> /etc/passwd
  fi
  group=$(awk -F: -v id="$user" '$3 == id { print $4; exit }' /etc/passwd 2>/dev/null || true)
  group=${group:-$user}
  if command -v gosu >/dev/null 2>&1; then drop="gosu $user:$group"
  elif command -v su-exec >/dev/null 2>&1; then drop="su-exec $user:$group"
  elif setpriv --reuid="$user" --regid="$group" --clear-groups true 2>/dev/null; then
    drop="setpriv --reuid=$user --regid=$group --clear-groups"
  elif command -v chroot >/dev/null 2>&1 && chroot "--userspec=$user:$group" / true 2>/dev/null; then
    drop="chroot --userspec=$user:$group /"
  else fail "found neither gosu, su-exec, setpriv nor chroot in this image"; fi
}
