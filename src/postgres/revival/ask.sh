# Asks the copy for the role that initdb made, by a server of one session that needs no role's name; it recovers first
# what was cut off.
# Arguments: our folder, then those of the server. The question comes by standard input.
folder=$1
shift
cd /
for database in template1 postgres; do
  if answer=$($(cat "$folder/drop") "$folder/bin/postgres" --single "$@" "$database" <<QUESTION
SELECT pg_catalog.encode(pg_catalog.convert_to(rolname::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'hex') AS role FROM pg_catalog.pg_authid WHERE oid = 10
QUESTION
  ); then
    printf '%s\n' "$answer"
    exit 0
  fi
done
exit 1
