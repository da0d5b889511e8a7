package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

var schemas atomic.Int64

// newSchema returns the name of a schema that no other test uses.
func newSchema() string { return fmt.Sprintf("test_%d", schemas.Add(1)) }

// openAt opens a store that is closed at the end of the test.
func openAt(t testing.TB, s *postgrestest.Server, o postgres.Options) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(context.Background(), s.URL(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func openNew(t testing.TB) *postgres.Store {
	t.Helper()
	return openAt(t, postgrestest.Shared(t), postgres.Options{Schema: newSchema()})
}

// sql runs statements beside the store.
func sql(t testing.TB, s *postgrestest.Server, schema, text string) {
	t.Helper()
	s.Exec(t, s.URL(), "SET search_path = "+pgx.Identifier{schema}.Sanitize()+"; "+text)
}

func commit(t testing.TB, s store.Store, b *store.Batch) store.Result {
	t.Helper()
	r, err := s.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// beside runs a query on a connection of its own and returns its first number;
// without a row it is 0.
func beside(t *testing.T, s *postgrestest.Server, query string) int {
	t.Helper()
	ctx := context.Background()
	config, err := pgx.ParseConfig(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "test"
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	number := 0
	for rows.Next() {
		if values, err := rows.Values(); err == nil {
			if n, ok := values[0].(int32); ok {
				number = int(n)
			}
		}
	}
	return number
}
