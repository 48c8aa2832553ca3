// Package certs is `littlevote certs`: a CA of one's own and certificates of it, for development, tests and Compose. On Kubernetes
// there is cert-manager.
package certs

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/service"
)

const (
	day        = 24 * time.Hour
	caLife     = 10 * 365 * day
	leafLife   = 90 * day
	renewShare = 3 // a certificate is renewed when less than a third of its time is left
)

// Command is `littlevote certs`.
func Command() *cobra.Command {
	f := &folder{}
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make the certificates that processes show each other: a CA, issue, renew",
		Long: `Makes a CA and certificates of it in a folder: ca/ca.crt and ca/ca.key, and for each kind of process a folder of its own with
tls.crt, tls.key and ca.crt, the names that Kubernetes has. Give each process its own folder and never ca/:

  littlevote certs init
  littlevote certs issue                           all kinds
  littlevote certs issue redis --no-kind           a store's, which may call nothing
  vote-service --tls-cert-file=certs/vote-service/tls.crt --tls-key-file=certs/vote-service/tls.key --tls-ca-file=certs/vote-service/ca.crt

Processes read the files again when they change. "certs renew", once a day, renews what has less than a third of its time left.
To exchange the CA while calls go on: "certs next-ca" (a new CA, and both are believed), a minute later "certs renew --all", a
minute later "certs drop-old-ca". All files are for their owner only (0600).`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&f.dir, "dir", "certs", "folder of the CA and the certificates")
	cmd.AddCommand(f.initCommand(), f.issueCommand(), f.renewCommand(), f.nextCommand(), f.dropCommand(), f.showCommand())
	return cmd
}

func (f *folder) initCommand() *cobra.Command {
	var life time.Duration
	cmd := &cobra.Command{
		Use: "init", Short: "Make the CA", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return f.makeCA(life, false) },
	}
	cmd.Flags().DurationVar(&life, "life", caLife, "how long it is good")
	return cmd
}

func (f *folder) issueCommand() *cobra.Command {
	var order order
	cmd := &cobra.Command{
		Use: "issue [KIND]...", Short: "Make certificates; without a kind, for all kinds",
		RunE: func(_ *cobra.Command, names []string) error {
			if len(names) == 0 {
				for _, kind := range service.Kinds() {
					names = append(names, string(kind))
				}
			}
			for _, name := range names {
				if err := f.issue(name, order); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&order.hosts, "host", nil, "further names and addresses that the certificate is served at, beside its own name, localhost, 127.0.0.1 and ::1")
	flags.DurationVar(&order.life, "life", leafLife, "how long it is good")
	flags.BoolVar(&order.noKind, "no-kind", false, "for a store: any name, and the certificate names no kind, so that it may call nothing")
	return cmd
}

func (f *folder) renewCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "renew", Short: "Renew the certificates that have less than a third of their time left, or are of an old CA", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			renewed, err := f.renew(all, time.Now())
			for _, name := range renewed {
				fmt.Fprintln(cmd.OutOrStdout(), "renewed", name)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "renew all of them")
	return cmd
}

func (f *folder) nextCommand() *cobra.Command {
	var life time.Duration
	cmd := &cobra.Command{
		Use: "next-ca", Short: "Make a new CA beside the old one: both are believed, the new one signs", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return f.makeCA(life, true) },
	}
	cmd.Flags().DurationVar(&life, "life", caLife, "how long it is good")
	return cmd
}

func (f *folder) dropCommand() *cobra.Command {
	return &cobra.Command{
		Use: "drop-old-ca", Short: "Believe the newest CA alone; refused while certificates of the old one are there", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return f.dropOld() },
	}
}

func (f *folder) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "List the certificates and when they end", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := f.certificates()
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, one := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\n", one.name, one.leaf.NotAfter.Format(time.RFC3339), hosts(one.leaf))
			}
			return table.Flush()
		},
	}
}
