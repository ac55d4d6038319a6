"""The runner of checks and its reports; the checks themselves live beside their components."""
