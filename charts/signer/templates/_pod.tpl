{{- define "signer.scripts" -}}
gate.sh: |
  {{- .Files.Get "files/gate.sh" | nindent 2 }}
sign.sh: |
  {{- .Files.Get "files/sign.sh" | nindent 2 }}
{{- range $number, $validator := .Values.validators }}
{{ $validator }}.toml: |
  [[chain]]
  id = {{ $.Values.chainId | quote }}
  key_format = { type = "hex" }
  state_file = "/state/state.json"

  [[providers.softsign]]
  chain_ids = [{{ $.Values.chainId | quote }}]
  key_type = "consensus"
  key_format = "json"
  path = "/key/priv_validator_key.json"

  [[validator]]
  chain_id = {{ $.Values.chainId | quote }}
  # no peer id: the validator makes another one each time it listens
  addr = "tcp://{{ $validator }}.{{ $.Values.service }}:{{ $.Values.port }}"
  secret_key = "/tmp/connection"
  protocol_version = "v0.34"
  reconnect = true
{{- end }}
{{- end }}

{{/* Labels of the pods of one signer: (list . 0) */}}
{{- define "signer.selector" -}}
{{ include "disco.selector" (list (index . 0) (printf "%s-signer" (index . 0).Values.name)) }}
app.kubernetes.io/component: signer-{{ index . 1 }}
{{- end }}

{{- define "signer.common" -}}
{{ include "disco.labels" (list . (printf "%s-signer" .Values.name) (include "disco.tag" .Values.image)) }}
{{- end }}

{{- define "signer.labels" -}}
{{ include "signer.common" (index . 0) }}
app.kubernetes.io/component: signer-{{ index . 1 }}
{{- end }}

{{/*
A StatefulSet for one key: (list . 0 "validator-0"). Never a Deployment, and never more than one pod: only a
StatefulSet waits for the old pod to be gone before it makes the new one.
*/}}
{{- define "signer.statefulset" -}}
{{- $root := index . 0 -}}
{{- $number := index . 1 -}}
{{- $validator := index . 2 -}}
{{- $v := $root.Values -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: signer-{{ $number }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "signer.labels" (list $root $number) | nindent 4 }}
spec:
  serviceName: signer
  replicas: 1
  updateStrategy:
    type: RollingUpdate
  # what the key has signed is on its volume: it outlives the release
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Retain
    whenScaled: Retain
  selector:
    matchLabels: {{- include "signer.selector" (list $root $number) | nindent 6 }}
  template:
    metadata:
      labels: {{- include "signer.labels" (list $root $number) | nindent 8 }}
      annotations:
        checksum/scripts: {{ include "signer.scripts" $root | sha256sum }}
        {{- with $v.keysVersion }}
        checksum/keys: {{ . | sha256sum }}
        {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $v.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      # it ends between two blocks, see sign.sh
      terminationGracePeriodSeconds: 10
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        runAsGroup: 1000
        fsGroup: 1000
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      initContainers:
        - name: gate
          image: {{ $v.image | quote }}
          imagePullPolicy: {{ $v.imagePullPolicy }}
          command: [sh, /scripts/gate.sh]
          env:
            - name: POD
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: SIGNER
              value: signer-{{ $number }}
            - name: CHAIN_ID
              value: {{ $v.chainId | quote }}
            - name: LEASE
              value: /leases/{{ $validator }}
            {{- if $v.leaving }}
            - name: LEAVING
              value: "true"
            {{- else }}
            - name: KEY
              value: /key/priv_validator_key.json
            {{- end }}
            - name: STATE
              value: /state
            - name: RESULT
              value: /dev/termination-log
            - name: BEGUN
              valueFrom:
                configMapKeyRef:
                  name: {{ $v.begunConfigMap | quote }}
                  key: {{ $validator }}
                  optional: true
          resources: {{- toYaml $v.resources | nindent 12 }}
          securityContext: {{- include "disco.restricted" $root | nindent 12 }}
          volumeMounts:
            - name: state
              mountPath: /state
            {{- if not $v.leaving }}
            - name: key
              mountPath: /key
              readOnly: true
            {{- end }}
            - name: leases
              mountPath: /leases
              readOnly: true
            - name: scripts
              mountPath: /scripts
              readOnly: true
      containers:
        - name: tmkms
          image: {{ $v.image | quote }}
          imagePullPolicy: {{ $v.imagePullPolicy }}
          {{- if $v.leaving }}
          # what there was to do is done: ready, so that it is replaced when the key stays
          command: [sh, -c, "trap exit TERM; sleep 2000000000 & wait"]
          {{- else }}
          command: [sh, /scripts/sign.sh]
          {{- end }}
          env:
            - name: HOME
              value: /tmp
            - name: STATE
              value: /state
            - name: CONFIG
              value: /scripts/{{ $validator }}.toml
            - name: CONNECTION
              value: /tmp/connection
            {{- if not $v.leaving }}
            # not there before signing may begin: until then the container is not made
            - name: BEGUN
              valueFrom:
                configMapKeyRef:
                  name: {{ $v.begunConfigMap | quote }}
                  key: {{ $validator }}
            {{- end }}
          resources: {{- toYaml $v.resources | nindent 12 }}
          securityContext: {{- include "disco.restricted" $root | nindent 12 }}
          volumeMounts:
            - name: state
              mountPath: /state
            {{- if not $v.leaving }}
            - name: key
              mountPath: /key
              readOnly: true
            {{- end }}
            - name: scripts
              mountPath: /scripts
              readOnly: true
            - name: tmp
              mountPath: /tmp
      volumes:
        {{- if not $v.leaving }}
        - name: key
          secret:
            secretName: "{{ $v.secretPrefix }}-{{ $number }}"
            defaultMode: 0400
        {{- end }}
        - name: leases
          configMap:
            name: {{ $v.leasesConfigMap | quote }}
        - name: scripts
          configMap:
            name: signer-scripts
        - name: tmp
          emptyDir: {}
  volumeClaimTemplates:
    - metadata:
        name: state
        # a claim can't be changed later: no label that differs between versions
        labels: {{- include "signer.selector" (list $root $number) | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $v.storage.class }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources:
          requests:
            storage: {{ $v.storage.size }}
{{- end }}
