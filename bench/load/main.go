// Command load opens many ADS streams, acknowledges everything as an Envoy does, and measures. It prints one JSON
// object: a map from phase to figures; durations are milliseconds.
//
// Phases, in the order that -phases gives them: sync (all streams until the last has everything), change (one
// endpoint, until each and until the last has it), idle (the same while some more streams read nothing), storm (all
// come back at once with the versions that they have), rate (many changes a second), settle (memory after a rest).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type figures map[string]any

type load struct {
	target, control, prefix string
	pid                     int
	window                  uint
	hold                    time.Duration
	own                     bool
	begin                   chan struct{}
	delta                   bool
	streams, clusters       int
	namesDelta, namesSotw   []byte

	mutex       sync.Mutex
	versions    map[string]map[string]string
	initialOnce map[string][]byte

	seq       uint32
	sentAt    []atomic.Int64
	started   time.Time
	awaited   atomic.Uint32
	remaining atomic.Int64
	reached   chan struct{}
	latency   []time.Duration // of the awaited change, by stream
	rating    atomic.Bool
	buckets   [4000]atomic.Int64 // of 5 ms, in the rate phase
	stale     atomic.Int64

	unsynced  atomic.Int64
	allSynced chan struct{}
	unopened  atomic.Int64
	opened    chan struct{}
	firstSync time.Duration
}

// fleet is a set of streams that live and end together.
type fleet struct {
	streams []*stream
	closing atomic.Bool
	done    chan struct{}
	group   sync.WaitGroup
}

func (l *load) node(index int) string { return l.prefix + strconv.Itoa(index) }

func (l *load) launch(first, count int, configure func(*stream)) *fleet {
	f := &fleet{done: make(chan struct{})}
	for index := first; index < first+count; index++ {
		s := newStream(l, f, index)
		configure(s)
		f.streams = append(f.streams, s)
	}
	l.started = time.Now()
	for _, s := range f.streams {
		f.group.Add(1)
		go func() {
			defer f.group.Done()
			err := s.open()
			if err == nil {
				err = s.run()
			}
			if err != nil && !s.idle {
				log.Fatal(err)
			}
		}()
	}
	return f
}

func (f *fleet) close() {
	f.closing.Store(true)
	close(f.done)
	for _, s := range f.streams {
		if s.conn != nil {
			s.conn.Close()
		}
	}
	f.group.Wait()
}

func (l *load) keepVersion(kind, name, version string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.versions[kind] == nil {
		l.versions[kind] = map[string]string{}
	}
	l.versions[kind][name] = version
}

// initialVersions is the encoded initial_resource_versions of what the first stream has.
func (l *load) initialVersions(kind string) []byte {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.initialOnce[kind] == nil {
		var out []byte
		for name, version := range l.versions[kind] {
			out = appendBytes(out, 5, appendString(appendString(nil, 1, name), 2, version))
		}
		l.initialOnce[kind] = out
	}
	return l.initialOnce[kind]
}

func (l *load) synced(now time.Time) {
	if l.unsynced.Add(-1) == 0 {
		l.firstSync = now.Sub(l.started)
		close(l.allSynced)
	}
}

func (l *load) delivered(index int, seq uint32, now time.Time) {
	if l.rating.Load() {
		delay := now.UnixNano() - l.sentAt[seq].Load()
		l.buckets[min(int(delay/5e6), len(l.buckets)-1)].Add(1)
		return
	}
	if seq == l.awaited.Load() && index < len(l.latency) {
		l.latency[index] = now.Sub(l.started)
		if l.remaining.Add(-1) == 0 {
			close(l.reached)
		}
	}
}

func (l *load) trigger(cluster int, seq uint32) {
	address := fmt.Sprintf("http://%s/change?cluster=%d&seq=%d", l.control, cluster, seq)
	response, err := http.Post(address, "text/plain", nil)
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
}

// await prepares for a change that every stream is to see.
func (l *load) await() uint32 {
	l.seq++
	l.reached = make(chan struct{})
	l.latency = make([]time.Duration, l.streams)
	l.remaining.Store(int64(l.streams))
	l.awaited.Store(l.seq)
	return l.seq
}

func wait(what string, reached <-chan struct{}, limit time.Duration) {
	select {
	case <-reached:
	case <-time.After(limit):
		log.Fatalf("%s: not within %v", what, limit)
	}
}

