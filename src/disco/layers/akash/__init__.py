"""Layer 3: Akash and other chains."""
