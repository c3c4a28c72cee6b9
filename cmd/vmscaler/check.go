package main

import "github.com/spf13/cobra"

func checkCommand(_ *globals) *cobra.Command { return &cobra.Command{Use: "check"} }
