// Package kubernetes tests the manifests in its folders: each overlay is built as kubectl does it, every object is decoded strictly
// into the types of the Kubernetes API, and what only a server, or a roll-out, would find is looked for: selectors that miss, ports
// that nobody listens on, settings that no program takes, calls that a network policy refuses.
package kubernetes
