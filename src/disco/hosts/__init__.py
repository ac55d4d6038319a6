"""Linux machines over SSH: sessions with pinned keys, facts, and the handful of host actions."""
