#!/bin/sh
# Runs broker KAFKA_NODE, by the name KAFKA_NAME, of the cluster whose controllers are KAFKA_VOTERS. Topics of its own have
# KAFKA_COPIES copies, of which KAFKA_IN_SYNC must be written before anything is acknowledged.
set -eu
umask 077
properties=/tmp/server.properties
{
  cat /etc/littlevote/server.properties
  echo "node.id=$KAFKA_NODE"
  echo "advertised.listeners=PLAINTEXT://$KAFKA_NAME:9092"
  echo "controller.quorum.voters=$KAFKA_VOTERS"
  for topic in offsets.topic transaction.state.log share.coordinator.state.topic; do
    echo "$topic.replication.factor=$KAFKA_COPIES"
  done
  echo "transaction.state.log.min.isr=$KAFKA_IN_SYNC"
  echo "share.coordinator.state.topic.min.isr=$KAFKA_IN_SYNC"
  echo "default.replication.factor=$KAFKA_COPIES"
  echo "min.insync.replicas=$KAFKA_IN_SYNC"
} >"$properties"
export LOG_DIR=/tmp/logs
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "$KAFKA_CLUSTER" --config "$properties"
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
