package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// A configFile gives flags the values that neither the command line nor the environment gives them.
// Its keys are the flags' names:
//
//	listen: [":8080", "unix:/run/sluice.sock"]
//	max-message: 64KiB
//	compress: false
//	rooms:
//	  "ticker.*": {policy: latest, plain: true}
//
// The order of rooms is that of repeated --room. It is a kong.Resolver, and collects all that is
// wrong with the file, to be said at once.
type configFile struct {
	name     string // empty: there is none
	isRead   bool
	isBlank  bool             // it has nothing, or nothing but comments
	entries  map[string]entry // by the flag's name
	problems []problem
}

// configFlag is the flag that names the file.
const configFlag = "config"

// configMax bounds what is read, in bytes.
const configMax = 1 << 20

// An entry is a value as a command line would have it.
type entry struct {
	key  string // as it is written
	text string
	line int
}

// A problem is what is wrong with a line of the file; line zero is the file as a whole.
type problem struct {
	line int
	text string
}

// Resolve implements kong.Resolver. An environment variable wins: kong has filled it in already.
func (f *configFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	f.open(ctx)
	e, ok := f.entries[flag.Name]
	if !ok || isInEnvironment(flag) {
		return nil, nil
	}
	trial := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Parse(kong.Scan().PushTyped(e.text, kong.FlagValueToken), trial); err != nil {
		f.fault(e.line, "%s: %s", e.key, strings.TrimPrefix(err.Error(), flag.ShortSummary()+": "))
		return nil, nil
	}
	if flag.Enum != "" && !slices.Contains(flag.EnumSlice(), e.text) {
		f.fault(e.line, "%s: %q is none of %s", e.key, e.text, strings.Join(flag.EnumSlice(), ", "))
		return nil, nil
	}
	return e.text, nil
}

// Validate implements kong.Resolver: it comes when all flags have been asked for.
func (f *configFile) Validate(*kong.Application) error {
	slices.SortStableFunc(f.problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	var all []error
	for _, p := range f.problems {
		where := f.name
		if p.line > 0 {
			where = f.at(p.line)
		}
		all = append(all, fmt.Errorf("%s: %s", where, p.text))
	}
	return errors.Join(all...)
}

// at names a line of the file as editors and compilers do.
func (f *configFile) at(line int) string { return fmt.Sprintf("%s:%d", f.name, line) }

func (f *configFile) fault(line int, format string, args ...any) {
	f.problems = append(f.problems, problem{line, fmt.Sprintf(format, args...)})
}

// hasLost is the error of a file that has nothing where it had something before: it is being
// written, or the disk was full, and nobody means that who may do what is as by default from now
// on.
func (f *configFile) hasLost(before *configFile) error {
	if !f.isBlank || before.isBlank {
		return nil
	}
	return fmt.Errorf("%s: there is nothing in it any more; {} says that all is to be as by default", f.name)
}

// readAgain says why a file cannot be read another time: what was in a pipe is gone, and who opens
// it waits for somebody who writes into it, whatever signals come meanwhile.
func readAgain(name string) error {
	if !isPipe(name) {
		return nil
	}
	return fmt.Errorf("%s: it is a pipe, and what was in it is gone; another is read by a restart", name)
}

// isPipe reports whether a file is one; not if it is not there, which who opens it is told.
func isPipe(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode()&fs.ModeNamedPipe != 0
}

func isInEnvironment(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Envs, func(name string) bool { _, isSet := os.LookupEnv(name); return isSet })
}

