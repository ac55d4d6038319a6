// Command flannel is a CNI plugin that turns the subnet which flanneld leased
// for this node into a call of the bridge plugin.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const patience = 30 * time.Second

func main() {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(err)
	}
	var conf map[string]any
	if err := json.Unmarshal(in, &conf); err != nil {
		fail(err)
	}
	if os.Getenv("CNI_COMMAND") != "VERSION" {
		b, err := await("/run/flannel/subnet.env")
		if err != nil {
			fail(err)
		}
		env := map[string]string{}
		for _, l := range strings.Fields(string(b)) {
			k, v, _ := strings.Cut(l, "=")
			env[k] = v
		}
		subnet, err := netip.ParsePrefix(env["FLANNEL_SUBNET"]) // the gateway's address
		if err != nil {
			fail(err)
		}
		conf["type"] = "bridge"
		conf["bridge"] = "cni0"
		conf["isDefaultGateway"] = true
		conf["hairpinMode"] = true
		conf["ipMasq"] = false
		var mtu int
		fmt.Sscan(env["FLANNEL_MTU"], &mtu)
		conf["mtu"] = mtu
		conf["ipam"] = map[string]any{
			"type":   "host-local",
			"ranges": []any{[]any{map[string]any{"subnet": subnet.Masked()}}},
			"routes": []any{map[string]any{"dst": env["FLANNEL_NETWORK"]}},
		}
		in, _ = json.Marshal(conf)
	}
	cmd := exec.Command(find("bridge"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(in)), os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

// await reads a file that flanneld writes when it has its lease. The first pods of a node
// come before that; a kubelet that is refused tries again only after ten seconds or more.
func await(file string) ([]byte, error) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		b, err := os.ReadFile(file)
		if err == nil || time.Now().After(end) {
			return b, err
		}
	}
}

// find looks for a plugin in the folders that the runtime names, in their order.
func find(plugin string) string {
	for _, dir := range filepath.SplitList(os.Getenv("CNI_PATH")) {
		path := filepath.Join(dir, plugin)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return plugin
}

func fail(err error) {
	json.NewEncoder(os.Stdout).Encode(map[string]any{"cniVersion": "1.0.0", "code": 11, "msg": err.Error()})
	os.Exit(1)
}
