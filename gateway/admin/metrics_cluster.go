package admin

import "github.com/prometheus/client_golang/prometheus"

// clusterTable lists the metrics of a gateway that has a cluster, in the order of docs/metrics.md.
var clusterTable = []metric{
	ofCluster("sluice_cluster_out", "1 while the cluster cannot be reached.", func(c *ClusterFigures) float64 { return number(c.IsOut) }),
	countOfCluster("sluice_cluster_outages_total", "Times it could not be reached any more.", func(c *ClusterFigures) uint64 { return c.Outages }),
	countOfCluster("sluice_cluster_packs_total", "Packs of messages that were acknowledged.", func(c *ClusterFigures) uint64 { return c.Packs }),
	countOfCluster("sluice_cluster_pack_messages_total", "Messages in them.", func(c *ClusterFigures) uint64 { return c.PackMessages }),
	countOfCluster("sluice_cluster_pack_bytes_total", "Their bytes.", func(c *ClusterFigures) uint64 { return c.PackBytes }),
	{
		name: "sluice_cluster_acknowledgement_seconds", help: "From a pack's first attempt to its acknowledgement.",
		collect: func(r *reading, d *prometheus.Desc, to chan<- prometheus.Metric) {
			buckets, sum := map[float64]uint64{}, uint64(0)
			for i, n := range r.cluster.AckTimes {
				if sum += n; i < len(r.cluster.AckBounds) {
					buckets[r.cluster.AckBounds[i].Seconds()] = sum
				}
			}
			to <- prometheus.MustNewConstHistogram(d, sum, r.cluster.AckTime.Seconds(), buckets)
		},
	},
	countOfCluster("sluice_cluster_attempts_total", "Packs that were sent.", func(c *ClusterFigures) uint64 { return c.Attempts }),
	countOfCluster("sluice_cluster_repeated_total", "Of them: those that were sent again, because nobody knew whether they had arrived.", func(c *ClusterFigures) uint64 { return c.Repeated }),
	countOfCluster("sluice_cluster_messages_late_total", "Messages that were not acknowledged in time.", func(c *ClusterFigures) uint64 { return c.Late }),
	countOfCluster("sluice_cluster_messages_given_up_total", "Messages of which nobody knows whether they were published.", func(c *ClusterFigures) uint64 { return c.GivenUp }),
	countOfCluster("sluice_cluster_messages_refused_total", "Messages that the NATS servers do not take.", func(c *ClusterFigures) uint64 { return c.Refused }),
	ofCluster("sluice_cluster_packs_waiting", "Packs that wait for those before them.", func(c *ClusterFigures) float64 { return float64(c.Waiting) }),
	ofCluster("sluice_cluster_packs_in_flight", "Packs that have not been acknowledged, one of a room.", func(c *ClusterFigures) float64 { return float64(c.InFlight) }),
	ofCluster("sluice_cluster_waiting_bytes", "Bytes of both.", func(c *ClusterFigures) float64 { return float64(c.WaitingBytes) }),
	ofCluster("sluice_cluster_rooms_held", "Rooms whose publishers wait, because no more may wait for the cluster.", func(c *ClusterFigures) float64 { return float64(c.Held) }),
	ofCluster("sluice_cluster_rooms", "Rooms whose messages come.", func(c *ClusterFigures) float64 { return float64(c.Rooms) }),
	ofCluster("sluice_cluster_rooms_opening", "Of them: those that are being opened, or in which something is being fetched.", func(c *ClusterFigures) float64 { return float64(c.Opening) }),
	countOfCluster("sluice_cluster_messages_total", "Messages that came.", func(c *ClusterFigures) uint64 { return c.Appended }),
	countOfCluster("sluice_cluster_packs_doubled_total", "Packs that came again, and were left out.", func(c *ClusterFigures) uint64 { return c.Doubled }),
	countOfCluster("sluice_cluster_packs_stray_total", "Packs for rooms in which nobody is.", func(c *ClusterFigures) uint64 { return c.Stray }),
	countOfCluster("sluice_cluster_holes_total", "Times some messages of a room were missing, and were fetched.", func(c *ClusterFigures) uint64 { return c.Repairs }),
	countOfCluster("sluice_cluster_packs_repaired_total", "Packs that came only so.", func(c *ClusterFigures) uint64 { return c.Repaired }),
	countOfCluster("sluice_cluster_packs_dropped_total", "Packs for which there was no place while a hole was closed, and that were fetched again.", func(c *ClusterFigures) uint64 { return c.HeldDropped }),
	ofCluster("sluice_cluster_held_bytes", "Bytes of packs that wait for what comes before them.", func(c *ClusterFigures) float64 { return float64(c.HeldBytes) }),
	countOfCluster("sluice_cluster_checks_total", "Rooms that were asked for their last messages, lest one was lost.", func(c *ClusterFigures) uint64 { return c.Checks }),
	countOfCluster("sluice_cluster_rooms_cut_total", "Times the NATS servers had dropped messages that a room's history has still.", func(c *ClusterFigures) uint64 { return c.Short }),
	countOfCluster("sluice_cluster_resets_total", "Times a room began anew, because nobody knows whether something was missed.", func(c *ClusterFigures) uint64 { return c.Resets }),
	countOfCluster("sluice_cluster_epochs_total", "Times all rooms did, because the NATS servers' messages are not what they were.", func(c *ClusterFigures) uint64 { return c.Epochs }),
	countOfCluster("sluice_cluster_packs_impossible_total", "Packs at a place that they cannot have: forged, or of servers that went back.", func(c *ClusterFigures) uint64 { return c.Impossible }),
	countOfCluster("sluice_cluster_packs_garbage_total", "Packs that are none.", func(c *ClusterFigures) uint64 { return c.Garbage }),
	countOfCluster("sluice_cluster_packs_unknown_total", "Packs of a version that this gateway does not know.", func(c *ClusterFigures) uint64 { return c.UnknownFormat }),
}

func ofCluster(name, help string, value func(*ClusterFigures) float64) metric {
	return single(name, help, func(r *reading) float64 { return value(&r.cluster) }).always()
}

func countOfCluster(name, help string, value func(*ClusterFigures) uint64) metric {
	return count(name, help, func(r *reading) uint64 { return value(&r.cluster) }).always()
}
