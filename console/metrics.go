package console

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// makeMetrics makes the registry, which is the server's own: a process may hold
// several services.
func (s *Server) makeMetrics() {
	s.registry = prometheus.NewRegistry()
	s.fetches = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "waptsync_fetch_seconds",
		Help: "Time from a request for content to its last answer.",
		// From a request on a fast network to 4 MiB over 1 Mbit/s.
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
	})
	role := "publisher"
	if s.o.Main == nil {
		role = "subscriber"
	}
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "waptsync_build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": s.o.Version, "goversion": runtime.Version(), "role": role},
	}, func() float64 { return 1 })
	s.registry.MustRegister(s.fetches, info, newStateCollector(s.sampler),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// ObserveFetch notes how long one fetch took. It may be called concurrently.
func (s *Server) ObserveFetch(took time.Duration) { s.fetches.Observe(took.Seconds()) }

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if !s.mayWatch(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="waptsync"`)
		http.Error(w, "metrics are for loopback, for who has the token, and for who is signed in", http.StatusUnauthorized)
		return
	}
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
}

// stateCollector makes metrics of a status at the moment they are asked for.
type stateCollector struct {
	sampler *sampler
	up      *prometheus.Desc
	ready   *prometheus.Desc

	shareFiles, shareBytes, shareHeld, shareIncomplete, shareErrors, shareSkipped,
	connected, paused, lagEvents, lagBytes, lagSeconds, waiting, errors, sent, received, reused *prometheus.Desc
}

func newStateCollector(s *sampler) *stateCollector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("waptsync_"+name, help, labels, nil)
	}
	return &stateCollector{
		sampler:         s,
		up:              d("healthy", "Whether the service and its store are well, as /healthz says."),
		ready:           d("ready", "Whether no share is held and nothing is behind by more than the limits, as /readyz says."),
		shareFiles:      d("share_files", "Files of a share here.", "share"),
		shareBytes:      d("share_bytes", "Content of a share here, in bytes.", "share"),
		shareHeld:       d("share_held", "Whether a share waits for an administrator.", "share"),
		shareIncomplete: d("share_index_incomplete", "Whether a share's index names files that it lacks.", "share"),
		shareErrors:     d("share_errors", "Paths that cannot be published.", "share"),
		shareSkipped:    d("share_skipped", "Paths left out on purpose.", "share"),
		connected:       d("remote_connected", "Whether a remote is connected to the main.", "remote"),
		paused:          d("remote_paused", "Whether a remote was paused by an administrator.", "remote"),
		lagEvents:       d("lag_events", "Changes that are not on a remote's disk.", "remote", "share"),
		lagBytes:        d("lag_bytes", "Content of these that a remote still has to get, in bytes.", "remote", "share"),
		lagSeconds:      d("lag_seconds", "Age of the oldest change that is not on a remote's disk.", "remote", "share"),
		waiting:         d("waiting", "Whether a share waits for the hours in which its remote may get contents.", "remote", "share"),
		errors:          d("errors", "Paths that a remote could not apply and tries again.", "remote", "share"),
		sent:            d("sent_bytes_total", "Bytes sent to remotes since the service started."),
		received:        d("received_bytes_total", "Content bytes that a remote got over the network since its service started.", "remote", "share"),
		reused:          d("reused_bytes_total", "Content bytes that a remote found on its own disk since its service started.", "remote", "share"),
	}
}

// Describe implements prometheus.Collector. It tells nothing beforehand, since
// which metrics there are depends on the role.
func (c *stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { put(d, prometheus.GaugeValue, v, labels...) }

	n, err := c.sampler.within(context.Background(), sampleFresh)
	if err != nil {
		gauge(c.up, 0)
		gauge(c.ready, 0)
		return
	}
	gauge(c.ready, truth(len(notReady(n, c.sampler.o.Ready)) == 0))
	if r := n.replica; r != nil {
		gauge(c.up, truth(r.Unwell == ""))
		gauge(c.connected, truth(r.Connected), r.Name)
		for name, sh := range r.Shares {
			gauge(c.shareFiles, float64(sh.Files), name)
			gauge(c.shareBytes, float64(sh.Bytes), name)
			gauge(c.shareHeld, truth(sh.State == StateHeld), name)
		}
		c.shares(put, r.Name, r.Shares)
		return
	}
	gauge(c.up, truth(n.main.Trouble == ""))
	put(c.sent, prometheus.CounterValue, float64(n.main.Sent))
	for name, sh := range n.main.Shares {
		gauge(c.shareFiles, float64(sh.Files), name)
		gauge(c.shareBytes, float64(sh.Bytes), name)
		gauge(c.shareHeld, truth(sh.Held != ""), name)
		gauge(c.shareIncomplete, truth(sh.Index == IndexIncomplete), name)
		gauge(c.shareErrors, float64(sh.Errors), name)
		gauge(c.shareSkipped, float64(sh.Skipped), name)
	}
	for name, r := range n.main.Remotes {
		gauge(c.connected, truth(r.Connected), name)
		gauge(c.paused, truth(r.Paused), name)
		c.shares(put, name, r.Shares)
	}
}

func (c *stateCollector) shares(put func(*prometheus.Desc, prometheus.ValueType, float64, ...string), remote string, shares map[string]RemoteShare) {
	for name, sh := range shares {
		put(c.lagEvents, prometheus.GaugeValue, float64(sh.LagEvents), remote, name)
		put(c.lagBytes, prometheus.GaugeValue, float64(sh.LagBytes), remote, name)
		put(c.lagSeconds, prometheus.GaugeValue, sh.LagAge, remote, name)
		put(c.waiting, prometheus.GaugeValue, truth(sh.State == StateWaiting), remote, name)
		put(c.errors, prometheus.GaugeValue, float64(sh.Errors), remote, name)
		put(c.received, prometheus.CounterValue, float64(sh.Received), remote, name)
		put(c.reused, prometheus.CounterValue, float64(sh.Reused), remote, name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
