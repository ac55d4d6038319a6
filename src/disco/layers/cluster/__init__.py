"""Layer 1: Kubernetes on those machines."""
