package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tattled/setting"
)

// Files is the section sources.files: one entry for each log file or pattern.
type Files []Config

// Check reports the entries that name a file which another one names as well, as far as the paths alone tell: its lines are read once,
// and nobody could say under which entry. Of a file and a pattern that say the same of their lines nobody needs to: see Doubles. The
// entries have a Check of their own.
func (files Files) Check(report setting.FaultFunc) {
	for i := range files {
		for other := range files {
			first := min(i, other)
			switch {
			case other == i || files[i].Path == "" || files[other].Path == "":
				continue
			case filepath.Clean(files[i].Path) == filepath.Clean(files[other].Path):
				if first == i {
					continue // it is the later one's fault
				}
			case files[i].isPattern() || !matches(&files[other], files[i].Path) || files[i].alike(files[other]):
				continue
			}
			report(fmt.Sprintf("[%d].path", i), fmt.Sprintf("%s is already read by entry %d, %s: remove one of them", files[i].Path, other, files[other].Path))
			break
		}
	}
}

// alike reports whether two entries differ in their paths alone.
func (c Config) alike(other Config) bool {
	c.Path = other.Path
	return c == other
}

// matches reports whether a pattern matches a path.
func matches(c *Config, path string) bool {
	if !c.isPattern() {
		return false
	}
	found, err := filepath.Match(filepath.Clean(c.Path), filepath.Clean(path))
	return found && err == nil
}

// Doubles says, in words, which entries name one file by different names at this moment: by links, or by patterns that both
// match it. Such a file is read once, by one of the entries. At most one is named for each entry.
func Doubles(files []Config) []string {
	type named struct {
		entry int
		path  string
	}
	seen := map[fileID]named{}
	var all []string
	for i := range files {
		c := &files[i]
		paths := []string{filepath.Clean(c.Path)}
		if c.isPattern() {
			paths, _ = filepath.Glob(c.Path) // its one error is a bad pattern, which Check refuses
			paths = slices.DeleteFunc(paths, compressed)
		}
		told := false
		for _, path := range paths[:min(len(paths), MaxFiles)] {
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			first, known := seen[idOf(info)]
			if !known {
				seen[idOf(info)] = named{i, path}
			} else if first.entry != i && !told {
				told = true
				all = append(all, fmt.Sprintf("sources.files[%d].path: %q is the same file as %q of sources.files[%d]: it is read once; remove one of the entries", i, path, first.path, first.entry))
			}
		}
	}
	return all
}
