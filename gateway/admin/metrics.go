package admin

import (
	"context"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesMax is how many scrapes there may be at a time.
const scrapesMax = 4

// newMetrics returns the handler of /metrics: the gateway's figures, those of Go's runtime and of
// the process, in a registry of their own. Labels are fixed words of ours, or numbers of loops, so
// the number of series does not depend on what clients do.
func newMetrics(f Figures, version string, o FigureOptions) http.Handler {
	return promhttp.HandlerFor(newRegistry(f, version, o), promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesMax,
	})
}

func newRegistry(f Figures, version string, o FigureOptions) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		newCollector(f, version, o),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// A collector asks the server anew at each scrape, so nothing is counted twice and what is not
// scraped costs nothing.
type collector struct {
	figures Figures
	version string
	options FigureOptions
	all     []described
}

// A described is a metric of the table with what the registry wants to know of it.
type described struct {
	metric
	desc *prometheus.Desc
}

func newCollector(f Figures, version string, o FigureOptions) *collector {
	c := &collector{figures: f, version: version, options: o}
	all := table
	if o.Cluster != nil {
		all = slices.Concat(table, clusterTable)
	}
	for _, m := range all {
		desc := prometheus.NewDesc(m.name, m.help, m.labels, nil)
		c.all = append(c.all, described{m, desc})
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.all {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	r := c.read()
	for _, m := range c.all {
		if r.hasAnswered || m.isAlways {
			m.collect(&r, m.desc, to)
		}
	}
}

func (c *collector) read() reading {
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	r := reading{version: c.version, isReady: c.figures.Ready() == nil}
	if c.options.Dropped != nil {
		r.dropped = c.options.Dropped()
	}
	if c.options.Cluster != nil {
		r.cluster = c.options.Cluster()
	}
	var err error
	if r.Stats, err = c.figures.Stats(ctx); err == nil {
		r.State, err = c.figures.State(ctx)
	}
	r.hasAnswered = err == nil
	return r
}