func (l *load) sync() (*fleet, figures) {
	l.unsynced.Store(int64(l.streams))
	l.allSynced = make(chan struct{})
	l.unopened.Store(int64(l.streams))
	l.opened, l.begin = make(chan struct{}), make(chan struct{})
	before := cpu(l.pid)
	f := l.launch(0, l.streams, func(s *stream) { s.holds = l.hold > 0 })
	if l.hold > 0 {
		wait("the connections", l.opened, time.Minute)
		time.Sleep(l.hold)
		close(l.begin)
	}
	wait("first sync", l.allSynced, 3*time.Minute)
	out := figures{"last": ms(l.firstSync), "server_cpu": cpu(l.pid) - before}
	time.Sleep(time.Second)
	var total int64
	for _, s := range f.streams {
		total += s.received.Load()
	}
	out["bytes_per_stream"] = total / int64(l.streams)
	out["rss"], out["peak"] = rss(l.pid), peak(l.pid)
	return f, out
}

func (l *load) changes(f *fleet, count int, gap time.Duration) figures {
	var last, each []time.Duration
	before := cpu(l.pid)
	var bytes, messages int64
	for _, s := range f.streams {
		bytes, messages = bytes-s.received.Load(), messages-s.messages.Load()
	}
	for number := range count + 3 {
		cluster := rand.IntN(l.clusters)
		seq := l.await()
		l.started = time.Now()
		l.trigger(cluster, seq)
		wait("change", l.reached, time.Minute)
		if number >= 3 { // the first are for warming up
			last = append(last, slices.Max(l.latency))
			each = append(each, l.latency...)
		}
		time.Sleep(gap)
	}
	for _, s := range f.streams {
		bytes, messages = bytes+s.received.Load(), messages+s.messages.Load()
	}
	total := float64((count + 3) * l.streams)
	return figures{
		"last_p50": ms(quantile(last, 0.5)), "last_p99": ms(quantile(last, 0.99)),
		"each_p50": ms(quantile(each, 0.5)), "each_p99": ms(quantile(each, 0.99)),
		"server_cpu":       (cpu(l.pid) - before) / float64(count+3),
		"bytes_per_change": float64(bytes) / total, "messages_per_change": float64(messages) / total,
		"rss": rss(l.pid),
	}
}

func (l *load) storm(f *fleet) (*fleet, figures) {
	f.close()
	time.Sleep(2 * time.Second)
	l.trigger(rand.IntN(l.clusters), l.await())
	time.Sleep(time.Second)
	l.initialVersions(clusterType)
	l.initialVersions(endpointType)
	before := cpu(l.pid)
	f = l.launch(0, l.streams, func(s *stream) { s.restart = true })
	wait("storm", l.reached, 3*time.Minute)
	out := figures{
		"last": ms(slices.Max(l.latency)), "each_p50": ms(quantile(l.latency, 0.5)),
		"server_cpu": cpu(l.pid) - before,
	}
	time.Sleep(time.Second)
	var total int64
	for _, s := range f.streams {
		total += s.received.Load()
	}
	out["bytes_per_stream"] = total / int64(l.streams)
	out["rss"] = rss(l.pid)
	return f, out
}

func (l *load) rate(f *fleet, perSecond int, duration time.Duration) figures {
	stale := l.stale.Load()
	final := make([]uint32, l.clusters)
	l.rating.Store(true)
	defer l.rating.Store(false)
	before := cpu(l.pid)
	memory := []float64{rss(l.pid)}
	type change struct {
		cluster int
		seq     uint32
	}
	queue := make(chan change, 1<<16)
	// One worker only: changes of one cluster must arrive in order.
	var sending sync.WaitGroup
	sending.Add(1)
	go func() {
		defer sending.Done()
		for next := range queue {
			l.sentAt[next.seq].Store(time.Now().UnixNano())
			l.trigger(next.cluster, next.seq)
		}
	}()
	start := time.Now()
	total := int(duration.Seconds() * float64(perSecond))
	for number := range total {
		if pause := time.Until(start.Add(time.Duration(number) * time.Second / time.Duration(perSecond))); pause > 0 {
			time.Sleep(pause)
		}
		l.seq++
		cluster := rand.IntN(l.clusters)
		final[cluster] = l.seq
		queue <- change{cluster, l.seq}
		if number%(perSecond*5) == perSecond*5-1 {
			memory = append(memory, rss(l.pid))
		}
	}
	close(queue)
	sending.Wait()
	sent := time.Now()
	converged := false
	for !converged && time.Since(sent) < time.Minute {
		time.Sleep(10 * time.Millisecond)
		converged = true
		for _, s := range f.streams {
			for cluster, seq := range final {
				if seq > 0 && atomic.LoadUint32(&s.last[cluster]) != seq {
					converged = false
				}
			}
		}
	}
	out := figures{
		"converged": converged, "convergence": ms(time.Since(sent)), "sent_per_second": float64(total) / sent.Sub(start).Seconds(),
		"stale": l.stale.Load() - stale, "server_cpu_share": (cpu(l.pid) - before) / time.Since(start).Seconds(),
		"rss": append(memory, rss(l.pid)),
	}
	out["each_p50"], out["each_p99"] = l.bucket(0.5), l.bucket(0.99)
	return out
}

