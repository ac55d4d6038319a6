{{/* What Loki is started with. Its parts talk to each other inside of one process. */}}
{{- define "loki.config" -}}
auth_enabled: false
server:
  http_listen_port: 3100
  log_level: warn
  # a query through `disco logs` may take half a minute
  http_server_read_timeout: 60s
  http_server_write_timeout: 60s
common:
  instance_addr: 127.0.0.1
  path_prefix: /data
  replication_factor: 1
  ring:
    kvstore:
      store: inmemory
  storage:
    filesystem:
      chunks_directory: /data/chunks
      rules_directory: /data/rules
schema_config:
  configs:
    - from: "2024-01-01"
      store: tsdb
      object_store: filesystem
      schema: v13
      index:
        prefix: index_
        period: 24h
ingester:
  lifecycler:
    # nobody else is to be waited for
    min_ready_duration: 0s
    final_sleep: 0s
  wal:
    flush_on_shutdown: true
  # A line may be half as old as this beside the newest of its stream: what waited on a node, and what
  # a new collector finds there, comes late.
  max_chunk_age: 24h
compactor:
  working_directory: /data/compactor
  retention_enabled: true
  delete_request_store: filesystem
limits_config:
  retention_period: {{ .Values.retention }}
  # what waited on a node while Loki was away is taken whole
  reject_old_samples: false
  ingestion_rate_mb: 32
  ingestion_burst_size_mb: 64
  per_stream_rate_limit: 16MB
  per_stream_rate_limit_burst: 64MB
  # collectors send lines of up to 1 MiB
  max_line_size: 1MB
  max_line_size_truncate: true
  max_query_length: 0s
  max_entries_limit_per_query: 100000
  discover_service_name: []
  allow_structured_metadata: true
  otlp_config:
    resource_attributes:
      # a pod's name is kept with its lines, and not as a stream: there would be ever more of them
      ignore_defaults: true
      attributes_config:
        - action: index_label
          attributes: [log.source, k8s.namespace.name, k8s.container.name, k8s.node.name]
analytics:
  reporting_enabled: false
{{- end }}
