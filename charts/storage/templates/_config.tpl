{{/* The provisioner mounts `setup` and `teardown` into a pod that it makes from `helperPod.yaml`. */}}
{{- define "storage.config" -}}
config.json: |
  {{- dict "nodePathMap" (list (dict "node" "DEFAULT_PATH_FOR_NON_LISTED_NODES" "paths" (list .Values.path))) | toPrettyJson | nindent 2 }}
setup: |
  #!/bin/sh
  # A pod of any user must be able to write to its volume, and no other user of the node may even
  # reach it: the volume is open, the folder above it is closed.
  set -eu
  chmod 0700 "${VOL_DIR%/*}"
  mkdir -m 0777 -p "$VOL_DIR"
teardown: |
  #!/bin/sh
  set -eu
  rm -rf "$VOL_DIR"
helperPod.yaml: |
  apiVersion: v1
  kind: Pod
  metadata:
    name: volume
    labels: {{- include "disco.labels" (list . "volume-helper" (include "disco.tag" .Values.images.helper)) | nindent 6 }}
  spec:
    priorityClassName: system-node-critical
    automountServiceAccountToken: false
    securityContext:
      seccompProfile:
        type: RuntimeDefault
    containers:
      - name: helper
        image: {{ .Values.images.helper | quote }}
        imagePullPolicy: {{ .Values.imagePullPolicy }}
        resources: {{- toYaml .Values.resources.helper | nindent 10 }}
        # root, because folders of other users are removed
        securityContext:
          runAsUser: 0
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
            add: [DAC_OVERRIDE, FOWNER]
{{- end }}
