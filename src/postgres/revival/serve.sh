# What the container does: waits until the copy is there, then is the server.
# Arguments: our folder, then those of the server.
folder=$1
shift
until [ -e "$folder/ready" ]; do sleep 0.1 2>/dev/null || sleep 1; done
cd /
exec $(cat "$folder/drop") "$folder/bin/postgres" "$@"
