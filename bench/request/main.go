// Command request is the load of bench/edge.py: an upstream that answers everything, or a client that sends a number
// of HTTP/1.1 requests over a few connections and checks who answered.
//
//	request -serve base=127.0.0.1:9001,lane=127.0.0.1:9002
//	request -to 127.0.0.1:8080 -count 10000 -connections 4 -header 'canary: v7' -header 'x-lane: v7' -expect lane
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

func serve(listeners string) {
	for _, entry := range strings.Split(listeners, ",") {
		name, address, _ := strings.Cut(entry, "=")
		listener, err := net.Listen("tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		go http.Serve(listener, http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
			io.WriteString(out, name)
		}))
	}
	select {}
}

type lines []string

func (l *lines) String() string { return strings.Join(*l, ", ") }

func (l *lines) Set(line string) error {
	*l = append(*l, line)
	return nil
}

func main() {
	upstreams := flag.String("serve", "", "name=address,...: answer there with the name")
	to := flag.String("to", "", "address of the proxy")
	host := flag.String("host", "bench.example.com", "the service that is called")
	count := flag.Int("count", 10000, "requests")
	connections := flag.Int("connections", 4, "connections")
	var headers lines
	flag.Var(&headers, "header", "a header line; may be repeated")
	expect := flag.String("expect", "", "the body that every answer must have")
	flag.Parse()
	if *upstreams != "" {
		serve(*upstreams)
	}
	message := "GET /a HTTP/1.1\r\nhost: " + *host + "\r\n"
	for _, header := range headers {
		message += header + "\r\n"
	}
	message += "\r\n"
	var group sync.WaitGroup
	for range *connections {
		group.Add(1)
		go func() {
			defer group.Done()
			conn, err := net.Dial("tcp", *to)
			if err != nil {
				log.Fatal(err)
			}
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for range *count / *connections {
				io.WriteString(conn, message)
				response, err := http.ReadResponse(reader, nil)
				if err != nil {
					log.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != 200 || string(body) != *expect {
					log.Fatal(fmt.Sprintf("%s %q %v, not %q", response.Status, body, err, *expect))
				}
			}
		}()
	}
	group.Wait()
}
