"""Plan, apply, journal, lock and events. Knows no layer, no host, no Kubernetes."""
