{{/* Every chart has this same file: charts are used one by one, without a library to fetch. */}}

{{/* What selects the pods of one part: (list . "part") */}}
{{- define "disco.selector" -}}
app.kubernetes.io/name: {{ index . 1 | quote }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
{{- end }}

{{/* All labels of one part: (list . "part"), and its version if that is not the chart's. */}}
{{- define "disco.labels" -}}
{{- $root := index . 0 -}}
{{- $version := $root.Chart.AppVersion -}}
{{- if gt (len .) 2 }}{{ $version = index . 2 }}{{ end -}}
{{ include "disco.selector" . }}
app.kubernetes.io/version: {{ $version | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: disco
{{- end }}

{{/* The tag of an image: the version of a part that the chart is not named after. */}}
{{- define "disco.tag" -}}
{{ regexFind "[^:@]+$" . | trunc 63 }}
{{- end }}

{{/* What a container that needs no rights gets. */}}
{{- define "disco.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
