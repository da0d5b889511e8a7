// Package weather is an example of a workflow: four years of daily weather in
// Seattle, read from two CSV files, filtered, summed up by month, and written
// to a SQLite table and a CSV file. README.md tells where the data comes from.
//
// The package carries the files, so that a program can run the example from
// any directory:
//
//	definition, err := workflow.LoadFS(weather.Files(), weather.Definition, options)
package weather

import (
	"embed"
	"io/fs"
)

// Definition is the name of the workflow's definition in [Files].
const Definition = "weather.yaml"

//go:embed weather.yaml seattle-weather.csv seattle-weather-late.csv
var files embed.FS

// Files are the definition and its data.
func Files() fs.FS { return files }
