package admin

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/internal/gatewaytest"
)

// Each of the cluster's figures is told, by one metric; without a cluster none is.
func TestClusterFiguresAreTold(t *testing.T) {
	s, _ := gatewaytest.Start(t, gatewaytest.Options())
	c := ClusterFigures{AckBounds: []time.Duration{time.Millisecond, time.Second}, AckTimes: []uint64{5, 3, 2}, AckTime: 7 * time.Second}
	v, want := reflect.ValueOf(&c).Elem(), map[float64]string{}
	for i := range v.NumField() {
		name, value := v.Type().Field(i).Name, 1000+i
		if strings.HasPrefix(name, "Ack") {
			continue
		}
		switch f := v.Field(i); {
		case f.CanInt():
			f.SetInt(int64(value))
		case f.CanUint():
			f.SetUint(uint64(value))
		default:
			f.SetBool(true)
			value = 1
		}
		want[float64(value)] = name
	}
	all := families(t, scrape(t, newMetrics(s, "v1", FigureOptions{Cluster: func() ClusterFigures { return c }})))
	for name, f := range all {
		switch m := f.Metric[0]; {
		case !strings.HasPrefix(name, "sluice_cluster_"):
		case m.Histogram != nil:
			h := m.Histogram
			if h.GetSampleCount() != 10 || h.GetSampleSum() != 7 || h.Bucket[0].GetCumulativeCount() != 5 || h.Bucket[1].GetCumulativeCount() != 8 || h.Bucket[1].GetUpperBound() != 1 {
				t.Errorf("%s: %v", name, h)
			}
		default:
			delete(want, m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
	for name := range families(t, scrape(t, newMetrics(s, "v1", FigureOptions{}))) {
		if strings.HasPrefix(name, "sluice_cluster_") {
			t.Errorf("a gateway without a cluster tells %s", name)
		}
	}
}
