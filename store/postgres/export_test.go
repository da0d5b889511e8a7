package postgres

import "context"

// SchemaVersion is the version of the schema that this code works with.
func SchemaVersion() int { return schemaVersion() }

// OpenVersion opens a store whose schema is migrated to a version only.
func OpenVersion(ctx context.Context, address string, o Options, version int) (*Store, error) {
	return open(ctx, address, o, version)
}
