{{/* Addresses with the port that their kind of server has: (list addresses port) */}}
{{- define "prometheus.addresses" -}}
{{- $port := index . 1 -}}
{{- range index . 0 }}
- {{ ternary . (printf "%s:%v" . $port) (contains ":" .) | quote }}
{{- end }}
{{- end }}

{{/* The pod's own token, for servers that ask the API who a caller is. */}}
{{- define "prometheus.token" -}}
authorization:
  credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end }}

{{- define "prometheus.drop" -}}
{{- with .Values.dropMetrics }}
metric_relabel_configs:
  - source_labels: [__name__]
    regex: {{ . | quote }}
    action: drop
{{- end }}
{{- end }}

{{/* prometheus.io/{scheme,path,port,param_format} of a pod or a service: "pod" */}}
{{- define "prometheus.annotated" -}}
{{- $meta := printf "__meta_kubernetes_%s_annotation_prometheus_io" . -}}
- source_labels: [{{ $meta }}_scheme]
  regex: (https?)
  target_label: __scheme__
- source_labels: [{{ $meta }}_path]
  regex: (.+)
  target_label: __metrics_path__
- source_labels: [{{ $meta }}_param_format]
  regex: (.+)
  target_label: __param_format
- source_labels: [__meta_kubernetes_namespace]
  target_label: namespace
- source_labels: [__meta_kubernetes_pod_name]
  target_label: pod
- source_labels: [__meta_kubernetes_pod_node_name]
  target_label: node
- source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name]
  target_label: app
{{- end }}

{{/* Another text when one of the logins has another value. */}}
{{- define "prometheus.versions" -}}
{{- range .Values.remoteWrite }}{{ .version }} {{ end -}}
{{- end }}

{{- define "prometheus.config" -}}
global:
  scrape_interval: {{ .Values.scrapeInterval }}
  scrape_timeout: {{ .Values.scrapeInterval }}
  evaluation_interval: {{ .Values.scrapeInterval }}
  {{- with .Values.externalLabels }}
  external_labels: {{- toYaml . | nindent 4 }}
  {{- end }}
rule_files:
  - /etc/prometheus/rules/*.yaml
  - /etc/prometheus/rules/*.yml
{{- with .Values.alertmanagers }}
alerting:
  alertmanagers:
    - static_configs:
        - targets: {{- toYaml . | nindent 12 }}
{{- end }}
{{- with .Values.remoteWrite }}
remote_write:
  {{- range . }}
  - url: {{ .url | quote }}
    {{- if .username }}
    basic_auth:
      username: {{ .username | quote }}
      password_file: /etc/prometheus/logins/{{ .secret }}/secret
    {{- else if .secret }}
    authorization:
      credentials_file: /etc/prometheus/logins/{{ .secret }}/secret
    {{- end }}
  {{- end }}
{{- end }}
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: [127.0.0.1:9090]

  # A kubelet's certificate is of its own making unless the cluster signs it.
  - job_name: kubelet
    scheme: https
    tls_config:
      insecure_skip_verify: true
    {{- include "prometheus.token" . | nindent 4 }}
    kubernetes_sd_configs:
      - role: node
    relabel_configs:
      - source_labels: [__meta_kubernetes_node_name]
        target_label: node
    {{- include "prometheus.drop" . | nindent 4 }}

  - job_name: cadvisor
    scheme: https
    metrics_path: /metrics/cadvisor
    tls_config:
      insecure_skip_verify: true
    {{- include "prometheus.token" . | nindent 4 }}
    kubernetes_sd_configs:
      - role: node
    relabel_configs:
      - source_labels: [__meta_kubernetes_node_name]
        target_label: node

  - job_name: apiserver
    scheme: https
    tls_config:
      ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
      server_name: kubernetes
    {{- include "prometheus.token" . | nindent 4 }}
    kubernetes_sd_configs:
      - role: endpointslice
        namespaces:
          names: [default]
    relabel_configs:
      - source_labels: [__meta_kubernetes_service_name]
        regex: kubernetes
        action: keep
    {{- include "prometheus.drop" . | nindent 4 }}
  {{- with .Values.controlPlane.etcd }}

  - job_name: etcd
    static_configs:
      - targets: {{- include "prometheus.addresses" (list . 2381) | trim | nindent 10 }}
  {{- end }}
  {{- with .Values.controlPlane.scheduler }}

  - job_name: scheduler
    scheme: https
    tls_config:
      insecure_skip_verify: true
    {{- include "prometheus.token" $ | nindent 4 }}
    static_configs:
      - targets: {{- include "prometheus.addresses" (list . 10259) | trim | nindent 10 }}
  {{- end }}
  {{- with .Values.controlPlane.controllerManager }}

  - job_name: controller-manager
    scheme: https
    tls_config:
      insecure_skip_verify: true
    {{- include "prometheus.token" $ | nindent 4 }}
    static_configs:
      - targets: {{- include "prometheus.addresses" (list . 10257) | trim | nindent 10 }}
  {{- end }}
  {{- if .Values.nodeExporter.enabled }}

  - job_name: node-exporter
    kubernetes_sd_configs:
      - role: pod
        namespaces:
          own_namespace: true
        selectors:
          - role: pod
            label: app.kubernetes.io/name=node-exporter
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_node_name]
        target_label: node
  {{- end }}

  # Pods that ask for it by annotations prometheus.io/{scrape,port,path,scheme,param_format}. One target
  # for each container port comes out; those with the same address in the end are asked once.
  - job_name: pods
    tls_config:
      insecure_skip_verify: true
    kubernetes_sd_configs:
      - role: pod
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
        regex: "true"
        action: keep
      # finished pods have an address still, init containers a port that is closed by now
      - source_labels: [__meta_kubernetes_pod_phase]
        regex: Running
        action: keep
      - source_labels: [__meta_kubernetes_pod_container_init]
        regex: "true"
        action: drop
      - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
        separator: ":"
        regex: (.+:[0-9]+)
        target_label: __address__
      {{- include "prometheus.annotated" "pod" | nindent 6 }}

  # The same annotations on a service: each of its pods, unless the pod asks for it itself.
  - job_name: services
    tls_config:
      insecure_skip_verify: true
    kubernetes_sd_configs:
      - role: endpointslice
    relabel_configs:
      - source_labels: [__meta_kubernetes_service_annotation_prometheus_io_scrape]
        regex: "true"
        action: keep
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
        regex: "true"
        action: drop
      - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_service_annotation_prometheus_io_port]
        separator: ":"
        regex: (.+:[0-9]+)
        target_label: __address__
      {{- include "prometheus.annotated" "service" | nindent 6 }}
      - source_labels: [__meta_kubernetes_service_name]
        target_label: service
  {{- range .Values.staticTargets }}

  - job_name: {{ .job }}
    scheme: {{ .scheme | default "http" }}
    metrics_path: {{ .path | default "/metrics" | quote }}
    static_configs:
      - targets: {{- toYaml .targets | nindent 10 }}
        {{- with .labels }}
        labels: {{- toYaml . | nindent 10 }}
        {{- end }}
  {{- end }}
  {{- with .Values.scrapeConfigs }}

  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
