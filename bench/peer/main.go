// Command peer is a control plane over the published go-control-plane module, to compare with.
//
// It serves the same resources as bench/server.py: `-clusters` EDS clusters with `-endpoints` endpoints each, to
// `-nodes` nodes called node-0, node-1, ... A change arrives as POST /change?cluster=3&seq=17 on the control port
// and rewrites the first endpoint of that cluster. It is kind to the module: one snapshot object is shared by all
// nodes, and changes that arrive while one is being applied are applied together.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

func name(index int) string { return fmt.Sprintf("cluster-%05d", index) }

func makeCluster(index int) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                 name(index),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: &core.ConfigSource{
			ResourceApiVersion:    core.ApiVersion_V3,
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		}},
		ConnectTimeout: &durationpb.Duration{Nanos: 500_000_000},
	}
}

// The hostname of the first endpoint carries the number of the change, which the load client looks for.
func makeEndpoints(index, count int, seq uint64) *endpoint.ClusterLoadAssignment {
	members := make([]*endpoint.LbEndpoint, count)
	for member := range members {
		address := &core.SocketAddress{
			Address:       fmt.Sprintf("127.%d.%d.%d", index>>8, index&255, member+1),
			PortSpecifier: &core.SocketAddress_PortValue{PortValue: 8080},
		}
		host := &endpoint.Endpoint{
			Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: address}},
		}
		if member == 0 {
			host.Hostname = fmt.Sprintf("seq-%010d", seq)
			address.PortSpecifier = &core.SocketAddress_PortValue{PortValue: uint32(10000 + seq%50000)}
		}
		members[member] = &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: host}}
	}
	return &endpoint.ClusterLoadAssignment{
		ClusterName: name(index),
		Endpoints:   []*endpoint.LocalityLbEndpoints{{LbEndpoints: members}},
	}
}

// byNode gives every node a snapshot of its own, byGroup one to all.
type byNode struct{}
type byGroup struct{}

func (byNode) ID(node *core.Node) string { return node.GetId() }
func (byGroup) ID(*core.Node) string     { return "all" }

// backend applies a batch of changed endpoints.
type backend interface {
	apply(version uint64, changed map[int]types.Resource)
}

type snapshots struct {
	cache     cache.SnapshotCache
	keys      []string
	clusters  []types.Resource
	endpoints []types.Resource
}

func (s *snapshots) apply(version uint64, changed map[int]types.Resource) {
	for index, value := range changed {
		s.endpoints[index] = value
	}
	snapshot, err := cache.NewSnapshot(strconv.FormatUint(version, 10), map[resource.Type][]types.Resource{
		resource.ClusterType:  s.clusters,
		resource.EndpointType: s.endpoints,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range s.keys {
		if err := s.cache.SetSnapshot(context.Background(), key, snapshot); err != nil {
			log.Fatal(err)
		}
	}
}

type linear struct{ endpoints *cache.LinearCache }

func (l *linear) apply(_ uint64, changed map[int]types.Resource) {
	update := make(map[string]types.Resource, len(changed))
	for index, value := range changed {
		update[name(index)] = value
	}
	if err := l.endpoints.UpdateResources(update, nil); err != nil {
		log.Fatal(err)
	}
}

// changes collects what arrives while a batch is applied.
type changes struct {
	mutex   sync.Mutex
	pending map[int]types.Resource
	wake    chan struct{}
}

func (c *changes) add(index int, value types.Resource) {
	c.mutex.Lock()
	c.pending[index] = value
	c.mutex.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) run(target backend) {
	for version := uint64(2); ; version++ {
		<-c.wake
		c.mutex.Lock()
		batch := c.pending
		c.pending = map[int]types.Resource{}
		c.mutex.Unlock()
		if len(batch) > 0 {
			target.apply(version, batch)
		}
	}
}

func main() {
	address := flag.String("xds", "127.0.0.1:0", "address of the xDS server")
	control := flag.String("control", "127.0.0.1:0", "address of the control port")
	kind := flag.String("cache", "snapshot", "snapshot (a key a node), group (one key) or linear")
	nodes := flag.Int("nodes", 1000, "nodes")
	clusters := flag.Int("clusters", 1000, "clusters")
	members := flag.Int("endpoints", 10, "endpoints in a cluster")
	flag.Parse()

	all := &snapshots{}
	for index := range *clusters {
		all.clusters = append(all.clusters, makeCluster(index))
		all.endpoints = append(all.endpoints, makeEndpoints(index, *members, 0))
	}
	var source cache.Cache
	var target backend
	switch *kind {
	case "snapshot":
		for node := range *nodes {
			all.keys = append(all.keys, fmt.Sprintf("node-%d", node))
		}
		all.cache = cache.NewSnapshotCache(true, byNode{}, nil)
		all.apply(1, nil)
		source, target = all.cache, all
	case "group":
		all.keys = []string{"all"}
		all.cache = cache.NewSnapshotCache(true, byGroup{}, nil)
		all.apply(1, nil)
		source, target = all.cache, all
	case "linear":
		one, two := map[string]types.Resource{}, map[string]types.Resource{}
		for index := range *clusters {
			one[name(index)], two[name(index)] = all.clusters[index], all.endpoints[index]
		}
		endpoints := cache.NewLinearCache(resource.EndpointType, cache.WithInitialResources(two))
		source = &cache.MuxCache{
			Classify:      func(request *cache.Request) string { return request.GetTypeUrl() },
			ClassifyDelta: func(request *cache.DeltaRequest) string { return request.GetTypeUrl() },
			Caches: map[string]cache.Cache{
				resource.ClusterType:  cache.NewLinearCache(resource.ClusterType, cache.WithInitialResources(one)),
				resource.EndpointType: endpoints,
			},
		}
		target = &linear{endpoints}
	default:
		log.Fatalf("unknown cache %q", *kind)
	}

	queue := &changes{pending: map[int]types.Resource{}, wake: make(chan struct{}, 1)}
	go queue.run(target)
	http.HandleFunc("POST /change", func(_ http.ResponseWriter, request *http.Request) {
		index, _ := strconv.Atoi(request.FormValue("cluster"))
		seq, _ := strconv.ParseUint(request.FormValue("seq"), 10, 64)
		queue.add(index, makeEndpoints(index, *members, seq))
	})
	http.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	serving := grpc.NewServer(grpc.MaxRecvMsgSize(32<<20), grpc.MaxConcurrentStreams(10000))
	discovery.RegisterAggregatedDiscoveryServiceServer(
		serving, server.NewServer(context.Background(), source, nil))
	go func() { log.Fatal(serving.Serve(listener)) }()
	log.Fatal(http.ListenAndServe(*control, nil))
}
