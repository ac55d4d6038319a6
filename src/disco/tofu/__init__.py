"""OpenTofu, with its state where the team's secrets are."""
