package web

import (
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
)

// Directory serves the files of a directory in place of the demo page: index.html for a directory,
// no lists, nothing whose name begins with a dot but .well-known, nothing that a link leads to
// outside of it, and no pipes or devices. Files that change are served as they are.
func Directory(name string) (http.Handler, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &directory{http.FileServerFS(published{root.FS()})}, nil
}

type directory struct{ files http.Handler }

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.Set("Cache-Control", "no-cache") // Ask again: what has not changed costs a 304.
		if known, ok := contentTypes[path.Ext(r.URL.Path)]; ok {
			h.Set("Content-Type", known)
		}
		d.files.ServeHTTP(w, r)
	case http.MethodOptions:
		h.Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Set("Allow", allowed)
		plain(w, http.StatusMethodNotAllowed, "405: only GET, HEAD and OPTIONS are answered here.\n")
	}
}

// published are the files that may be seen. There are no others, whatever the reason.
type published struct{ fs.FS }

// Open implements fs.FS.
func (p published) Open(name string) (fs.File, error) {
	file, err := p.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return file, nil
}

func (p published) open(name string) (fs.File, error) {
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 1 && part[0] == '.' && part != ".well-known" {
			return nil, fs.ErrNotExist
		}
	}
	about, err := fs.Stat(p.FS, name) // Before it is opened: a pipe would wait for who writes into it.
	switch {
	case err != nil:
		return nil, err
	case about.IsDir(): // Without a page of its own it would be listed.
		if _, err := fs.Stat(p.FS, path.Join(name, "index.html")); err != nil {
			return nil, err
		}
	case !about.Mode().IsRegular():
		return nil, fs.ErrNotExist
	}
	return p.FS.Open(name)
}
