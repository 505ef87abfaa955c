package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/event"
	"tattled/web/client"
)

// backupLimit is how long a backup may take.
const backupLimit = 15 * time.Minute

func backupCommand() *cobra.Command {
	var flags controlFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "backup [--json] [--force] [--control PATH] FILE",
		Short: "Write a consistent copy of the state file while the daemon runs",
		Long: `Write a copy of the running daemon's state file to FILE, as of one moment, without a pause of the daemon. FILE is written by this
command and not by the daemon, so it may be anywhere; it is readable by its owner alone (mode 0600), because it has log lines in it. It gets its
name when all of it was read again and every record's checksum is right. A FILE that is there already is not overwritten without --force.

To restore it: stop the daemon, copy FILE over the state file (store.path), see that user tattled owns it, start the daemon.` + controlHelp,
		Example: `  tattled backup /var/backups/tattled.db
  tattled backup --force /mnt/backup/tattled-$(date +%a).db`,
		Args: needsOne("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), backupLimit)
			defer cancel()
			b := backupJob{path: args[0], force: force}
			size, err := b.run(ctx, flags.path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if flags.json {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "{\"file\":%s,\"bytes\":%d}\n", quoteJSON(b.path), size)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, checked\n", event.Visible(b.path), bytesText(size))
			}
			return err
		},
	}
	flags.add(cmd, "write what was made as one JSON object")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite FILE")
	return cmd
}

// backupJob is one backup.
type backupJob struct {
	path  string
	force bool
}

// run writes the backup beside its place first.
func (b *backupJob) run(ctx context.Context, control string, errOut io.Writer) (size int64, err error) {
	if err := b.free(); err != nil {
		return 0, err
	}
	c := client.New(control)
	defer c.Close()
	res, err := c.Post(ctx, "/api/v1/backup", nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	f, err := os.CreateTemp(filepath.Dir(b.path), "."+filepath.Base(b.path)+".*") // its mode is 0600
	if err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	bar := newProgress(errOut, res.ContentLength)
	defer bar.done()
	size, err = io.Copy(io.MultiWriter(f, barWriter{bar, new(int64)}), res.Body)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && size != res.ContentLength:
		return 0, errors.New("the daemon did not send all of it: its log says why; nothing was written")
	case err != nil:
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	if err := daemon.CheckState(f.Name()); err != nil {
		return 0, fmt.Errorf("the copy is not sound, and was not kept: %w", err)
	}
	return size, b.name(f.Name())
}

// free refuses a place that is taken.
func (b *backupJob) free() error {
	info, err := os.Lstat(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("write the backup: %w", err)
	case !b.force:
		return fmt.Errorf("%s exists: name another file, or overwrite it with --force", event.Visible(b.path))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", event.Visible(b.path))
	}
	return nil
}

// name gives the finished file its name, durably, and overwrites none that came meanwhile.
func (b *backupJob) name(temp string) error {
	var err error
	if b.force {
		err = os.Rename(temp, b.path)
	} else if err = os.Link(temp, b.path); err != nil && !errors.Is(err, fs.ErrExist) { // a file system without links
		err = os.Rename(temp, b.path)
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	dir, err := os.Open(filepath.Dir(b.path))
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// barWriter shows how much was written.
type barWriter struct {
	bar  *progress
	done *int64
}

func (w barWriter) Write(b []byte) (int, error) {
	*w.done += int64(len(b))
	w.bar.show(*w.done)
	return len(b), nil
}
