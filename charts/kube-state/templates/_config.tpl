{{- define "kube-state.config" -}}
receivers:
  k8s_cluster:
    auth_type: serviceAccount
    collection_interval: {{ .Values.interval }}
    node_conditions_to_report: [Ready, DiskPressure, MemoryPressure, PIDPressure]
    allocatable_types_to_report: [cpu, memory]
    metrics:
      k8s.container.status.reason:
        enabled: true
    # names only: each other start or object would be another series
    resource_attributes:
      container.id:
        enabled: false
      container.image.name:
        enabled: false
      container.image.tag:
        enabled: false
      {{- range list "cronjob" "daemonset" "deployment" "hpa" "job" "namespace" "node" "pod" "replicaset" "statefulset" }}
      k8s.{{ . }}.uid:
        enabled: false
      {{- end }}
exporters:
  prometheus:
    endpoint: 0.0.0.0:9464
    # what is gone is told no longer, soon after
    metric_expiration: 1m
    add_metric_suffixes: false
    resource_to_telemetry_conversion:
      enabled: true
service:
  pipelines:
    metrics:
      receivers: [k8s_cluster]
      exporters: [prometheus]
{{- end }}
