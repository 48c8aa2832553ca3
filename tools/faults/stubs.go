package main

import "github.com/spf13/cobra"

func ciCommand(*options) *cobra.Command   { return &cobra.Command{Use: "ci"} }
func soakCommand(*options) *cobra.Command { return &cobra.Command{Use: "soak"} }