// open reads the file once, if the command has a flag for it and that names one.
func (f *configFile) open(ctx *kong.Context) {
	if f.isRead {
		return
	}
	f.isRead = true
	flags := map[string]*kong.Flag{}
	for _, flag := range ctx.Flags() {
		flags[flag.Name] = flag
	}
	if flags[configFlag] == nil {
		return
	}
	f.name, _ = ctx.FlagValue(flags[configFlag]).(string)
	if f.name == "" {
		return
	}
	file, err := os.Open(f.name)
	if err != nil {
		f.fault(0, "%v", errors.Unwrap(err))
		return
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, configMax+1))
	switch {
	case err != nil:
		f.fault(0, "%v", errors.Unwrap(err))
	case len(text) > configMax:
		f.fault(0, "it is larger than 1MiB, which no configuration is")
	default:
		for _, own := range []string{configFlag, "help", "version"} {
			delete(flags, own)
		}
		f.read(text, flags)
	}
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// read fills in the entries for these flags.
func (f *configFile) read(text []byte, flags map[string]*kong.Flag) {
	f.entries = map[string]entry{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, another yaml.Node
	err := decoder.Decode(&document)
	if f.isBlank = errors.Is(err, io.EOF); f.isBlank {
		return
	}
	if err == nil && decoder.Decode(&another) == nil {
		f.fault(another.Line, "another document begins here, and one is read")
	}
	if err != nil {
		line := 0
		if m := yamlError.FindStringSubmatch(err.Error()); m != nil {
			_, _ = fmt.Sscan(m[1], &line)
		}
		text := yamlError.ReplaceAllString(err.Error(), "")
		if strings.Contains(text, "alphabetic or numeric character") { // of an alias, which nobody means
			text += `: what begins with * or & has to be in quotes, as "*": or "*=read"`
		}
		if strings.Contains(text, "cannot start any token") {
			text += ": lines are indented by blanks, not by tabs, and what begins with @ or ` has to be in quotes"
		}
		f.fault(line, "this is not YAML: %s", text)
		return
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		f.fault(root.Line, "this is not a list of flags' names with values, as max-message: 64KiB")
		return
	}
	names := []string{roomsKey}
	for name := range flags {
		names = append(names, name)
	}
	slices.Sort(names)
	f.each(root, func(key, value *yaml.Node) {
		name := key.Value
		flag := flags[name]
		if name == roomsKey {
			flag = flags[roomFlag]
		}
		if flag == nil {
			text := fmt.Sprintf("there is no flag %q", name)
			if guess := nearest(name, names); guess != "" {
				text += ", " + guess
			}
			f.fault(key.Line, "%s", text)
			return
		}
		if before, ok := f.entries[flag.Name]; ok {
			f.fault(key.Line, "%s says what %s in line %d has said", name, before.key, before.line)
			return
		}
		if name == roomsKey {
			f.histories(flags[historyFlag], key, value)
		}
		if text, ok := f.value(name, flag, value); ok {
			f.entries[flag.Name] = entry{name, text, key.Line}
		}
	})
}

// each calls do for the pairs of a mapping.
func (f *configFile) each(mapping *yaml.Node, do func(key, value *yaml.Node)) {
	before := map[string]int{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], resolved(mapping.Content[i+1])
		if line, isTwice := before[key.Value]; isTwice {
			f.fault(key.Line, "%s is here for the second time, after line %d", key.Value, line)
			continue
		}
		before[key.Value] = key.Line
		do(key, value)
	}
}

// resolved is the value that stands where the alias does, if it is one.
func resolved(v *yaml.Node) *yaml.Node {
	if v.Kind == yaml.AliasNode {
		return v.Alias
	}
	return v
}

// value is a key's value as a command line would have it.
func (f *configFile) value(name string, flag *kong.Flag, v *yaml.Node) (text string, ok bool) {
	isList := flag.Target.Kind() == reflect.Slice
	switch {
	case name == roomsKey:
		return f.rooms(v, flag.Tag.Sep)
	case v.Kind == yaml.ScalarNode && v.Tag == "!!null":
		f.fault(v.Line, "%s has no value: leave it out for its default", name)
	case v.Kind == yaml.ScalarNode: // A list as it stands: what separates there does so here.
		return v.Value, true
	case v.Kind == yaml.SequenceNode && isList:
		return f.list(name, v, flag.Tag.Sep)
	default:
		f.fault(v.Line, "%s takes %s", name, map[bool]string{true: "a list of values", false: "one value"}[isList])
	}
	return "", false
}

func (f *configFile) list(name string, v *yaml.Node, sep rune) (text string, ok bool) {
	var all []string
	for _, one := range v.Content {
		if one.Kind != yaml.ScalarNode || one.Tag == "!!null" {
			f.fault(one.Line, "%s takes a list of values, and this is none", name)
			return "", false
		}
		all = append(all, escape(one.Value, sep))
	}
	return strings.Join(all, string(sep)), true
}

// escape keeps what separates a list's values from doing so within one.
func escape(text string, sep rune) string {
	return strings.ReplaceAll(text, string(sep), `\`+string(sep))
}
