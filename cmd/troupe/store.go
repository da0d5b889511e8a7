package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
)

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Check, back up or restore what a node keeps",
		Long: `What a node keeps - mailboxes, events, dead letters - is in its store: the file
troupe.db in the data directory, or the database of store.url.

` + reachTopic,
		Args: knownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.storeCheckCommand(), a.storeBackupCommand(), a.storeRestoreCommand())
	return cmd
}

// A storeReport is what `store check -o json` prints.
type storeReport struct {
	Store    string          `json:"store"`
	OK       bool            `json:"ok"`
	Findings []store.Finding `json:"findings"`
}

func (a *app) storeCheckCommand() *cobra.Command {
	var flags reachFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read everything in the store and say what is damaged",
		Long: `Reads the whole store and verifies its structure and every checksum. Nothing is
changed, and a node goes on working meanwhile. Exit code 0: sound; 1: something
is damaged; 4: the store cannot be read at all.

` + reachTopic,
		Example: `  troupe store check
  troupe store check --data-dir /var/lib/troupe -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, restore := a.interruptible(cmd.Context())
			defer restore()
			found, err := flags.reach(a)
			if err != nil {
				return err
			}
			report := storeReport{Store: found.where(), Findings: []store.Finding{}}
			findings, err := found.check(ctx, a)
			if err != nil {
				return err
			}
			report.OK, report.Findings = len(findings) == 0, append(report.Findings, findings...)
			return a.printStoreReport(report)
		},
	}
	flags.register(cmd)
	return cmd
}

// where names the store for people.
func (r *reached) where() string {
	switch file := node.StorePath(r.settings.Config); {
	case r.client != nil:
		return "node " + r.url
	case file != "":
		return file
	default:
		return r.settings.Config.Store.URL.String()
	}
}

func (r *reached) check(ctx context.Context, a *app) ([]store.Finding, error) {
	if r.client != nil {
		return r.client.CheckStore(ctx)
	}
	return node.CheckStore(ctx, r.settings.Config, a.env)
}

func (a *app) printStoreReport(r storeReport) error {
	if a.output == outputJSON {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		if r.OK {
			_, err := fmt.Fprintf(a.stdout, "%s: sound\n", r.Store)
			return err
		}
		rows := make([][]string, len(r.Findings))
		for i, f := range r.Findings {
			rows[i] = []string{f.Place, f.Problem}
		}
		if err := a.printTable([]string{"PLACE", "PROBLEM"}, rows); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "\n%s: %s; go back to a backup with troupe store restore FILE\n", r.Store,
			counted(len(r.Findings), "damaged place", "damaged places"))
	}
	if !r.OK {
		return &exitError{exitFailed, errReported}
	}
	return nil
}

// A backupReport is what `store backup -o json` prints.
type backupReport struct {
	Store string `json:"store"`
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

func (a *app) storeBackupCommand() *cobra.Command {
	var flags reachFlags
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store to a new file",
		Long: `Writes the store as it is at one moment to FILE, which must not exist yet. A node
goes on working meanwhile. FILE is there only when it is complete and on disk.

` + reachTopic,
		Example: `  troupe store backup monday.backup
  troupe store backup --node http://10.0.0.7:8080 --set http.token=env:TOKEN monday.backup`,
		Args: fileArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, restore := a.interruptible(cmd.Context())
			defer restore()
			found, err := flags.reach(a)
			if err != nil {
				return err
			}
			if err := found.backup(ctx, a, args[0]); err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			report := backupReport{found.where(), args[0], info.Size()}
			if a.output == outputJSON {
				return a.printJSON(report)
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %s bytes, a copy of %s\n", report.File, grouped(report.Bytes), report.Store)
			return err
		},
	}
	flags.register(cmd)
	return cmd
}

// backup writes a copy of the store to a new file.
func (r *reached) backup(ctx context.Context, a *app, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return &exitError{exitEnvironment, fmt.Errorf("%s: there is a file already; choose another name", path)}
	}
	if r.client == nil {
		return node.BackupStore(ctx, r.settings.Config, a.env, path)
	}
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return unwritable(path, err)
	}
	defer func() { _ = os.Remove(part.Name()) }() // it is gone when all went well
	err = r.client.BackupStore(ctx, part)
	if err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return unwritable(path, err)
	}
	// A link, unlike a rename, does not take the place of what came meanwhile.
	if err := os.Link(part.Name(), path); err != nil {
		return unwritable(path, err)
	}
	return syncDir(filepath.Dir(path))
}

// unwritable says in a line what keeps a file from being written, if it is that.
func unwritable(path string, err error) error {
	reason, message, hint := files.Explain(err)
	if reason == files.Other {
		return err
	}
	text := fmt.Sprintf("%s: cannot be written: %s", path, message)
	if hint != "" {
		text += "; " + hint
	}
	return &exitError{exitEnvironment, errors.New(text)}
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A restoreReport is what `store restore -o json` prints.
type restoreReport struct {
	Store string `json:"store"`
	From  string `json:"from"`
	Kept  string `json:"kept,omitempty"` // the store that was there before
}

func (a *app) storeRestoreCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the store what it was in a backup",
		Long: `Checks the backup in FILE and makes it the store of the configuration. No node may
run with it: stop it first. A store that is there is kept beside, under a name
that is printed; the backup stays as it is.`,
		Example: `  troupe store restore monday.backup
  troupe store restore --data-dir /tmp/look monday.backup && troupe dev --data-dir /tmp/look`,
		Args: fileArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := flags.load(a)
			if err != nil {
				return err
			}
			found := reached{settings: settings}
			kept, err := node.RestoreStore(cmd.Context(), settings.Config, a.env, args[0])
			if err != nil {
				return err
			}
			report := restoreReport{found.where(), args[0], kept}
			if a.output == outputJSON {
				return a.printJSON(report)
			}
			fmt.Fprintf(a.stdout, "%s: as it was in %s\n", report.Store, report.From)
			if kept != "" {
				fmt.Fprintf(a.stdout, "what was there before is kept as %s\n", kept)
			}
			return nil
		},
	}
	flags.register(cmd, "data_dir", "store.url")
	return cmd
}
