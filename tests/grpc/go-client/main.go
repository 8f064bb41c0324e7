// A grpc-go client that does what it is told: a JSON object a line in, a JSON object a line out.
// The Python client beside it (client.py) speaks the same lines.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds" // the resolver and balancers behind xds:///
)

const method = "/laneway.test.Chain/Call"

// Bytes go as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "raw" }

type asked struct {
	Target   string      `json:"target"`
	Metadata [][2]string `json:"metadata"`
	Timeout  float64     `json:"timeout"`
	Wait     bool        `json:"wait"`
}

type answer struct {
	Chain []string `json:"chain,omitempty"`
	Error string   `json:"error,omitempty"`
	Text  string   `json:"text,omitempty"`
}

func call(channel *grpc.ClientConn, it asked) answer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(it.Timeout*float64(time.Second)))
	defer cancel()
	for _, pair := range it.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, pair[0], pair[1])
	}
	request, reply := []byte{}, []byte{}
	err := channel.Invoke(ctx, method, &request, &reply, grpc.ForceCodec(raw{}), grpc.WaitForReady(it.Wait))
	if err != nil {
		failed := status.Convert(err)
		return answer{Error: strings.ToUpper(failed.Code().String()), Text: failed.Message()}
	}
	var found answer
	if err := json.Unmarshal(reply, &found.Chain); err != nil {
		panic(err)
	}
	return found
}

func main() {
	channels := map[string]*grpc.ClientConn{}
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var it asked
		if err := json.Unmarshal(lines.Bytes(), &it); err != nil {
			panic(err)
		}
		channel, open := channels[it.Target]
		if !open {
			var err error
			credentials := grpc.WithTransportCredentials(insecure.NewCredentials())
			if channel, err = grpc.NewClient(it.Target, credentials); err != nil {
				panic(err)
			}
			channels[it.Target] = channel
		}
		if err := out.Encode(call(channel, it)); err != nil {
			panic(err)
		}
	}
}
