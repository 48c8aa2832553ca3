// Package deploy holds what brings Little Vote to machines that others run: an image, manifests, and the script that applies them.
// It is a module of its own, with tests alone, so that the heavy libraries they need stay out of the programs.
package deploy
