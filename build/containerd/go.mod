// containerd, which is built on a newer Kubernetes API than the cluster runs.
module disco/build/containerd

go 1.26.6

require github.com/containerd/containerd/v2 v2.4.2
