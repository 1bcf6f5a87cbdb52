// Command sameness plays scripts to two gateways, an old and a new binary, and compares what their
// clients got, byte for byte: for changes that no client and no operator is to see.
//
// A script is steps over raw connections, or a command line. It is played to the old binary many
// times first. What that does not answer itself alike proves nothing: it is left out and listed.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
)

// Exit statuses.
const (
	exitAlike  = 0
	exitDiffer = 1
	exitFailed = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	old, new         string
	oldRuns, newRuns int
	parallel         int
	only             *regexp.Regexp
	isVerbose        bool
}

func run(args []string, stdout, stderr io.Writer) int {
	o := options{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("sameness", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.old, "old", "", "the gateway's `binary` as it was")
	f.StringVar(&o.new, "new", "", "the `binary` to be compared with it")
	f.IntVar(&o.oldRuns, "old-runs", 20, "how often each script is played to the old one")
	f.IntVar(&o.newRuns, "new-runs", 3, "and to the new one")
	f.IntVar(&o.parallel, "parallel", 16, "scripts at a time")
	f.BoolVar(&o.isVerbose, "v", false, "print the old one's answer to each script")
	f.Func("run", "only scripts whose names match a regular `expression`", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return exitFailed
	}
	if o.old == "" || o.new == "" || f.NArg() > 0 {
		f.Usage()
		return exitFailed
	}
	verdicts, err := compare(&o)
	if err != nil {
		fmt.Fprintln(stderr, "sameness:", err)
		return exitFailed
	}
	return report(stdout, verdicts, o.isVerbose)
}

// A verdict is what came of one script.
type verdict struct {
	script *script
	old    string // an answer
	other  string // another one, if there was one
	by     side   // that gave it
}

// A side is one of the two binaries.
type side int

const (
	nobody side = iota
	theOld
	theNew
)

// compare plays the scripts, several at a time.
func compare(o *options) (verdicts []*verdict, err error) {
	fleets := make([]*fleet, 3)
	for i, path := range map[side]string{theOld: o.old, theNew: o.new} {
		if fleets[i], err = newFleet(path); err != nil {
			return nil, err
		}
		defer fleets[i].stop()
	}
	for _, s := range corpus() {
		if o.only.MatchString(s.name) {
			verdicts = append(verdicts, &verdict{script: s})
		}
	}
	if len(verdicts) == 0 {
		return nil, fmt.Errorf("no script matches %v", o.only)
	}
	queue := make(chan *verdict)
	var players sync.WaitGroup
	for range o.parallel {
		players.Go(func() {
			for v := range queue {
				v.reach(o, fleets)
			}
		})
	}
	for _, v := range verdicts {
		queue <- v
	}
	close(queue)
	players.Wait()
	return verdicts, nil
}

// reach plays the script until an answer differs from the first, or as often as wanted. If the new
// one's does, the old one is given as many chances again to answer like that.
func (v *verdict) reach(o *options, fleets []*fleet) {
	v.old = fleets[theOld].play(v.script)
	for i := range o.oldRuns - 1 + o.newRuns {
		v.by = theOld
		if i >= o.oldRuns-1 {
			v.by = theNew
		}
		if v.other = fleets[v.by].play(v.script); v.other != v.old {
			break
		}
		v.by = nobody
	}
	for range o.oldRuns {
		if v.by == theNew && fleets[theOld].play(v.script) == v.other {
			v.by = theOld
		}
	}
}

func report(out io.Writer, verdicts []*verdict, isVerbose bool) int {
	counts := [3]int{}
	for _, v := range verdicts {
		counts[v.by]++
		if isVerbose {
			fmt.Fprintf(out, "%s\n%s\n", v.script.name, v.old)
		}
	}
	for _, v := range verdicts {
		switch v.by {
		case theOld:
			fmt.Fprintf(out, "left out: %s: the old one does not answer itself alike\n%s\n", v.script.name, difference(v.old, v.other))
		case theNew:
			fmt.Fprintf(out, "DIFFERS: %s\n%s\n", v.script.name, difference(v.old, v.other))
		}
	}
	fmt.Fprintf(out, "%d scripts: %d answered alike, %d differently, %d left out\n",
		len(verdicts), counts[nobody], counts[theNew], counts[theOld])
	if counts[theNew] > 0 {
		return exitDiffer
	}
	return exitAlike
}
