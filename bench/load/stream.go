package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
)

// stream is one ADS stream on a connection of its own, as an Envoy has it. One goroutine does all of its work:
// HTTP/2 frames are read and written directly, which costs a quarter of what a gRPC library takes for a message.
type stream struct {
	load    *load
	fleet   *fleet
	index   int
	delta   bool
	restart bool // send the versions of `load.versions`
	idle    bool // read nothing
	holds   bool // read when all have asked, and some time has passed

	conn    net.Conn
	framer  *http2.Framer
	writer  *bufio.Writer
	queue   []byte // what the peer's flow control holds back
	connWin int64
	winOut  int64
	initial int64
	unread  uint32

	clusters  seen
	endpoints seen
	asked     bool
	complete  bool
	last      []uint32 // the number of the last change seen, by cluster
	received  atomic.Int64
	messages  atomic.Int64
}

// seen counts the distinct resources of one type.
type seen struct {
	have  []uint64
	count int
}

func (s *seen) add(index int) {
	if bit := uint64(1) << (index & 63); s.have[index>>6]&bit == 0 {
		s.have[index>>6] |= bit
		s.count++
	}
}

func newStream(l *load, f *fleet, index int) *stream {
	words := (l.clusters + 63) / 64
	return &stream{
		load: l, fleet: f, index: index, delta: l.delta, last: make([]uint32, l.clusters),
		clusters: seen{have: make([]uint64, words)}, endpoints: seen{have: make([]uint64, words)},
		connWin: 65535, winOut: 65535, initial: 65535,
	}
}

func (s *stream) open() error {
	conn, err := net.Dial("tcp", s.load.target)
	if err != nil {
		return err
	}
	s.conn = conn
	s.writer = bufio.NewWriterSize(conn, 4096)
	s.framer = http2.NewFramer(s.writer, bufio.NewReaderSize(conn, 16<<10))
	s.framer.SetReuseFrames()
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	io.WriteString(s.writer, http2.ClientPreface)
	if s.idle {
		s.framer.WriteSettings()
	} else {
		s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(s.load.window)})
		if s.load.window > 65535 {
			s.framer.WriteWindowUpdate(0, uint32(s.load.window)-65535)
		}
	}
	path := "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	if s.delta {
		path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, header := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", s.load.target},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", "laneway-bench"},
	} {
		encoder.WriteField(hpack.HeaderField{Name: header[0], Value: header[1]})
	}
	s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	s.send(s.subscribe(clusterType, true))
	if s.restart || s.idle || s.holds {
		s.askEndpoints()
	}
	return s.writer.Flush()
}

// run reads until the connection ends. An error is nil if the load client closed it.
func (s *stream) run() error {
	if s.idle {
		<-s.fleet.done
		return nil
	}
	if s.holds {
		if s.load.unopened.Add(-1) == 0 {
			close(s.load.opened)
		}
		<-s.load.begin
	}
	var message []byte
	for {
		frame, err := s.framer.ReadFrame()
		if err != nil {
			if s.fleet.closing.Load() {
				return nil
			}
			return fmt.Errorf("stream %d: %w", s.index, err)
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			data := frame.Data()
			s.consumed(uint32(len(data)))
			for message = append(message, data...); len(message) >= 5; {
				length := int(binary.BigEndian.Uint32(message[1:5]))
				if len(message) < 5+length {
					break
				}
				s.response(message[5 : 5+length])
				message = message[:copy(message, message[5+length:])]
			}
			if len(message) == 0 && cap(message) > 64<<10 {
				message = nil
			}
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if value, ok := frame.Value(http2.SettingInitialWindowSize); ok {
					s.winOut += int64(value) - s.initial
					s.initial = int64(value)
				}
				s.framer.WriteSettingsAck()
				s.flush()
			}
		case *http2.WindowUpdateFrame:
			if frame.StreamID == 0 {
				s.connWin += int64(frame.Increment)
			} else {
				s.winOut += int64(frame.Increment)
			}
			s.flush()
		case *http2.PingFrame:
			if !frame.IsAck() {
				s.framer.WritePing(true, frame.Data)
			}
		case *http2.MetaHeadersFrame:
			if frame.StreamEnded() {
				return fmt.Errorf("stream %d ended: %v", s.index, frame.Fields)
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return fmt.Errorf("stream %d: %v", s.index, frame)
		}
		if err := s.writer.Flush(); err != nil && !s.fleet.closing.Load() {
			return err
		}
	}
}

func (s *stream) consumed(count uint32) {
	if s.unread += count; s.unread > uint32(s.load.window/4) {
		s.framer.WriteWindowUpdate(0, s.unread)
		s.framer.WriteWindowUpdate(1, s.unread)
		s.unread = 0
	}
}

func (s *stream) send(message []byte) {
	var head [5]byte
	binary.BigEndian.PutUint32(head[1:], uint32(len(message)))
	s.queue = append(append(s.queue, head[:]...), message...)
	s.flush()
}

