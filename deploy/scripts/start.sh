#!/bin/sh
# Starts Little Vote by Docker Compose, and returns when every part of it is well.
set -eu

usage() {
  cat <<'TEXT'
Usage: deploy/scripts/start.sh [--profile kafka-cluster] [ARGUMENT OF docker compose up]...

The first start makes the secrets and certificates, in deploy/compose/secrets; each start renews what ends soon. Settings, such as ports, are in deploy/compose/.env, or in variables of
the same names. --profile kafka-cluster runs three Kafka brokers instead of one; it can't be changed once there are votes.
TEXT
}
fail() {
  printf 'start.sh: %s\n' "$*" >&2
  exit 1
}

cd "$(dirname "$0")/../compose"
cluster=
case "${1:-}" in
  -h | --help) usage && exit ;;
  --profile)
    [ "${2:-}" = kafka-cluster ] || fail "--profile: expected kafka-cluster, got '${2:-}'"
    cluster=yes
    shift 2
    ;;
esac

command -v docker >/dev/null || fail "docker is not installed: https://docs.docker.com/engine/install/"
docker compose version >/dev/null 2>&1 || fail "docker has no compose: https://docs.docker.com/compose/install/"
docker info >/dev/null 2>&1 || fail "docker does not answer: is the daemon running, and may $(id -un) use it?"
./secrets.sh

# What stop.sh needs to find the same containers.
if [ -n "$cluster" ]; then
  [ ! -e secrets/profile ] || grep -q kafka-cluster secrets/profile || fail "there are votes in the single broker already; stop.sh --clean forgets them"
  echo kafka-cluster >secrets/profile
elif [ ! -e secrets/profile ]; then
  echo kafka-single >secrets/profile
fi

# The programs' certificates, by the image itself, which has to be there first.
docker compose build --quiet migrate || fail "the image could not be built"
tag=${IMAGE_TAG:-$(sed -n 's/^IMAGE_TAG=//p' .env)}
./certs.sh docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges --user "$(id -u):$(id -g)" \
  --volume "$PWD/secrets/certs:/certs" "littlevote:$tag" littlevote certs --dir /certs || fail "the certificates could not be made"

set -- up --detach --build --wait --wait-timeout 600 --remove-orphans "$@"
if grep -q kafka-cluster secrets/profile; then
  set -- --env-file .env --env-file kafka-cluster.env "$@"
fi
docker compose "$@" || fail "not everything is well; this shows more: cd $PWD && docker compose ps && docker compose logs --tail 50"
printf 'Little Vote is at http://%s/\n' "$(docker compose port load-balancer 8080)"
