{{- define "openbao.scheme" -}}
{{ ternary "https" "http" .Values.tls.enabled }}
{{- end }}

{{- define "openbao.config" -}}
ui        = false
log_level = "{{ .Values.logLevel }}"

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  {{- if .Values.tls.enabled }}
  tls_cert_file   = "/etc/tls/tls.crt"
  tls_key_file    = "/etc/tls/tls.key"
  {{- else }}
  tls_disable     = true
  {{- end }}
  telemetry {
    unauthenticated_metrics_access = true
  }
}

# node_id, api_addr and cluster_addr come by environment: they differ between the pods
storage "raft" {
  path                   = "/data"
  performance_multiplier = {{ .Values.performanceMultiplier }}
  {{- range until (int .Values.replicas) }}
  retry_join {
    leader_api_addr     = "{{ include "openbao.scheme" $ }}://openbao-{{ . }}.openbao:8200"
    {{- if $.Values.tls.enabled }}
    leader_ca_cert_file = "/etc/tls/ca.crt"
    {{- end }}
  }
  {{- end }}
}

{{- with .Values.seal }}
{{- if .kind }}

# the rest comes by environment: it is secret
seal "{{ .kind }}" {
  {{- range $name, $value := .settings }}
  {{ $name }} = {{ $value | quote }}
  {{- end }}
}
{{- end }}
{{- end }}

# every request and answer, secrets as HMAC, into the pod's log
audit "file" "stdout" {
  description = "the log of the pod"
  options {
    file_path = "stdout"
  }
}

# labels the pods openbao-active, openbao-sealed, openbao-initialized
service_registration "kubernetes" {}

telemetry {
  prometheus_retention_time = "1h"
  disable_hostname          = true
}
{{- end }}
