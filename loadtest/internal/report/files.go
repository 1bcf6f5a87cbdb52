package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A File is one that a command will write, and the flag that names it.
type File struct{ Flag, Path string }

// CheckFiles says before a run what would keep its report from being written after it. It leaves no
// file behind, and changes none. Paths may be empty.
func CheckFiles(files ...File) error {
	seen := make(map[string]string)
	for _, f := range files {
		if f.Path == "" {
			continue
		}
		if other, isTaken := seen[f.Path]; isTaken {
			return fmt.Errorf("%s %s: %s would write to the same file", f.Flag, f.Path, other)
		}
		seen[f.Path] = f.Flag
		if err := checkFile(f.Path); err != nil {
			return fmt.Errorf("%s %s: %w", f.Flag, f.Path, err)
		}
	}
	return nil
}

func checkFile(path string) error {
	info, err := os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !isNew:
		return reason(err)
	case err == nil && info.IsDir():
		return errors.New("is a directory")
	case err == nil && !info.Mode().IsRegular():
		return nil // Opening a pipe would wait for its reader.
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return reason(err)
	}
	err = f.Close()
	if isNew {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// reason is an error without the path, which stands before it.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
