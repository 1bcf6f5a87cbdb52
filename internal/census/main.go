// Command census counts what a reader of the gateway's code has to hold in the head: the functions
// and files that one delivered message runs through, the calls back into the hub that its delivery
// makes, and the references between files of one package that run back up.
//
// It finds packages by what imports what, and needs few names: those of the kernel's read and write
// and of publishing, which are flags. So it counts the same before and after code has moved.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "census:", err)
		os.Exit(1)
	}
}

type options struct {
	program, hub         string
	read, write, publish string
	loops, clients       int
	isVerbose            bool
}

func run(args []string, out io.Writer) error {
	var o options
	f := flag.NewFlagSet("census", flag.ContinueOnError)
	f.StringVar(&o.program, "program", "cmd/gateway", "the gateway's main `package`, from the module's root")
	f.StringVar(&o.hub, "hub", "hub", "the `package` that delivers")
	f.StringVar(&o.read, "read", "Real.Read", "the function that reads from the kernel, by the end of its `name`")
	f.StringVar(&o.write, "write", "Real.Write", "likewise the one that writes")
	f.StringVar(&o.publish, "publish", "Publish", "likewise those of the hub that publish")
	f.IntVar(&o.loops, "loops", 2, "event loops")
	f.IntVar(&o.clients, "clients", 100, "clients in the room, the sender among them")
	f.BoolVar(&o.isVerbose, "v", false, "list what was counted")
	if err := f.Parse(args); err != nil {
		return err
	}
	m, err := load(o.program)
	if err != nil {
		return err
	}
	hub, ok := m.packages[path.Join(m.name, o.hub)]
	if !ok {
		return fmt.Errorf("%s uses no package %s", o.program, o.hub)
	}
	if err := countMessage(out, m, &o, hub); err != nil {
		return err
	}
	return countReferences(out, m, &o, hub)
}

// countMessage counts what one message runs through, and what calls the hub meanwhile.
func countMessage(out io.Writer, m *module, o *options, hub *pkg) error {
	r, err := m.record(o)
	if err != nil {
		return err
	}
	for _, isWhole := range []bool{true, false} {
		functions, err := r.usual(isWhole)
		if err != nil {
			return err
		}
		files := map[string][]string{}
		for _, fn := range functions {
			name, _ := filepath.Rel(m.root, fn.file)
			files[name] = append(files[name], fn.name)
		}
		part := "between its read and its last write"
		if isWhole {
			part = "between a rest of the loops and the next"
		}
		fmt.Fprintf(out, "%d functions in %d files run for a message %s\n", len(functions), len(files), part)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if o.isVerbose && !isWhole {
				fmt.Fprintf(out, "\t%s: %s\n", name, strings.Join(files[name], ", "))
			}
		}
	}
	all, err := r.callsBack(hub)
	if err != nil {
		return err
	}
	calls := all[len(all)/2]
	fmt.Fprintf(out, "%d calls into %s from outside it, for a message to %d clients, behind its publication\n",
		len(calls), hub.ImportPath, o.clients)
	counts := map[call]int{}
	for _, c := range calls {
		counts[c]++
	}
	for c, n := range counts {
		if o.isVerbose {
			fmt.Fprintf(out, "\t%s calls %s: %d\n", c.from, c.to, n)
		}
	}
	return nil
}

// countReferences counts in the hub and in what imports it.
func countReferences(out io.Writer, m *module, o *options, hub *pkg) error {
	for _, p := range slices.SortedFunc(maps.Values(m.packages), func(a, b *pkg) int { return cmp.Compare(a.ImportPath, b.ImportPath) }) {
		if p != hub && !slices.Contains(p.Imports, hub.ImportPath) {
			continue
		}
		refs, err := m.references(p)
		if err != nil {
			return err
		}
		order, back := layers(refs)
		fmt.Fprintf(out, "%d of %d references between the %d files of %s run back up\n", len(back), len(refs), len(order), p.ImportPath)
		if o.isVerbose {
			fmt.Fprintf(out, "    from the top: %s\n", strings.Join(order, ", "))
			for _, r := range back {
				fmt.Fprintf(out, "    %s → %s: %s\n", r.from, r.to, strings.Join(slices.Sorted(maps.Keys(refs[r])), ", "))
			}
		}
	}
	return nil
}
