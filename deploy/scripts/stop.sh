#!/bin/sh
# Stops what start.sh started. Votes and secrets stay, unless --clean is given.
set -eu

fail() {
  printf 'stop.sh: %s\n' "$*" >&2
  exit 1
}

cd "$(dirname "$0")/../compose"
clean=
case "${1:-}" in
  '') ;;
  --clean) clean=yes ;;
  -h | --help) echo 'Usage: deploy/scripts/stop.sh [--clean]    --clean also forgets all votes, and the secrets' && exit ;;
  *) fail "unknown argument '$1'; there is --clean" ;;
esac
command -v docker >/dev/null || fail "docker is not installed"

# Of every profile, whichever ran.
set -- --profile '*' down --remove-orphans
[ -z "$clean" ] || set -- "$@" --volumes
docker compose "$@"
[ -z "$clean" ] || rm -rf secrets
