// The local-path provisioner, which can't share a module: it spells an import
// in two ways.
module disco/build/local-path

go 1.26.0

require (
	github.com/rancher/local-path-provisioner v0.0.30
	k8s.io/api v0.36.3
	k8s.io/apimachinery v0.36.3
	k8s.io/client-go v0.36.3
)
