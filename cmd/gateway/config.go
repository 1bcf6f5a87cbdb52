package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"sluice/gateway"
)

// A configCommand tells of the configuration without running a gateway.
type configCommand struct {
	Check configCheck `cmd:"" help:"Find out whether a file, and the flags and environment beside it, make sense."`
	Print configPrint `cmd:"" help:"Print what is effective, and where each value comes from, as a file that --config reads."`
}

// A configCheck finds faults.
type configCheck struct {
	Args []string `arg:"" optional:"" passthrough:"all" name:"file-or-flags" help:"A configuration file, and flags of serve."`
}

// behindConfig is what stands behind "config check" or "config print", which nothing may precede: a
// file, for which --config may be left out, and flags of serve.
func (p *program) behindConfig() []string {
	args := p.args[2:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = slices.Concat([]string{"--" + configFlag, args[0]}, args[1:])
	}
	return args
}

// Run says what is wrong, and where.
func (c *configCheck) Run(p *program) error {
	found, err := load(p.behindConfig())
	if err != nil {
		return usageError{err}
	}
	for _, name := range unknownVariables(p.parser.Model, os.Environ()) {
		fmt.Fprintf(p.stderr, "gateway config check: no flag goes by the environment variable %s\n", name)
	}
	if err := found.located(found.tryFiles()); err != nil {
		return usageError{err}
	}
	err = found.checkCluster(func(warning error) { fmt.Fprintf(p.stderr, "gateway config check: --cluster: %v\n", warning) })
	if err != nil {
		return usageError{err}
	}
	what := "flags and environment"
	if found.file.name != "" {
		what = found.file.name
	}
	fmt.Fprintf(p.stdout, "%s: no fault found\n", what)
	return nil
}

// tryFiles reads the files that the configuration names, as a start does: certificates, keys,
// pages.
func (l *loaded) tryFiles() error {
	_, pages := pagesOf(l.Web)
	_, keys := l.adminKeys(slog.New(slog.DiscardHandler))
	known, err := l.authenticator(nil)
	if err != nil {
		return err
	}
	opts := l.options()
	if known != nil {
		opts.Auth = known
	}
	s, err := gateway.New(opts, nil) // It listens nowhere.
	if err == nil {
		s.Close()
	}
	return errors.Join(err, keys, pages)
}

// A configPrint shows values.
type configPrint struct {
	Args []string `arg:"" optional:"" passthrough:"all" name:"file-or-flags" help:"A configuration file, and flags of serve."`
}

// Run prints all flags, in the order of --help.
func (c *configPrint) Run(p *program) error {
	found, err := load(p.behindConfig())
	if err != nil {
		return usageError{err}
	}
	return found.print(p.stdout)
}

// A loaded is a configuration, and what is known of where it comes from.
type loaded struct {
	*Config
	file  *configFile
	ctx   *kong.Context
	given map[string]bool // flags that the command line has
}

// load makes a configuration of a command line of serve, the environment and the file that they
// name. It may be called again, and reads the file anew.
func load(args []string) (*loaded, error) {
	var line struct {
		Serve struct{ Config } `cmd:"" default:"withargs"`
	}
	found := &loaded{Config: &line.Serve.Config, file: new(configFile), given: map[string]bool{}}
	parser := newParser(&line, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}), kong.NoDefaultHelp(), kong.Resolvers(found.file))
	var err error
	if found.ctx, err = parser.Parse(args); err != nil {
		return nil, err
	}
	for _, step := range found.ctx.Path {
		if step.Flag != nil && !step.Resolved {
			found.given[step.Flag.Name] = true
		}
	}
	if err := found.located(found.emptyTexts()); err != nil {
		return nil, err
	}
	return found, found.located(found.check())
}

// emptyTexts refuses nothing in the place of a text, as a variable leaves that a script forgot to
// set: without its --auth-url, or its --tls-client-ca, a gateway would let everybody in.
func (l *loaded) emptyTexts() error {
	var all []error
	for _, flag := range l.ctx.Flags() {
		if flag.Target.Kind() == reflect.String && flag.Target.Len() == 0 && l.origin(flag) != "default" {
			all = append(all, fmt.Errorf("--%s: it is empty; leave the flag or the variable out for its default", flag.Name))
		}
	}
	return errors.Join(all...)
}

// origin is where a flag's value comes from.
func (l *loaded) origin(flag *kong.Flag) string {
	if l.given[flag.Name] {
		return "the command line"
	}
	for _, name := range flag.Envs {
		if _, isSet := os.LookupEnv(name); isSet {
			return name
		}
	}
	if e, ok := l.file.entries[flag.Name]; ok {
		return l.file.at(e.line)
	}
	return "default"
}

var flagName = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// located adds to faults of the whole where the flags that they name come from, as far as that is
// neither the command line nor a default.
func (l *loaded) located(err error) error {
	var all []error
	for _, fault := range unjoin(err) {
		var from []string
		for _, found := range flagName.FindAllStringSubmatch(fault.Error(), -1) {
			if place := l.elsewhere(found[1]); place != "" && !slices.Contains(from, found[0]+": "+place) {
				from = append(from, found[0]+": "+place)
			}
		}
		if len(from) > 0 {
			fault = fmt.Errorf("%w (%s)", fault, strings.Join(from, ", "))
		}
		all = append(all, fault)
	}
	return errors.Join(all...)
}

// elsewhere is a flag's origin in the environment or the file; empty if it is another, or if there
// is no such flag.
func (l *loaded) elsewhere(name string) string {
	for _, flag := range l.ctx.Flags() {
		if flag.Name != name {
			continue
		}
		if origin := l.origin(flag); origin != "default" && origin != "the command line" {
			return origin
		}
	}
	return ""
}

// print writes a line for each flag, with its origin behind it.
func (l *loaded) print(to io.Writer) error {
	group := ""
	for _, flag := range l.ctx.Model.DefaultCmd.Flags {
		if flag.Name == configFlag {
			continue
		}
		if flag.Group != nil && flag.Group.Title != group {
			group = flag.Group.Title
			fmt.Fprintf(to, "\n# %s\n", group)
		}
		value, err := yaml.Marshal(shown(flag.Target, flag.Tag.Has("secret")))
		if err != nil {
			return err
		}
		line := flag.Name + ": " + strings.TrimSpace(string(value))
		if isNothing(flag.Target) {
			line = "#" + flag.Name + ":"
		}
		if _, err := fmt.Fprintf(to, "%-40s # %s\n", line, l.origin(flag)); err != nil {
			return err
		}
	}
	return nil
}

// isNothing reports whether a value cannot be written down, because there is none.
func isNothing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice:
		return v.Len() == 0
	}
	return false
}

// mask stands for a secret.
const mask = "(not shown)"

// shown is a value as a file has it. A list is in one line.
func shown(v reflect.Value, isSecret bool) *yaml.Node {
	if v.Kind() == reflect.Slice {
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			list.Content = append(list.Content, shown(v.Index(i), isSecret))
		}
		return list
	}
	text := fmt.Sprint(v.Interface())
	if u, err := url.Parse(text); err == nil && u.User != nil {
		text = u.Redacted()
	}
	if isSecret {
		text = mask
	}
	node := new(yaml.Node)
	switch v.Kind() {
	case reflect.Bool, reflect.Int:
		node.Kind, node.Value = yaml.ScalarNode, text
	default:
		node.SetString(text)
	}
	return node
}
