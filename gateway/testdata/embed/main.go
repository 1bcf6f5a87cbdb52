// Command embed is a program with a server of its own and the gateway in it: that of
// docs/embedding.md, whole.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"sluice/gateway"
)

func main() {
	gw, err := gateway.New(gateway.Options{MaxMessage: 64 << 10}, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	go gw.Serve(context.Background()) // runs the event loops

	mux := http.NewServeMux()
	mux.Handle("/ws/", gw)  // /ws/{room}
	mux.Handle("/sse/", gw) // /sse/{room}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a page of the program's") })
	server := &http.Server{Handler: mux}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	stop, _ := signal.NotifyContext(context.Background(), os.Interrupt)
	go func() { log.Print(server.Serve(listener)) }()
	<-stop.Done()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server.Shutdown(ctx) // no new requests
	gw.Drain(ctx)        // WebSockets have left the server: this tells them
	gw.Close()
}
