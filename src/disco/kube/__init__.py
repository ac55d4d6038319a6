"""Kubernetes and Helm as DISCO uses them: server-side apply, releases, readiness, proxies."""
