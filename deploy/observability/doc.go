// Package observability tests the dashboards, alerts and configurations in its folder: that every expression is PromQL, that every
// metric in them is one that a process exports, that every alert fires when it should and says what to do, and that Grafana and the
// collector can read what is for them.
package observability
