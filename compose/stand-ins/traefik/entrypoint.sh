#!/bin/sh
# As in the official image, flags and subcommands go to traefik; anything else is run as it stands.
set -e
case ${1:-} in
  -*|version|healthcheck) set -- traefik "$@" ;;
esac
exec "$@"
