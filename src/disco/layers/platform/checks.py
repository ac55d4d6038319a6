"""Checks of the platform's components."""

from disco.layers.platform.check_alerts import alerts_checks
from disco.layers.platform.check_grafana import grafana_checks
from disco.layers.platform.check_kube_state import kube_state_checks
from disco.layers.platform.check_logs import logs_checks
from disco.layers.platform.check_metrics import prometheus_checks
from disco.layers.platform.check_probes import probes_checks
from disco.layers.platform.check_vault import vault_checks

__all__ = [
    "alerts_checks",
    "grafana_checks",
    "kube_state_checks",
    "logs_checks",
    "probes_checks",
    "prometheus_checks",
    "vault_checks",
]
