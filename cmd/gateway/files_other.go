//go:build !unix

package main

import "io/fs"

// systemFiles is no files: what is read of them is Linux's.
type systemFiles struct{}

// Open implements fs.FS.
func (systemFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
