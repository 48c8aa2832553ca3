package ballot

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/certified"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// maxSigned bounds what is read of an answer, or of a signed result, in bytes.
const maxSigned = 64 << 20

func (o *options) verifyCommand() *cobra.Command {
	var (
		keyFile string
		dev     bool
	)
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a signed result, without asking anybody",
		Long: `Reads a result as "littlevote ballot result --signed" or "--json" prints it, from a file or from stdin, checks its signature, and prints
what was signed. Exits with 1 if it was not signed with the key.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := o.publicKey(keyFile, dev)
			if err != nil {
				return err
			}
			signed, err := readSigned(cmd, args)
			if err != nil {
				return err
			}
			document, err := certified.Verify(signed, key)
			if err != nil {
				return err
			}
			return o.showDocument(cmd, document)
		},
	}
	cmd.Flags().StringVar(&keyFile, "public-key", "", "PEM file with the Ed25519 public key; else the one in --data-dir")
	cmd.Flags().BoolVar(&dev, "dev", false, "take the key of development mode, which everybody knows: this proves nothing")
	cmd.MarkFlagsMutuallyExclusive("public-key", "dev")
	return cmd
}

func (o *options) publicKey(file string, dev bool) (ed25519.PublicKey, error) {
	if dev {
		return certified.DevPublicKey(), nil
	}
	if file == "" {
		file = filepath.Join(o.dataDir, reach.ResultKeyFile)
	}
	return certified.LoadPublicKey(file)
}

// readSigned takes the signed document out of whatever there is.
func readSigned(cmd *cobra.Command, args []string) (string, error) {
	in := cmd.InOrStdin()
	if len(args) > 0 && args[0] != "-" {
		file, err := os.Open(args[0])
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSigned))
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return string(text), nil
	}
	var result struct {
		Signed string `json:"signed"`
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return "", fmt.Errorf("expected a signed result: %w", err)
	}
	return result.Signed, nil
}