func (l *load) bucket(q float64) float64 {
	var total, sum int64
	for index := range l.buckets {
		total += l.buckets[index].Load()
	}
	for index := range l.buckets {
		if sum += l.buckets[index].Load(); float64(sum) >= q*float64(total) {
			return float64(index+1) * 5
		}
	}
	return 0
}

func ms(value time.Duration) float64 { return float64(value.Microseconds()) / 1000 }

func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// rss is the resident memory of a process in MiB.
func rss(pid int) float64 { return memory(pid, "VmRSS:") }

// peak is the most that it ever was.
func peak(pid int) float64 { return memory(pid, "VmHWM:") }

func memory(pid int, field string) float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			value, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return value / 1024
		}
	}
	return 0
}

// cpu is the processor time of a process in seconds.
func cpu(pid int) float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := strings.Cut(string(data), ") ")
	if !found {
		return 0
	}
	columns := strings.Fields(rest)
	user, _ := strconv.ParseFloat(columns[11], 64)
	system, _ := strconv.ParseFloat(columns[12], 64)
	return (user + system) / 100
}

func main() {
	l := &load{versions: map[string]map[string]string{}, initialOnce: map[string][]byte{}}
	mode := flag.String("mode", "delta", "delta or sotw")
	flag.StringVar(&l.target, "xds", "127.0.0.1:18000", "address of the xDS server")
	flag.StringVar(&l.control, "control", "127.0.0.1:18001", "address of its control port")
	flag.StringVar(&l.prefix, "node", "node-", "node ids without their number")
	flag.IntVar(&l.pid, "pid", 0, "process id of the server")
	flag.IntVar(&l.streams, "streams", 1000, "streams")
	flag.IntVar(&l.clusters, "clusters", 1000, "clusters that the server has")
	phases := flag.String("phases", "sync,change", "what to measure, in this order")
	count := flag.Int("changes", 60, "changes in the phases change and idle")
	gap := flag.Duration("gap", 30*time.Millisecond, "pause between changes")
	perSecond := flag.Int("rate", 200, "changes a second in the phase rate")
	duration := flag.Duration("duration", 60*time.Second, "of the phase rate")
	flag.UintVar(&l.window, "window", 16<<20, "bytes of a stream and of its connection that the server may send ahead; an Envoy's")
	flag.DurationVar(&l.hold, "hold", 0, "in the phase sync all streams ask for everything, and read after this time")
	flag.BoolVar(&l.own, "own", false, "each stream leaves out two endpoints of its own choice, so that no two are sent the same bytes")
	share := flag.Float64("idle", 0.05, "share of streams that read nothing in the phase idle")
	flag.Parse()
	l.delta = *mode == "delta"
	l.sentAt = make([]atomic.Int64, 1<<20)
	for index := range l.clusters {
		name := fmt.Sprintf("cluster-%05d", index)
		l.namesDelta = appendString(l.namesDelta, 3, name)
		l.namesSotw = appendString(l.namesSotw, 3, name)
	}

	report := figures{}
	var f *fleet
	for _, phase := range strings.Split(*phases, ",") {
		var out figures
		switch phase {
		case "sync":
			f, out = l.sync()
		case "change":
			out = l.changes(f, *count, *gap)
		case "idle":
			extra := int(float64(l.streams) * *share / (1 - *share))
			idlers := l.launch(l.streams, extra, func(s *stream) { s.idle = true })
			time.Sleep(3 * time.Second)
			out = l.changes(f, *count, *gap)
			out["idle"] = extra
			idlers.close()
			time.Sleep(time.Second)
		case "storm":
			f, out = l.storm(f)
		case "rate":
			out = l.rate(f, *perSecond, *duration)
		case "settle":
			time.Sleep(5 * time.Second)
			out = figures{"rss": rss(l.pid)}
		default:
			log.Fatalf("unknown phase %q", phase)
		}
		report[phase] = out
		line, _ := json.Marshal(out)
		fmt.Fprintln(os.Stderr, phase, string(line))
	}
	f.close()
	report["stale"] = l.stale.Load()
	encoded, _ := json.Marshal(report)
	fmt.Println(string(encoded))
}
