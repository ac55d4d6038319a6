// Alertmanager, apart: it is built from a copy of its module, in which the page is ours.
module disco/build/alertmanager

go 1.26.5

require github.com/prometheus/alertmanager v0.34.1
