// The timestamp authority's server on the loopback port it is given, with a key of its own in memory.
//
// The released program also serves its metrics, always on port 2112 of every address: two of it on
// one machine would not start. This is the same server without that.
//
// Usage: timestamp-server PORT
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/log"
	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: timestamp-server PORT")
		os.Exit(2)
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	log.ConfigureLogger("prod")
	viper.Set("timestamp-signer", "memory")
	viper.Set("timestamp-signer-hash", "sha256")
	viper.Set("max-request-body-size", 1<<20)
	timeout := 10 * time.Second
	serving := server.NewRestAPIServer("127.0.0.1", port, []string{"http"}, false, timeout, timeout)
	fmt.Fprintln(os.Stderr, serving.Serve())
	os.Exit(1)
}
