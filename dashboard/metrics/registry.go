package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry has all that is served: the exporter's, and what the process says of itself. connected is whether it has the bus,
// dropped how many messages came faster than they were read.
func NewRegistry(e *Exporter, connected func() bool, dropped func() uint64) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		e, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "exporter_dropped_messages_total", Help: "Messages that came faster than they were read.",
		}, func() float64 { return float64(dropped()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "exporter_bus_connected", Help: "1 while this process is connected to the bus.",
		}, func() float64 { return truth(connected()) }),
	)
	return registry
}
