"""Layer 2: what every network needs: metrics, secrets."""
