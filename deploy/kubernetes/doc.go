// Package kubernetes tests the manifests in its folders: each overlay is built as kubectl does it, every object is decoded strictly
// into the types of the Kubernetes API, and what only a server or a rollout would find is looked for.
package kubernetes
