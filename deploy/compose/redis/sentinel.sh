#!/bin/sh
# Runs the Sentinel that REDIS_NAME names. Its own copy of sentinel.conf says who the master is, and is not made again.
set -eu
umask 077
conf=/data/sentinel.conf

if [ ! -e "$conf" ]; then
  password=$(cat /run/secrets/redis-password)
  {
    cat /etc/littlevote/sentinel.conf
    echo "sentinel announce-ip $REDIS_NAME"
    echo "sentinel auth-pass littlevote $password"
    echo "requirepass $password"
  } >"$conf.new"
  mv "$conf.new" "$conf"
fi
exec redis-server "$conf" --sentinel
