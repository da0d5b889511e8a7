package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases: -X main.version=v1.2.3.
var version string

// A buildInfo says what was built, from what.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuildInfo asks the linker's variable first, then what the go command
// wrote into the binary.
func readBuildInfo() buildInfo {
	info := buildInfo{
		Version:  version,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	built, ok := debug.ReadBuildInfo()
	if ok {
		if info.Version == "" {
			info.Version = built.Main.Version
		}
		for _, s := range built.Settings {
			switch s.Key {
			case "vcs.revision":
				info.Revision = s.Value
			case "vcs.time":
				info.Time = s.Value
			case "vcs.modified":
				info.Modified = s.Value == "true"
			}
		}
	}
	if info.Version == "" || info.Version == "(devel)" {
		info.Version = "devel"
	}
	return info
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print what was built, from what",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			info := readBuildInfo()
			if a.output == outputJSON {
				return a.printJSON(info)
			}
			rows := [][]string{{"version", info.Version}, {"go", info.Go}, {"platform", info.Platform}}
			if info.Revision != "" {
				revision := info.Revision
				if info.Modified {
					revision += " (modified)"
				}
				rows = append(rows, []string{"revision", revision}, []string{"time", info.Time})
			}
			return a.printTable(nil, rows)
		},
	}
}
