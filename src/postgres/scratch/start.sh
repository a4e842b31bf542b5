# Runs a scratch server in a container of a database image, without its entrypoint. Stands behind programs.sh.
# Arguments: folder, major version, bootstrap user, user id of the live server ('' when unknown), encoding of its names.
# Variable: STACKWARDEN_CONFIGURATION, the text of postgresql.conf.
# Ends with 64 for an image that it cannot serve, and with 65 where initdb failed for whatever reason.
set -eu
folder=$1 major=$2 bootstrap=$3 wanted=$4 encoding=$5
umask 077

find_programs "$major"
mkdir -p "$folder"
ln -sfn "$programs" "$folder/bin"

drop=
mkdir -p "$folder/data" "$folder/socket"
if [ "$(id -u)" = 0 ]; then
  find_user "$wanted"
  chown "$user:$group" "$folder" "$folder/data" "$folder/socket"
  chmod 755 "$folder" "$folder/socket"
fi

# Checksums of pages guard what is kept; newer versions write them unless told otherwise.
checksums=
[ "$major" -lt 18 ] || checksums=--no-data-checksums

# Not the image's own working folder, which the server's user may not enter.
cd /
LC_ALL=C $drop "$folder/bin/initdb" -D "$folder/data" -U "$bootstrap" -A trust -E "$encoding" --locale=C --no-sync --no-instructions $checksums >/dev/null \
  || { echo "stackwarden: initdb ended with code $?" >&2; exit 65; }
printf '%s\n' "$STACKWARDEN_CONFIGURATION" > "$folder/data/postgresql.auto.conf"
printf 'local all all trust\n' > "$folder/data/pg_hba.conf"
unset STACKWARDEN_CONFIGURATION
if [ "$(id -u)" = 0 ]; then chown "$user:$group" "$folder/data/postgresql.auto.conf" "$folder/data/pg_hba.conf"; fi
exec $drop "$folder/bin/postgres" -D "$folder/data"
