#!/bin/sh
# Makes the secrets that are missing. Compose mounts each into the containers that name it, with the permissions that it has here,
# and they run as users of their own: so the files may be read by all, and their folder is this user's alone.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

command -v openssl >/dev/null || { echo "secrets.sh: openssl is not installed; it makes the secrets" >&2 && exit 1; }

# secret FILE COMMAND... keeps what the command prints, unless there is such a file.
secret() {
  file=$1
  shift
  [ -s "$file" ] && return
  "$@" >"$file.new"
  chmod 0444 "$file.new"
  mv "$file.new" "$file"
}
word() { openssl rand -hex 24; }
text() { printf '%s\n' "$1"; }

secret postgres-superuser word
secret postgres-password word
secret postgres-replication word
secret redis-password word
secret grafana-password word
# Two may be there: the first signs tickets, both are good.
secret ticket-keys openssl rand -hex 32
# With it certified results are signed; result-key.public is for everybody.
secret result-key openssl genpkey -algorithm ed25519
secret result-key.public openssl pkey -in result-key -pubout

password=$(cat postgres-password)
secret postgres-url text "postgres://littlevote:$password@postgres:5432,postgres-replica:5432/littlevote?sslmode=disable"
secret postgres-replica-url text "postgres://littlevote:$password@postgres-replica:5432/littlevote?sslmode=disable"
secret redis-url text "redis+sentinel://:$(cat redis-password)@sentinel-1:26379,sentinel-2:26379,sentinel-3:26379/littlevote"
