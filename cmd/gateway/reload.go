package main

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"sluice/gateway"
)

// A reloader has a gateway that runs go by its configuration as it is now.
type reloader struct {
	args    []string // of the program
	running *loaded  // what the gateway goes by
	server  *gateway.Server
	admin   *adminServer
	level   *slog.LevelVar
	log     *slog.Logger
	known   *authenticator // nil: nobody is known
	joined  *clustering    // nil: there is no cluster
	loops   int            // by default
}

// liveFlags are the program's own that change without a restart; of those that the library takes it
// tells which.
var liveFlags = []string{"log-level", "web", "admin-key-file", "publish-rate"}

// reload reads everything anew. A configuration with a fault changes nothing.
func (r *reloader) reload() {
	next, err := r.loadAgain()
	if err != nil {
		r.log.Error("not reloaded, all stays as it was", "error", oneLine(err))
		return
	}
	options, err := r.optionsOf(next.Config)
	if err != nil {
		r.log.Error("not reloaded, all stays as it was", "error", oneLine(err))
		return
	}
	var kept []string
	err = r.admin.reload(next.Config, func() (err error) {
		kept, err = r.server.Reload(options)
		return err
	})
	if err != nil {
		r.log.Error("not reloaded, all stays as it was", "error", oneLine(err))
		return
	}
	if err := r.known.reload(); err != nil { // load has read the same files, and found no fault.
		r.log.Error("keys that verify tokens are not reloaded", "error", err)
	}
	if len(r.running.TLSListen) > 0 {
		if err := r.server.ReloadCertificates(); err != nil {
			r.log.Error("cannot use the new certificates, going on with those from before", "error", err)
		}
	}
	changed, needsRestart := r.adopt(next, kept)
	r.running.file = next.file
	setLevel(r.level, next.LogLevel)
	words := []any{"changed", "nothing"}
	if len(changed) > 0 {
		words[1] = strings.Join(changed, ", ")
	}
	if len(needsRestart) > 0 {
		words = append(words, "needs_restart", strings.Join(needsRestart, ", "))
	}
	r.log.Info("reloaded", words...)
}

// loadAgain is load for a program that runs, which no file is to hold up.
func (r *reloader) loadAgain() (*loaded, error) {
	if err := readAgain(r.running.file.name); err != nil {
		return nil, err
	}
	next, err := load(r.args)
	if err != nil {
		return nil, err
	}
	if err := next.file.hasLost(r.running.file); err != nil {
		return nil, err
	}
	for _, name := range slices.Concat([]string{next.AdminKeyFile, next.TLSClientCA}, next.TLSCert, next.TLSKey) {
		if err := readAgain(name); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// optionsOf are the library's options by a configuration, with what the flags alone do not say: who
// is known, the cluster, and what the machine has room for.
func (r *reloader) optionsOf(cfg *Config) (gateway.Options, error) {
	opts := cfg.options()
	if opts.Loops == 0 {
		opts.Loops = r.loops
	}
	if r.known != nil {
		// What it goes by changes with a restart, and what is in files of keys at once.
		opts.Auth = r.known
	}
	r.joined.join(&opts)
	opts = opts.Defaults()
	told := r.log
	if r.server != nil { // It was said at the start.
		told = slog.New(slog.DiscardHandler)
	}
	if err := fitDescriptors(&opts, cfg.adminDescriptors(), told); err != nil {
		return opts, fmt.Errorf("%w: %s", err, moreDescriptors)
	}
	var err error
	opts.Pages, err = pagesOf(cfg.Web)
	return opts, err
}

// oneLine is an error that may list several things, for a log.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// adopt compares what runs with what was read, says which flags differ, and takes those over that
// have changed. kept are fields of Options that have not.
func (r *reloader) adopt(next *loaded, kept []string) (changed, needsRestart []string) {
	was := r.running.flags()
	for name, flag := range next.flags() {
		before := was[name]
		if name == configFlag || reflect.DeepEqual(before.Target.Interface(), flag.Target.Interface()) {
			continue
		}
		difference := fmt.Sprintf("%s %s -> %s", name, inline(before), inline(flag))
		if r.isLive(before, flag, kept) {
			changed = append(changed, difference)
			before.Target.Set(flag.Target)
		} else {
			needsRestart = append(needsRestart, difference)
		}
	}
	slices.Sort(changed)
	slices.Sort(needsRestart)
	return changed, needsRestart
}

// isLive reports whether the gateway goes by the flag's new value now: it makes a difference in
// Options, and none that was kept.
func (r *reloader) isLive(before, now *kong.Flag, kept []string) bool {
	if slices.Contains(liveFlags, now.Name) {
		return true
	}
	without := r.running.options()
	old := reflect.ValueOf(before.Target.Interface())
	before.Target.Set(now.Target)
	with := r.running.options()
	before.Target.Set(old)
	differs := false
	a, b := reflect.ValueOf(without), reflect.ValueOf(with)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			if slices.Contains(kept, a.Type().Field(i).Name) {
				return false
			}
			differs = true
		}
	}
	return differs
}

// flags are those of serve, whose targets are the configuration's fields.
func (l *loaded) flags() map[string]*kong.Flag {
	all := map[string]*kong.Flag{}
	for _, flag := range l.ctx.Model.DefaultCmd.Flags {
		all[flag.Name] = flag
	}
	return all
}

// inline is a flag's value for a log line.
func inline(flag *kong.Flag) string {
	if isNothing(flag.Target) {
		return "nothing"
	}
	text, err := yaml.Marshal(shown(flag.Target, flag.Tag.Has("secret")))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// fitMachine makes the process take no more than its share of the machine, or of its container. It
// returns the container's limit of memory if the process's own comes from that, zero otherwise.
func (r *reloader) fitMachine() (container int64) {
	r.loops = r.running.Loops
	if r.loops == 0 { // Before there are more processors than cores.
		r.loops = limitLoops(r.running.options().Defaults().Loops, systemFiles{})
	}
	raiseProcs(r.loops)
	keepLessGarbage()
	return limitMemory(systemFiles{})
}
