#!/bin/sh
# Runs the Redis that REDIS_NAME names. REDIS_REPLICA_OF is the master that a new one begins with; from then on its own copy of
# redis.conf says whose replica it is, as the Sentinels decided, and is not made again.
set -eu
umask 077
conf=/data/redis.conf

if [ ! -e "$conf" ]; then
  password=$(cat /run/secrets/redis-password)
  {
    cat /etc/littlevote/redis.conf
    echo "replica-announce-ip $REDIS_NAME"
    echo "requirepass $password"
    echo "masterauth $password"
    [ -z "${REDIS_REPLICA_OF:-}" ] || echo "replicaof $REDIS_REPLICA_OF 6379"
  } >"$conf.new"
  mv "$conf.new" "$conf"
fi
exec redis-server "$conf"
