package csv

// ColumnsMax bounds the columns that a source may declare.
const ColumnsMax = 4096

// Bounds of one row of a source in bytes, line breaks in quotes included.
const (
	DefaultMaxRowBytes = 1 << 20
	MaxRowBytesMax     = 64 << 20
)
