package csv

// ColumnsMax bounds the columns that a source may declare.
const ColumnsMax = 4096

// DefaultMaxRowBytes bounds one row of a source, line breaks in quotes included.
const DefaultMaxRowBytes = 1 << 20
