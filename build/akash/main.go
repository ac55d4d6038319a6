// Command akash is the Akash node and client: upstream's root command, nothing else.
package main

import (
	"os"

	_ "github.com/akash-network/akash-api/go/sdkutil"
	"github.com/akash-network/node/cmd/akash/cmd"
	"github.com/cosmos/cosmos-sdk/server"
)

func main() {
	root, _ := cmd.NewRootCmd()
	if err := cmd.Execute(root, "AKASH"); err != nil {
		if code, ok := err.(server.ErrorCode); ok {
			os.Exit(code.Code)
		}
		os.Exit(1)
	}
}
