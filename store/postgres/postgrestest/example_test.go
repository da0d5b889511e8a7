package postgrestest_test

import (
	"testing"

	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// A test opens a store in a database of its own.
func Example() {
	_ = func(t *testing.T) {
		s, err := postgres.Open(t.Context(), postgrestest.Start(t), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
}
