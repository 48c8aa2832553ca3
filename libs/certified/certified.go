// Package certified writes the result of a certified ballot as a signed document, and checks one.
//
// It is a JWS (RFC 7515) in compact form: EdDSA with an Ed25519 key over a JSON document. Whoever has the public key can tell
// that it is what was certified, without asking anybody:
//
//	openssl genpkey -algorithm ed25519 -out sign.pem          the setting ballot.sign-key-file
//	openssl pkey -in sign.pem -pubout -out public.pem         to be published
package certified

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/littlevote/littlevote/libs/config"
)

// kind stands in the header of every result, so that nothing else that is signed with the key passes for one.
const kind = "littlevote-result"

const (
	// maxKeyFile bounds what is read of a key file, in bytes.
	maxKeyFile = 64 << 10

	privateKind = "PRIVATE KEY"
	publicKind  = "PUBLIC KEY"
)

// Document is a result as it is signed.
type Document struct {
	Ballot      string    `json:"ballot"` // its full name
	Title       string    `json:"title"`
	Counts      []Count   `json:"counts"` // most votes first, equal ones by name in the order of bytes
	Votes       int64     `json:"votes"`  // that count, retracted and voided ones left out
	Voided      int64     `json:"voided"` // how many votes the voids took out of the count
	Voids       []Void    `json:"voids"`
	CertifiedAt time.Time `json:"certified_at"`
}

// Count is one candidate's.
type Count struct {
	Candidate string `json:"candidate"`
	Votes     int64  `json:"votes"`
}

// Void is a range of admitted votes that do not count.
type Void struct {
	ID         string    `json:"id"`
	First      int64     `json:"first_admission_number"`
	Last       int64     `json:"last_admission_number"`
	Reason     string    `json:"reason"`
	ProposedBy string    `json:"proposed_by"`
	ProposedAt time.Time `json:"proposed_at"`
	ApprovedBy string    `json:"approved_by"`
	ApprovedAt time.Time `json:"approved_at"`
	Votes      int64     `json:"votes"`
}

// Signer signs results.
type Signer struct {
	signer jose.Signer
	public ed25519.PublicKey
}

// NewSigner returns a signer with a key. Its name in what is signed is the key's thumbprint (RFC 7638).
func NewSigner(key ed25519.PrivateKey) (*Signer, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("certified: expected an Ed25519 key")
	}
	name, err := keyID(public)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType(kind).WithHeader("kid", name)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, options)
	if err != nil {
		return nil, fmt.Errorf("certified: %w", err)
	}
	return &Signer{signer: signer, public: public}, nil
}

func keyID(key ed25519.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("certified: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// OpenSigner loads the key that ballot.sign-key-file names, PEM with PKCS#8. In development mode a missing name means a key
// that everybody knows. Errors name the file and the rule, never what stands in the file.
func OpenSigner(file string, dev bool) (*Signer, error) {
	const setting = "ballot.sign-key-file"
	if file == "" {
		if !dev {
			return nil, config.Errorf(setting, "expected a PEM file with an Ed25519 private key (PKCS#8); only with dev may it be missing")
		}
		return NewSigner(devKey())
	}
	block, err := readPEM(file, privateKind)
	if err != nil {
		return nil, config.Errorf(setting, "%v", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, config.Errorf(setting, "%s: expected an Ed25519 private key (PKCS#8)", file)
	}
	return NewSigner(key)
}

// MakeKey makes a key, as PEM: the private one is for ballot.sign-key-file, the public one for everybody.
func MakeKey() (private, public []byte, err error) {
	open, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("certified: %w", err)
	}
	secretDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("certified: %w", err)
	}
	openDER, err := x509.MarshalPKIXPublicKey(open)
	if err != nil {
		return nil, nil, fmt.Errorf("certified: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateKind, Bytes: secretDER}),
		pem.EncodeToMemory(&pem.Block{Type: publicKind, Bytes: openDER}), nil
}

// devKey is no secret at all.
func devKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the development key that signs results of Little Vote: no secret at all"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// DevPublicKey checks what was signed in development mode. It proves nothing.
func DevPublicKey() ed25519.PublicKey {
	return ed25519.PublicKey(devKey()[ed25519.SeedSize:])
}

// LoadPublicKey reads a PEM file with an Ed25519 public key.
func LoadPublicKey(file string) (ed25519.PublicKey, error) {
	block, err := readPEM(file, publicKind)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(block)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: expected an Ed25519 public key", file)
	}
	return key, nil
}

func readPEM(file, kind string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s: expected at most %d bytes", file, maxKeyFile)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: expected PEM with a %s", file, kind)
	}
	return block.Bytes, nil
}

// Public is the key that checks what the signer signs.
func (s *Signer) Public() ed25519.PublicKey { return s.public }

// Sign writes a document down and signs it.
func (s *Signer) Sign(d *Document) (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("certified: %w", err)
	}
	signed, err := s.signer.Sign(text)
	if err != nil {
		return "", fmt.Errorf("certified: %w", err)
	}
	return signed.CompactSerialize()
}

// ErrForged says that a text is no result that was signed with the key.
var ErrForged = errors.New("certified: not a result that was signed with this key")

// Verify checks a signed result and returns what it says.
func Verify(signed string, key ed25519.PublicKey) (*Document, error) {
	parsed, err := jose.ParseSignedCompact(strings.TrimSpace(signed), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	text, err := parsed.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	if parsed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType] != kind {
		return nil, fmt.Errorf("%w: it is something else", ErrForged)
	}
	d := &Document{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	return d, nil
}