func (s *stream) flush() {
	for len(s.queue) > 0 {
		size := min(int64(len(s.queue)), s.connWin, s.winOut, 16384)
		if size <= 0 {
			return
		}
		s.framer.WriteData(1, false, s.queue[:size])
		s.connWin -= size
		s.winOut -= size
		s.queue = s.queue[size:]
	}
	s.queue = nil
}

func (s *stream) askEndpoints() {
	s.asked = true
	s.send(s.subscribe(endpointType, false))
}

// subscribe is the first request of a type: clusters by the wildcard, endpoints by all names.
func (s *stream) subscribe(kind string, first bool) []byte {
	var request []byte
	if first {
		node := appendString(appendString(nil, 1, s.load.node(s.index)), 2, "bench")
		request = appendBytes(request, map[bool]int{true: 1, false: 2}[s.delta], node)
	}
	if s.delta {
		request = appendString(request, 2, kind)
		if !first && s.load.own {
			for cluster := range s.load.clusters {
				if one, other := s.leftOut(); cluster != one && cluster != other {
					request = appendString(request, 3, fmt.Sprintf("cluster-%05d", cluster))
				}
			}
		} else if !first {
			request = append(request, s.load.namesDelta...)
		}
		if s.restart {
			request = append(request, s.load.initialVersions(kind)...)
		}
		return request
	}
	if !first {
		request = append(request, s.load.namesSotw...)
	}
	return appendString(request, 4, kind)
}

func (s *stream) response(message []byte) {
	now := time.Now()
	var kind, nonce, version []byte
	s.received.Add(int64(len(message) + 5))
	s.messages.Add(1)
	// The type stands after the resources in some servers' replies, so the fields are walked twice.
	eachField(message, func(number int, value []byte) {
		switch number {
		case 1:
			version = value
		case 4:
			kind = value
		case 5:
			nonce = value
		}
	})
	isEndpoints := string(kind) == endpointType
	progress := &s.clusters
	if isEndpoints {
		progress = &s.endpoints
	}
	keep := s.index == 0 && s.delta
	eachField(message, func(number int, value []byte) {
		if number != 2 {
			return
		}
		var name, hash, body []byte
		if s.delta {
			eachField(value, func(number int, value []byte) {
				switch number {
				case 1:
					hash = value
				case 2:
					body = value
				case 3:
					name = value
				}
			})
		} else {
			body = value
			eachField(value, func(number int, value []byte) {
				if number == 2 {
					eachField(value, func(number int, value []byte) {
						if number == 1 && name == nil {
							name = value
						}
					})
				}
			})
		}
		index := number5(name)
		if index < 0 || index >= s.load.clusters {
			return
		}
		progress.add(index)
		if keep {
			s.load.keepVersion(string(kind), string(name), string(hash))
		}
		if isEndpoints {
			if at := bytes.Index(body, marker); at >= 0 {
				seq, err := strconv.ParseUint(string(body[at+len(marker):at+len(marker)+10]), 10, 32)
				if err == nil {
					s.saw(index, uint32(seq), now)
				}
			}
		}
	})
	s.acknowledge(string(kind), nonce, version)
	if !isEndpoints && !s.asked && s.clusters.count >= s.load.clusters {
		s.askEndpoints()
	}
	if !s.complete && s.endpoints.count >= s.wanted() && s.clusters.count >= s.load.clusters {
		s.complete = true
		s.load.synced(now)
	}
}

// leftOut are two endpoints; the pair is another one for each stream.
func (s *stream) leftOut() (int, int) {
	one := s.index % s.load.clusters
	return one, (one + 1 + s.index/s.load.clusters) % s.load.clusters
}

func (s *stream) wanted() int {
	if s.load.own {
		return s.load.clusters - 2
	}
	return s.load.clusters
}

func (s *stream) saw(cluster int, seq uint32, now time.Time) {
	before := s.last[cluster]
	if seq < before {
		s.load.stale.Add(1)
		return
	}
	if seq > before {
		atomic.StoreUint32(&s.last[cluster], seq)
		s.load.delivered(s.index, seq, now)
	}
}

func (s *stream) acknowledge(kind string, nonce, version []byte) {
	var request []byte
	if s.delta {
		request = appendString(request, 2, kind)
		request = appendBytes(request, 6, nonce)
	} else {
		request = appendBytes(request, 1, version)
		if kind == endpointType {
			request = append(request, s.load.namesSotw...)
		}
		request = appendString(request, 4, kind)
		request = appendBytes(request, 5, nonce)
	}
	s.send(request)
}

var marker = []byte("seq-")

// number5 reads the number of cluster-00042.
func number5(name []byte) int {
	if len(name) != 13 {
		return -1
	}
	value := 0
	for _, digit := range name[8:] {
		value = value*10 + int(digit-'0')
	}
	return value
}
