// What OpenTelemetry's propagator reads in lines of baggage, and what it writes: see agents.py for the lines of text.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
)

func main() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	for input.Scan() {
		parts := strings.Split(input.Text(), " ")
		headers := http.Header{}
		for _, part := range parts[1:] {
			line, err := hex.DecodeString(part[1:])
			if err != nil {
				panic(err)
			}
			headers.Add("baggage", string(line))
		}
		seen := propagation.Baggage{}.Extract(context.Background(), propagation.HeaderCarrier(headers))
		written := http.Header{}
		propagation.Baggage{}.Inject(seen, propagation.HeaderCarrier(written))
		fmt.Printf("-%x", written.Get("baggage"))
		for _, member := range baggage.FromContext(seen).Members() {
			fmt.Printf(" -%x=%x", member.Key(), member.Value())
		}
		fmt.Println()
	}
}
