package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

// DefaultTimeout is how long a server may be without an answer, or without a
// message that is there, where nothing is said.
const DefaultTimeout = time.Minute

// shortestTimeout is the shortest timeout that the client can keep.
const shortestTimeout = time.Second

// Server says where the brokers are and how to speak with them.
type Server struct {
	Brokers []string      `yaml:"brokers,required" doc:"Some brokers as HOST:PORT; the others are learned from them."`
	TLS     *TLS          `yaml:"tls" doc:"Speak TLS; {} trusts what the system trusts."`
	SASL    *SASL         `yaml:"sasl" doc:"Authenticate."`
	Timeout time.Duration `yaml:"timeout" doc:"How long the brokers may be away before the attempt fails."`
}

// TLS says whom to trust and who we are.
type TLS struct {
	CA         secret.Ref `yaml:"ca" doc:"Certificates to trust instead of the system's, in PEM: file:PATH or env:NAME."`
	Cert       secret.Ref `yaml:"cert" doc:"Our certificate in PEM: file:PATH or env:NAME."`
	Key        secret.Ref `yaml:"key" doc:"The key of our certificate in PEM: file:PATH or env:NAME."`
	ServerName string     `yaml:"server_name" doc:"The name in the brokers' certificates, if it is not that of the address."`
}

// SASL says who we are.
type SASL struct {
	Mechanism string     `yaml:"mechanism" doc:"plain, scram-sha-256 or scram-sha-512."`
	User      string     `yaml:"user,required" doc:"The name."`
	Password  secret.Ref `yaml:"password,required" doc:"Where the password is: env:NAME or file:PATH."`
}

// Mechanisms of SASL.
const (
	saslPlain    = "plain"
	saslScram256 = "scram-sha-256"
	saslScram512 = "scram-sha-512"
)

// check reports what is wrong.
func (s *Server) check(c *workflow.Check) {
	if len(s.Brokers) == 0 {
		c.Report("brokers", "there are none", "add the address of a broker: brokers: [kafka.example.org:9092]")
	}
	local := true
	for i, address := range s.Brokers {
		host, _, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			c.Report(workflow.IndexPath("brokers", i), fmt.Sprintf("%q is no address of a broker", address), "expected HOST:PORT")
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			local = false
		}
	}
	if s.Timeout < shortestTimeout {
		c.Errorf("timeout", "%s is out of range; expected %s or more", s.Timeout, shortestTimeout)
	}
	if s.TLS != nil && s.TLS.Cert.IsZero() != s.TLS.Key.IsZero() {
		c.Report("tls", "a certificate needs its key, and a key its certificate", "set both cert and key, or none")
	}
	if s.SASL == nil {
		return
	}
	if known := []string{saslPlain, saslScram256, saslScram512}; s.SASL.Mechanism != "" && !slices.Contains(known, s.SASL.Mechanism) {
		c.Unknown("sasl.mechanism", "mechanism", s.SASL.Mechanism, known)
	}
	if s.TLS == nil && !local && (s.SASL.Mechanism == saslPlain || s.SASL.Mechanism == "") {
		c.Report("sasl", "the password would go over the network as it is", "add tls: {}, or use the mechanism scram-sha-512")
	}
}

// dial makes a client. It resolves the secrets, and connects when it is first
// used.
func (s *Server) dial(options ...kgo.Opt) (*kgo.Client, error) {
	all := append([]kgo.Opt{
		kgo.SeedBrokers(s.Brokers...), kgo.ClientID("troupe"), kgo.RetryTimeout(s.Timeout), kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(metadataMinAge),
	}, options...)
	if s.TLS != nil {
		config, err := s.TLS.config()
		if err != nil {
			return nil, err
		}
		all = append(all, kgo.DialTLSConfig(config))
	}
	if s.SASL != nil {
		mechanism, err := s.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		all = append(all, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(all...)
	if err != nil {
		return nil, &fault.Error{Code: fault.InvalidArgument, Op: "kafka.Open", Cause: err}
	}
	return client, nil
}

// metadataMinAge is how soon a client asks again who leads a partition, which it
// does when a leader has gone.
const metadataMinAge = 250 * time.Millisecond

// resolve reads a secret.
func resolve(ref secret.Ref, what string) (string, error) {
	text, err := ref.Resolve(os.Environ())
	if err != nil {
		return "", &fault.Error{Code: fault.FailedPrecondition, Op: "kafka.Open", Message: what + " is not known: " + err.Error()}
	}
	return text, nil
}

func (t *TLS) config() (*tls.Config, error) {
	config := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if !t.CA.IsZero() {
		text, err := resolve(t.CA, "the certificate to trust")
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(text)) {
			return nil, fault.New(fault.FailedPrecondition, "kafka.Open", "%s: there is no certificate in PEM in it", t.CA)
		}
	}
	if t.Cert.IsZero() {
		return config, nil
	}
	cert, err := resolve(t.Cert, "our certificate")
	if err != nil {
		return nil, err
	}
	key, err := resolve(t.Key, "the key of our certificate")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		return nil, fault.New(fault.FailedPrecondition, "kafka.Open", "%s: %s", t.Cert, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	password, err := resolve(s.Password, "the password of "+s.User)
	if err != nil {
		return nil, err
	}
	switch s.Mechanism {
	case saslScram256:
		return scram.Auth{User: s.User, Pass: password}.AsSha256Mechanism(), nil
	case saslScram512:
		return scram.Auth{User: s.User, Pass: password}.AsSha512Mechanism(), nil
	}
	return plain.Auth{User: s.User, Pass: password}.AsMechanism(), nil
}

// limited bounds a request by the timeout.
func (s *Server) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.Timeout, errAway)
}

var errAway = errors.New("the brokers do not answer")
