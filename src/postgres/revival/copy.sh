# Copies an old server's data beside it and makes the copy fit to be started. Behind programs.sh.
# Arguments: the data, our folder, major version, user id of the files.
set -eu
source=$1 folder=$2 major=$3 wanted=$4

find_programs "$major"
ln -sfn "$programs" "$folder/bin"
# Files of root's were put there by hand: no server ever ran on them.
[ "$wanted" != 0 ] || wanted=
find_user "$wanted"
mkdir -p "$folder/data" "$folder/socket"
cp -a "$source/." "$folder/data/"
cd "$folder/data"
# No server runs on a copy, whatever was cut off; nobody follows it, and it follows nobody.
rm -rf postmaster.pid standby.signal recovery.signal pg_replslot/*
# Some images keep the configuration elsewhere; without the file there is no start.
[ -f postgresql.conf ] || : > postgresql.conf
printf 'local all all trust\n' > "$folder/pg_hba.conf"
: > "$folder/pg_ident.conf"
[ "$(stat -c %u PG_VERSION)" = "$user" ] || chown -R "$user:$group" "$folder/data"
chown "$user:$group" "$folder" "$folder/data" "$folder/socket" "$folder/pg_hba.conf" "$folder/pg_ident.conf" postgresql.conf
chmod 700 "$folder/data"
chmod 755 "$folder" "$folder/socket"
printf '%s\n' "$drop" > "$folder/drop"
