// What a private Sigstore needs beside its released programs, on the loopback address it is given:
//
//   - OpenID Connect issuers, one under each path (/people, /ci, …): discovery, keys, and a token
//     endpoint that signs the claims it is sent. Whoever asks is whoever they say they are.
//   - a certificate-transparency log that promises to log a precertificate, and forgets it.
//
// Usage: identity HOST:PORT CT-PUBLIC-KEY-FILE. The file (PEM) is written before it listens.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	stdx509 "crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	"github.com/google/certificate-transparency-go/x509"
)

const (
	keyID = "testbed"
	// How long a token is valid.
	lifetime = 10 * time.Minute
	// The largest request, in bytes.
	maximum = 1 << 20
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	if len(os.Args) != 3 {
		return errors.New("usage: identity HOST:PORT CT-PUBLIC-KEY-FILE")
	}
	address, file := os.Args[1], os.Args[2]
	tokenKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	logKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := stdx509.MarshalPKIXPublicKey(logKey.Public())
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	issuers := issuers{base: "http://" + address, key: tokenKey}
	promises := promises{id: sha256.Sum256(public), key: *logKey}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{issuer}/.well-known/openid-configuration", answer(issuers.discovery))
	mux.HandleFunc("GET /{issuer}/keys", answer(issuers.keys))
	mux.HandleFunc("POST /{issuer}/token", answer(issuers.token))
	mux.HandleFunc("POST /log/ct/v1/add-pre-chain", answer(promises.addPreChain))
	server := &http.Server{Addr: address, Handler: mux, ReadTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// Answers with what the function makes of the request, as JSON, or with its error.
func answer(reply func(*http.Request) (any, error)) http.HandlerFunc {
	return func(writer http.ResponseWriter, request *http.Request) {
		request.Body = http.MaxBytesReader(writer, request.Body, maximum)
		value, err := reply(request)
		if err != nil {
			fmt.Fprintln(os.Stderr, request.URL.Path, err)
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		writer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(writer).Encode(value)
	}
}

type issuers struct {
	base string
	key  *ecdsa.PrivateKey
}

func (i issuers) url(request *http.Request) string {
	return i.base + "/" + request.PathValue("issuer")
}

func (i issuers) discovery(request *http.Request) (any, error) {
	issuer := i.url(request)
	return map[string]any{
		"issuer":                                issuer,
		"jwks_uri":                              issuer + "/keys",
		"token_endpoint":                        issuer + "/token",
		"authorization_endpoint":                issuer + "/authorize",
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	}, nil
}

func (i issuers) keys(*http.Request) (any, error) {
	point, err := i.key.PublicKey.Bytes() // 4, then x and y
	if err != nil {
		return nil, err
	}
	key := map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": keyID,
		"x": encode(point[1:33]), "y": encode(point[33:]),
	}
	return map[string]any{"keys": []any{key}}, nil
}

// The body is the claims; what a token must have beside them is added.
func (i issuers) token(request *http.Request) (any, error) {
	claims := map[string]any{}
	if err := json.NewDecoder(request.Body).Decode(&claims); err != nil {
		return nil, err
	}
	now := time.Now()
	defaults := map[string]any{
		"iss": i.url(request), "aud": "sigstore", "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	}
	for name, value := range defaults {
		if _, given := claims[name]; !given {
			claims[name] = value
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	header := `{"alg":"ES256","typ":"JWT","kid":"` + keyID + `"}`
	signed := encode([]byte(header)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return map[string]string{"id_token": signed + "." + encode(signature)}, nil
}

func encode(bytes []byte) string {
	return base64.RawURLEncoding.EncodeToString(bytes)
}

type promises struct {
	id  [sha256.Size]byte
	key crypto.PrivateKey
}

// RFC 6962, section 4.2.
func (p promises) addPreChain(request *http.Request) (any, error) {
	var body ct.AddChainRequest
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range body.Chain {
		certificate, err := x509.ParseCertificate(der)
		if x509.IsFatal(err) {
			return nil, err
		}
		chain = append(chain, certificate)
	}
	now := uint64(time.Now().UnixMilli())
	leaf, err := ct.MerkleTreeLeafFromChain(chain, ct.PrecertLogEntryType, now)
	if err != nil {
		return nil, err
	}
	promise := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1, LogID: ct.LogID{KeyID: p.id}, Timestamp: now,
	}
	input, err := ct.SerializeSCTSignatureInput(promise, ct.LogEntry{Leaf: *leaf})
	if err != nil {
		return nil, err
	}
	signature, err := tls.CreateSignature(p.key, tls.SHA256, input)
	if err != nil {
		return nil, err
	}
	encoded, err := tls.Marshal(signature)
	if err != nil {
		return nil, err
	}
	return ct.AddChainResponse{
		SCTVersion: ct.V1, ID: p.id[:], Timestamp: now, Signature: encoded,
	}, nil
}
