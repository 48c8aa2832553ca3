package main

import "github.com/spf13/cobra"

func soakCommand(*options) *cobra.Command { return &cobra.Command{Use: "soak"} }
