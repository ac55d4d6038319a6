#!/bin/bash
# by_hand.sh INPUTS: what `disco up` does for one server, by bare commands, one after the other where
# one needs the other, side by side where not. Prints `NAME SECONDS` lines; the last is `total`.
# INPUTS holds: base/ (a root file system), bin/ (programs), images/*.tar, node.tar (a node's files),
# id, host_key, host_key.pub, address, gateway, values/*.json, objects.json, charts/, bao.json (made).
set -euo pipefail
in=$1
ip=$(<"$in/address") gw=$(<"$in/gateway")
ctr='/opt/disco/bin/ctr --address /run/disco/containerd/containerd.sock -n k8s.io'
work=$(mktemp -d) ns=handns br=handbr
root=$work/root
had_netns=$(grep ' /run/netns ' /proc/mounts || true)
begun=$(date +%s%N) last=$begun
say() { local now; now=$(date +%s%N); awk -v n="$1" -v t=$((now - last)) 'BEGIN {printf "%s %.2f\n", n, t / 1e9}'; last=$now; }
clean() {
  kill -KILL "$(cat "$work/pid" 2>/dev/null)" 2>/dev/null || true
  for d in $(cat "$work/groups" 2>/dev/null); do
    for _ in $(seq 50); do
      p=$(find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u); [ -n "$p" ] || break
      kill -KILL $p 2>/dev/null || true; sleep 0.1
    done
    find "$d" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  ip link del hand0 2>/dev/null || true; ip netns del $ns 2>/dev/null || true
  ip link del $br 2>/dev/null || true
  [ -n "$had_netns" ] || umount /run/netns 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT
on() { ssh -q -i "$in/id" -o UserKnownHostsFile="$work/known" -o BatchMode=yes -o ControlMaster=auto \
  -o ControlPath="$work/mux" -o ControlPersist=60 "root@$ip" "$@"; }

# 1 a host
mkdir "$root"; cp -a "$in/base/." "$root"
echo h1 > "$root/etc/hostname"; echo "nameserver $gw" > "$root/etc/resolv.conf"
printf '127.0.0.1 localhost kubernetes.disco.internal\n%s h1\n' "$ip" > "$root/etc/hosts"
tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
install -m 600 "$in/host_key" "$root/etc/ssh/ssh_host_ed25519_key"
cp "$in/host_key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
mkdir -p -m 700 "$root/root/.ssh"; ssh-keygen -y -f "$in/id" > "$root/root/.ssh/authorized_keys"
echo "$ip $(cut -d' ' -f1,2 "$in/host_key.pub")" > "$work/known"
ip link add $br type bridge; ip addr add "$gw/24" dev $br; ip link set $br up
ip netns add $ns; ip link add hand0 type veth peer name eth0 netns $ns
ip link set hand0 master $br up; ip -n $ns link set lo up; ip -n $ns addr add "$ip/24" dev eth0
ip -n $ns link set eth0 up; ip -n $ns route add default via "$gw"
(
  while IFS=: read -r _ ctl path; do
    case $ctl in '') continue ;; name=*) d=/sys/fs/cgroup/${ctl#name=} ;; *) d=/sys/fs/cgroup/$ctl ;; esac
    [ -e "$d/cgroup.procs" ] || continue
    d=${d}${path%/}/hand-h1; mkdir -p "$d"; echo "$d" >> "$work/groups"
    if [ -e "$d/cpuset.cpus" ]; then
      cat "${d%/*}/cpuset.cpus" > "$d/cpuset.cpus"; cat "${d%/*}/cpuset.mems" > "$d/cpuset.mems"
    fi
    echo $BASHPID > "$d/cgroup.procs"
  done < /proc/self/cgroup
  exec env SYSTEMD_NSPAWN_USE_CGNS=1 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 \
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0 setsid systemd-nspawn --quiet --boot --machine=hand-h1 \
    --directory="$root" --register=no --keep-unit --network-namespace-path=/run/netns/$ns \
    --capability=all --system-call-filter='@keyring bpf perf_event_open' --bind=/dev/kmsg \
    --bind=/dev/fuse --bind=/dev/net/tun --resolv-conf=off --timezone=off --link-journal=no \
    --console=pipe < /dev/null > "$work/console" 2>&1
) &
echo $! > "$work/pid"
until on true 2>/dev/null; do sleep 0.1; done
say host

