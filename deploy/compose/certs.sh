#!/bin/sh
# Makes the CA and the certificates that are missing, and renews those that end soon: certs.sh COMMAND..., which is `littlevote certs`
# on the folder secrets/certs. The programs run as a user of their own, so they are let to read what is for them; the folder above
# is this user's alone, and so is the CA's.
set -eu
umask 077
cd "$(dirname "$0")/secrets"
mkdir -p certs

[ -e certs/ca/ca.key ] || "$@" init
for kind in gateway ticket-service vote-service query-service persister blog-service; do
  [ -e "certs/$kind/tls.crt" ] || "$@" issue "$kind" --host "$kind-1,$kind-2"
done
[ -e certs/operator/tls.crt ] || "$@" issue operator
"$@" renew
chmod 0755 certs
for folder in certs/*/; do
  [ "$folder" != certs/ca/ ] || continue
  chmod 0755 "$folder"
  chmod 0444 "$folder"tls.crt "$folder"tls.key "$folder"ca.crt
done
