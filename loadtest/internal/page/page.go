// Package page makes pages that ask nothing of the network: one style for screen, dark and paper,
// and plots as SVG that take their colours from it. It knows nothing of what is drawn.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"os"
	"runtime"
	"strings"
)

//go:embed style.html
var style embed.FS

// Parse makes the template of a page from the file of that name, which may use the template
// "style". It is for package variables: it panics if the file is not as it should be.
func Parse(files embed.FS, name string) *template.Template {
	return template.Must(template.Must(template.ParseFS(style, "style.html")).ParseFS(files, name)).Lookup(name)
}

// Write executes the template of a page with data and writes it to a file, which it does not touch
// if the template fails.
func Write(path string, t *template.Template, data any) error {
	var buf bytes.Buffer
	if err := t.Execute(&buf, data); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

// Machine says where the tool ran, and the server if it was spawned.
func Machine() string {
	return fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// Thousands writes n in groups of three, apart by a narrow space that does not break.
func Thousands(n uint64) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "\u202f" + s[at:]
	}
	return s
}

// CommandLine is the command with these arguments, as a shell takes it.
func CommandLine(args []string) string {
	words := []string{"loadtest"}
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return !isPlain(r) }) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// isPlain says that a shell takes r as it is.
func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@%+", r)
}
