// Command request is the load of bench/edge.py: an upstream that answers everything, or a client that sends a number
// of HTTP/1.1 requests over a few connections and checks who answered.
//
//	request -serve base=127.0.0.1:9001,lane=127.0.0.1:9002
//	request -edge 127.0.0.1:8080 -count 10000 -connections 4 -header 'canary: v7' -expect lane
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

func main() {
	upstreams := flag.String("serve", "", "name=address,...: answer there with the name")
	edge := flag.String("edge", "", "address of the edge")
	count := flag.Int("count", 10000, "requests")
	connections := flag.Int("connections", 4, "connections")
	header := flag.String("header", "", "one header line")
	expect := flag.String("expect", "", "the body that every answer must have")
	flag.Parse()
	if *upstreams != "" {
		serve(*upstreams)
	}
	message := "GET /a HTTP/1.1\r\nhost: bench.example.com\r\n"
	if *header != "" {
		message += *header + "\r\n"
	}
	message += "\r\n"
	var group sync.WaitGroup
	for range *connections {
		group.Add(1)
		go func() {
			defer group.Done()
			conn, err := net.Dial("tcp", *edge)
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
