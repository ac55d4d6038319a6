// blackbox-exporter, apart: only stacks with probes need it.
module disco/build/blackbox

go 1.26.5

require github.com/prometheus/blackbox_exporter v0.28.0
