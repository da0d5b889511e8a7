package postgres_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/storetest"
)

// killAddress is the variable with the server that the processes of TestKill use.
const killAddress = "STORETEST_POSTGRES"

// open takes the place as the name of a schema.
func open(t testing.TB, place string, l store.Limits) store.Store {
	t.Helper()
	address := os.Getenv(killAddress)
	if address == "" {
		address = postgrestest.Shared(t).URL()
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(place)) // never fails
	s, err := postgres.Open(t.Context(), address, postgres.Options{
		Schema: fmt.Sprintf("place_%x", h.Sum64()), Limits: l, MaxConns: 8, Timeout: time.Minute, // nothing here is away
		PollInterval: time.Hour, // what it finds is told twice, and nothing here may depend on it
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Req F9, F10
func TestStore(t *testing.T) {
	t.Parallel()
	postgrestest.Shared(t)
	storetest.Run(t, open)
}

// Req F10: kill -9 of our process, PostgreSQL.
func TestKill(t *testing.T) {
	if os.Getenv(killAddress) == "" {
		t.Setenv(killAddress, postgrestest.Shared(t).URL())
	}
	storetest.Kill(t, storetest.KillOptions{Open: open, Rounds: 6, Acks: 100, Hold: time.Second})
}

// Req F6, F10: whatever happens to connections, backends and the server as a
// whole, nothing is lost, and nothing is done twice.
func TestDisrupt(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{})
	s := openAt(t, srv, postgres.Options{PollInterval: 100 * time.Millisecond})
	kinds := []func(){
		func() { srv.Restart(t, syscall.SIGKILL) },
		func() {
			beside(t, srv, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'troupe'")
		},
		func() {
			pid := beside(t, srv, "SELECT pid FROM pg_stat_activity WHERE application_name = 'troupe' ORDER BY state_change DESC LIMIT 1")
			if pid == 0 {
				t.Error("there is no backend to kill")
				return
			}
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		},
		func() { srv.Restart(t, syscall.SIGQUIT) },
		func() { srv.Restart(t, syscall.SIGINT) },
	}
	storetest.Disrupt(t, storetest.DisruptOptions{
		Store: s, Rounds: len(kinds),
		Passes: func(err error) bool { return errors.Is(err, postgres.ErrUnavailable) },
		Do:     func(round int) { kinds[round%len(kinds)]() },
	})
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
}
