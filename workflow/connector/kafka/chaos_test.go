package kafka

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/troupe-dev/troupe/fault"
)

// Req W2, F6: leaders change and a broker goes away while a run reads and writes:
// each row arrives once.
func TestLeadersChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 200)
	handles := []*kfake.FaultHandle{
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.NotLeaderForPartition, Count: 3}),
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "invoices", Err: kerr.NotLeaderForPartition, Count: 3}),
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.CoordinatorLoadInProgress, TopLevel: true, Count: 2}),
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.NotCoordinator, Count: 2}),
	}
	var fetches atomic.Int32
	b.onFetch(func() {
		switch fetches.Add(1) {
		case 2:
			go b.ShufflePartitionLeaders()
		case 4:
			go func() { _ = b.RemoveNode(2) }()
		}
	})
	_, err := b.run(orders + "  - {id: out, type: sink.kafka, from: in, with: {brokers: BROKERS, topic: invoices, key: string(id)}}\n")
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range handles {
		if h.Hits() == 0 {
			t.Errorf("the fault %d did not happen", i)
		}
	}
	_, err = b.run("  - {id: in, type: source.kafka, with: {brokers: BROKERS, topics: [invoices], columns: {id: int}}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n")
	if got := b.rows("out"); err != nil || !slices.Equal(got, numbers(0, 200)) {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

// Brokers that are away fail the attempt with an error that a retry heeds.
func TestBrokersAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 3)
	once := strings.Replace(orders, "type: source.kafka", "type: source.kafka, retry: {max: -1}", 1)
	read := strings.Replace(once, "brokers: BROKERS", "timeout: 1s, brokers: BROKERS", 1) + "  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	write := "  - {id: in, type: source.memory, retry: {max: -1}, with: {columns: {id: int}, rows: [[1]]}}\n  - {id: out, type: sink.kafka, from: in, with: {timeout: 1s, brokers: BROKERS, topic: orders}}\n"
	// Messages that are there and do not come.
	stuck := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.ReplicaNotAvailable, Count: -1})
	if _, err := b.run(read); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "kafka.Read orders") {
		t.Errorf("reading: %v (%s)", err, fault.CodeOf(err))
	}
	stuck.Remove()
	stuck = b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	if _, err := b.run(write); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "kafka.Prepare orders") {
		t.Errorf("writing: %v (%s)", err, fault.CodeOf(err))
	}
	stuck.Remove()
	if _, err := b.run(read); err != nil || !slices.Equal(b.rows("out"), numbers(0, 3)) {
		t.Errorf("when they are back: %q, %v", b.rows("out"), err)
	}
	b.Close()
	for _, nodes := range []string{read, write} {
		if _, err := b.run(nodes); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("nobody listens: %v (%s)", err, fault.CodeOf(err))
		}
	}
}

// What is wrong for good says so, and what to do.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 3)
	sink := "  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	for _, tt := range []struct {
		nodes string
		fault kfake.Fault
		code  fault.Code
		want  string
	}{
		{strings.Replace(orders, "[orders]", "[nothing]", 1) + sink, kfake.Fault{}, fault.NotFound, "create the topic"},
		{orders + sink, kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1}, fault.PermissionDenied, "let the user read"},
		{orders + sink, kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownMemberID, Count: -1}, fault.FailedPrecondition, "choose another group"},
		{"  - {id: in, type: source.memory, with: {columns: {id: int}, rows: [[0]]}}\n  - {id: out, type: sink.kafka, from: in, with: {brokers: BROKERS, topic: orders, key: string(1 / id)}}\n", kfake.Fault{}, fault.InvalidArgument, "the row 0: key: division by zero"},
		{orders + sink, kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.SaslAuthenticationFailed, Count: -1}, fault.Unauthenticated, "check sasl"},
		{"  - {id: in, type: source.memory, with: {columns: {id: int}, rows: [[0]]}}\n  - {id: out, type: sink.kafka, from: in, with: {brokers: BROKERS, topic: none}}\n", kfake.Fault{}, fault.NotFound, "create the topic"},
	} {
		var handle *kfake.FaultHandle
		if tt.fault.Err != nil {
			handle = b.Fault(tt.fault)
		}
		_, err := b.run(tt.nodes)
		if handle != nil {
			handle.Remove()
		}
		if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v (%s); want %s: %s", err, fault.CodeOf(err), tt.code, tt.want)
		}
	}
}

// Req S1: TLS with a certificate of one's own authority, and SASL, with secrets by
// reference.
func TestSecurity(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	b := newBench(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "ada", "hunter2"), kfake.Superuser("PLAIN", "ada", "hunter2"),
		kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TROUPE_TEST_KAFKA", "hunter2")
	for _, tt := range []struct {
		with, want string
		code       fault.Code
	}{
		{"tls: {ca: 'file:" + ca + "'}, sasl: {user: ada, password: env:TROUPE_TEST_KAFKA, mechanism: scram-sha-256}", "", fault.OK},
		{"tls: {ca: 'file:" + ca + "'}, sasl: {user: ada, password: env:TROUPE_TEST_KAFKA}", "", fault.OK},
		{"tls: {}, sasl: {user: ada, password: env:TROUPE_TEST_KAFKA}", "certificate", fault.Unavailable},
		{"sasl: {user: ada, password: env:TROUPE_TEST_KAFKA_NONE}", "the variable is not set", fault.FailedPrecondition},
		{"tls: {ca: env:TROUPE_TEST_KAFKA}", "there is no certificate in PEM in it", fault.FailedPrecondition},
	} {
		_, err := b.run(strings.NewReplacer("group: g", "timeout: 2s, "+tt.with, "type: source.kafka", "type: source.kafka, retry: {max: -1}").Replace(orders) + "  - {id: out, type: sink.memory, from: in, with: {name: out}}\n")
		if fault.CodeOf(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (%s)", tt.with, err, fault.CodeOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("the password is in the error %v", err)
		}
	}
}