# 2 a node: containerd, then images beside the other programs
on tar -C / -xf - < "$in/node.tar"
on mkdir -p /opt/disco/bin /opt/disco/cni
tar -C "$in/bin" -chf - containerd ctr containerd-shim-runc-v2 | on tar -C /opt/disco/bin -xf -
on 'systemctl daemon-reload; systemctl -q enable --now disco-containerd; sysctl -q -p /etc/sysctl.d/90-disco.conf'
say containerd
tar -C "$in/bin" -chf - kube apiproxy | on 'tar -C /usr/local/bin -xf - &&
  cd /usr/local/bin && for n in kubeadm kubelet kubectl; do ln -sf kube $n; done &&
  ln -sf apiproxy disco-apiproxy && systemctl -q enable --now disco-apiproxy && systemctl -q enable kubelet' &
on 'cat > /opt/disco/cni/flannel && chmod 755 /opt/disco/cni/flannel' < "$in/bin/flannel-cni"
on $ctr images import --local - < "$in/images/node.tar" > /dev/null
wait %2
say node
( for s in network storage metrics vault akash; do
    on $ctr images import --local - < "$in/images/$s.tar" > /dev/null; done ) & imports=$!

# 3 a cluster
on 'mkdir -p /etc/kubernetes/pki && cp -a /etc/disco/kubeadm/pki/. /etc/kubernetes/pki/ &&
  kubeadm init --config /etc/disco/kubeadm/init.yaml > /root/init.log 2>&1 && cat /etc/kubernetes/admin.conf' \
  | sed "s#https://kubernetes.disco.internal:7443#https://$ip:6443#" > "$work/kubeconfig"
say kubeadm
export KUBECONFIG=$work/kubeconfig
k() { "$in/bin/kube" kubectl "$@"; }
release() { "$in/bin/helm" upgrade --install "$1" "$in/charts/$2" -n "$3" --create-namespace -f "$in/values/$1.json" > /dev/null; }
release network network kube-network & release storage storage kube-storage &
release metrics-server metrics-server kube-system & wait %4 %5 %6 2>/dev/null || true
wait $imports
until [ -n "$(k -n kube-system get deploy coredns -o 'jsonpath={.status.readyReplicas}')" ]; do
  sleep 0.2
done
say cluster

# 4 what runs on it
k apply --server-side -f "$in/objects.json" > /dev/null
release prometheus prometheus monitoring & release openbao openbao vault & release akash chain akash &
until k -n vault exec openbao-0 -- bao operator init -key-shares=1 -key-threshold=1 -format=json \
  > "$work/bao.json" 2>/dev/null; do sleep 0.3; done
key=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["unseal_keys_b64"][0])' "$work/bao.json")
k -n vault exec -i openbao-0 -- bao write sys/unseal key=- <<< "$key" > /dev/null
for w in sts/prometheus:monitoring sts/openbao:vault sts/validator:akash; do
  until k -n "${w#*:}" rollout status "${w%:*}" --timeout=120s > /dev/null 2>&1; do sleep 0.2; done
done
say services

# 5 does it work: a volume keeps what is written, all targets answer Prometheus, names are resolved
pod() { # NAME COMMAND
  k apply -f - > /dev/null <<POD
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "$1"}, "spec": {"restartPolicy": "Never",
 "terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}],
 "containers": [{"name": "c", "image": "$busybox", "command": ["sh", "-c", "$2"],
  "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}}
POD
  until [ "$(k get pod "$1" -o 'jsonpath={.status.phase}')" = Succeeded ]; do sleep 0.2; done
}
(
  busybox=$(grep -o 'localhost/busybox:[^"]*' "$in/values/storage.json")
  k apply -f - > /dev/null <<'CLAIM'
{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "v"},
 "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
CLAIM
  pod write "echo kept > /v/it && sync"
  k delete pod write --now > /dev/null
  pod read "grep kept /v/it && nslookup kubernetes.default.svc.cluster.local"
) & volume=$!
prometheus=/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1
until k get --raw "$prometheus/targets?state=active" | python3 -c '
import json, sys
targets = json.load(sys.stdin)["data"]["activeTargets"]
sys.exit(not targets or any(t["health"] != "up" for t in targets))'; do sleep 0.3; done
wait $volume
say works
awk -v t=$(($(date +%s%N) - begun)) 'BEGIN {printf "total %.2f\n", t / 1e9}'
