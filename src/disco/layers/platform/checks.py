"""Checks of the platform's components."""

from disco.layers.platform.check_logs import logs_checks
from disco.layers.platform.check_metrics import prometheus_checks
from disco.layers.platform.check_vault import vault_checks

__all__ = ["logs_checks", "prometheus_checks", "vault_checks"]
