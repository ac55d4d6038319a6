{{- define "grafana.ini" -}}
[paths]
data = /var/lib/grafana
plugins = /var/lib/grafana/plugins
provisioning = /etc/grafana/provisioning
[server]
http_port = 3000
{{- with .Values.externalUrl }}
root_url = {{ . }}
{{- end }}
[log]
mode = console
[security]
admin_user = admin
admin_password = $__file{/etc/grafana/admin/password}
disable_gravatar = true
[users]
allow_sign_up = false
allow_org_create = false
[auth.anonymous]
enabled = false
[analytics]
reporting_enabled = false
check_for_updates = false
check_for_plugin_updates = false
feedback_links_enabled = false
[news]
news_feed_enabled = false
[snapshots]
external_enabled = false
[plugins]
plugin_admin_enabled = false
preinstall_disabled = true
preinstall_auto_update = false
public_key_retrieval_disabled = true
[unified_alerting]
enabled = false
{{- if hasKey .Values.dashboards .Values.home }}
[dashboards]
default_home_dashboard_path = /etc/grafana/boards/disco/{{ .Values.home }}
{{- end }}
{{- end }}

{{- define "grafana.datasources" -}}
apiVersion: 1
prune: true
datasources:
  - name: Prometheus
    uid: prometheus
    type: prometheus
    access: proxy
    url: {{ .Values.prometheus.url | quote }}
    isDefault: true
    editable: false
    jsonData:
      httpMethod: POST
      prometheusType: Prometheus
      timeInterval: {{ .Values.prometheus.interval | quote }}
      manageAlerts: false
  {{- with .Values.logs }}
  {{- if .url }}
  - name: {{ ternary "Loki" "VictoriaLogs" (eq .store "loki") }}
    uid: {{ ternary "loki" "victorialogs" (eq .store "loki") }}
    type: {{ ternary "loki" "victoriametrics-logs-datasource" (eq .store "loki") }}
    access: proxy
    url: {{ .url | quote }}
    editable: false
  {{- end }}
  {{- end }}
{{- end }}

{{- define "grafana.providers" -}}
apiVersion: 1
providers:
  - name: disco
    folder: DISCO
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options: {path: /etc/grafana/boards/disco}
  - name: runbooks
    folder: Runbooks
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options: {path: /etc/grafana/boards/runbooks}
{{- end }}
