package postgres_test

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/storetest"
)

// open takes the place as the name of a schema.
func open(t testing.TB, place string, l store.Limits) store.Store {
	t.Helper()
	srv := postgrestest.Shared(t)
	h := fnv.New64a()
	_, _ = h.Write([]byte(place)) // never fails
	s, err := postgres.Open(t.Context(), srv.URL(), postgres.Options{
		Schema: fmt.Sprintf("place_%x", h.Sum64()), Limits: l, MaxConns: 8,
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
