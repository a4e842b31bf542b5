# Says what is in an old server's volume, what of it stands elsewhere, and which servers this image has. Behind programs.sh.
# Arguments: where the volume is, where its copy goes. Prints lines of words between tabs; changes nothing.
set -u
source=$1 target=$2

# A database's own folder has a PG_VERSION too, but no control file.
for folder in "$source" "$source/pgdata" "$source/data" "$source"/[0-9]*/docker; do
  [ -f "$folder/PG_VERSION" ] && [ -f "$folder/global/pg_control" ] || continue
  major=$(head -n 1 "$folder/PG_VERSION")
  owner=$(stat -c %u "$folder/PG_VERSION")
  size=$(du -sk "$folder" | cut -f 1)
  printf 'folder\t%s\t%s\t%s\t%s\n' "${folder#"$source"}" "$major" "$owner" "$size"
  for link in "$folder/pg_wal" "$folder"/pg_tblspc/*; do
    if [ -L "$link" ]; then printf 'elsewhere\t%s\n' "$(readlink "$link")"; fi
  done
done
for place in $(folders_with_programs '*'); do
  printf 'server\t%s\n' "$("$place/postgres" -V 2>/dev/null)"
done
printf 'free\t%s\n' "$(df -Pk "$target" | awk 'NR == 2 { print $4 }')"
