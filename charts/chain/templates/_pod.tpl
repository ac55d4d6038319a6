{{/* Settings of one role: from values, then .Values.config over them: (list . "validator") */}}
{{- define "chain.environment" -}}
{{- $v := (index . 0).Values -}}
{{- $env := dict
  "P2P_LADDR" (printf "tcp://0.0.0.0:%v" $v.ports.p2p)
  "P2P_PERSISTENT_PEERS" $v.peers
  "P2P_ADDR_BOOK_STRICT" "false"
  "P2P_ALLOW_DUPLICATE_IP" "true"
  "RPC_LADDR" (printf "tcp://0.0.0.0:%v" $v.ports.rpc)
  "INSTRUMENTATION_PROMETHEUS" "true"
  "INSTRUMENTATION_PROMETHEUS_LISTEN_ADDR" (printf ":%v" $v.metricsPort)
-}}
{{- with $v.minGasPrice }}{{ $_ := set $env "MINIMUM_GAS_PRICES" . }}{{ end -}}
{{- with $v.ports.api }}
{{- $_ := set $env "API_ENABLE" "true" }}
{{- $_ := set $env "API_ADDRESS" (printf "tcp://0.0.0.0:%v" .) }}
{{- end -}}
{{- with $v.ports.grpc }}
{{- $_ := set $env "GRPC_ENABLE" "true" }}
{{- $_ := set $env "GRPC_ADDRESS" (printf "0.0.0.0:%v" .) }}
{{- end -}}
{{- $env = mergeOverwrite $env (deepCopy $v.config) -}}
{{/* a full node would wait for a signer that never comes */}}
{{- if ne (index . 1) "validator" }}{{ $env = omit $env "PRIV_VALIDATOR_LADDR" }}{{ end -}}
{{- range $suffix, $value := $env }}
- name: {{ $v.envPrefix }}_{{ $suffix }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Ports of a node, by name: those of its container and of its services. */}}
{{- define "chain.ports" -}}
{{- range $name := list "p2p" "rpc" "api" "grpc" }}
{{- with index $.Values.ports $name }}
{{ $name }}: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chain.scripts" -}}
home.sh: |
  {{- .Files.Get "files/home.sh" | nindent 2 }}
ready.sh: |
  {{- .Files.Get "files/ready.sh" | nindent 2 }}
{{- end }}

{{/* Labels of the pods of one role: (list . "validator") */}}
{{- define "chain.selector" -}}
{{ include "disco.selector" (list (index . 0) (index . 0).Values.name) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "chain.labels" -}}
{{ include "chain.common" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of what belongs to no role. The version is that of the chain's program: its image's tag. */}}
{{- define "chain.common" -}}
{{ include "disco.labels" (list . .Values.name (include "disco.tag" .Values.image)) }}
{{- end }}

{{/*
A StatefulSet of one role: (list . "validator" 4). Never a Deployment: only a StatefulSet waits for the
old pod to be gone before it makes the new one, and two pods with one key sign twice.
*/}}
{{- define "chain.statefulset" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $v := $root.Values -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $role }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "chain.labels" (list $root $role) | nindent 4 }}
spec:
  serviceName: {{ $role }}
  replicas: {{ index . 2 }}
  # a first pod alone makes no block, so it would never be ready
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
  {{- if $v.persistent }}
  # what a validator has signed is on its volume: it outlives the release
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Retain
    whenScaled: Retain
  {{- end }}
  selector:
    matchLabels: {{- include "chain.selector" (list $root $role) | nindent 6 }}
  template:
    metadata:
      labels: {{- include "chain.labels" (list $root $role) | nindent 8 }}
      annotations:
        checksum/scripts: {{ include "chain.scripts" $root | sha256sum }}
        {{- with $v.keysVersion }}
        # other keys are read by a node that starts
        checksum/keys: {{ . | sha256sum }}
        {{- end }}
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ $v.metricsPort | quote }}
    spec:
      {{- with $v.serviceAccountName }}
      serviceAccountName: {{ . | quote }}
      {{- end }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $v.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      terminationGracePeriodSeconds: 20
      topologySpreadConstraints:
        - maxSkew: {{ $v.spread.maxSkew }}
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: {{ $v.spread.whenUnsatisfiable }}
          labelSelector:
            matchLabels: {{- include "chain.selector" (list $root $role) | nindent 14 }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        runAsGroup: 1000
        # files of the Secret belong to root: this group may read them, others not
        fsGroup: 1000
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      initContainers:
        {{- with $v.extraInitContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        - name: home
          image: {{ $v.image | quote }}
          imagePullPolicy: {{ $v.imagePullPolicy }}
          command: [sh, /scripts/home.sh]
          args: {{- toYaml $v.initArgs | nindent 12 }}
          env:
            - name: POD
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: ROLE
              value: {{ $role }}
            - name: BINARY
              value: {{ $v.binary | quote }}
            - name: CHAIN_ID
              value: {{ $v.chainId | quote }}
            - name: CHAIN_HOME
              value: /home/chain
            - name: GENESIS
              value: /genesis/genesis.json
            - name: KEYS
              value: /keys
            - name: REMOTE_SIGNER
              value: {{ hasKey $v.config "PRIV_VALIDATOR_LADDR" | quote }}
            - name: LEASE
              value: /leases/$(POD)
            - name: RESULT
              value: /dev/termination-log
            - name: PEERS
              value: {{ $v.peers | quote }}
            - name: HOME
              value: /tmp
          resources: {{- toYaml $v.resources | nindent 12 }}
          securityContext: {{- include "disco.restricted" $root | nindent 12 }}
          volumeMounts:
            - name: home
              mountPath: /home/chain
            - name: genesis
              mountPath: /genesis
              readOnly: true
            # all keys, but only here: the node itself sees its own alone
            - name: keys
              mountPath: /keys
              readOnly: true
            - name: leases
              mountPath: /leases
              readOnly: true
            - name: scripts
              mountPath: /scripts
              readOnly: true
            - name: tmp
              mountPath: /tmp
      containers:
        - name: node
          image: {{ $v.image | quote }}
          imagePullPolicy: {{ $v.imagePullPolicy }}
          command: [{{ $v.binary | quote }}]
          args:
            {{- toYaml $v.startArgs | nindent 12 }}
            - --home=/home/chain
          env:
            - name: HOME
              value: /tmp
            - name: STATUS_URL
              value: http://127.0.0.1:{{ $v.ports.rpc }}/status
            - name: SEEN
              value: /seen/height
            - name: STALL_SECONDS
              value: {{ $v.readiness.stallSeconds | quote }}
            {{- include "chain.environment" (list $root $role) | nindent 12 }}
          ports:
            {{- range $name, $port := include "chain.ports" $root | fromYaml }}
            - name: {{ $name }}
              containerPort: {{ $port }}
            {{- end }}
            - name: metrics
              containerPort: {{ $v.metricsPort }}
          # RPC opens when the blocks on the volume have been replayed
          startupProbe:
            httpGet:
              path: /health
              port: rpc
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: {{ div $v.startupSeconds 2 }}
          readinessProbe:
            exec:
              command: [sh, /scripts/ready.sh]
            periodSeconds: {{ $v.readiness.periodSeconds }}
            timeoutSeconds: 6
            failureThreshold: 2
          # Alive is less than ready: a restart does not help a chain that stands still.
          livenessProbe:
            httpGet:
              path: /health
              port: rpc
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 12
          resources: {{- toYaml $v.resources | nindent 12 }}
          securityContext: {{- include "disco.restricted" $root | nindent 12 }}
          volumeMounts:
            - name: home
              mountPath: /home/chain
            - name: scripts
              mountPath: /scripts
              readOnly: true
            - name: seen
              mountPath: /seen
            - name: tmp
              mountPath: /tmp
            {{- with $v.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: genesis
          configMap:
            name: {{ $v.genesisConfigMap | quote }}
        - name: keys
          secret:
            secretName: {{ $v.keysSecret | quote }}
            defaultMode: 0400
        # who may sign, where, and from which height on
        - name: leases
          configMap:
            name: {{ $v.leasesConfigMap | quote }}
            optional: true
        - name: scripts
          configMap:
            name: scripts
        - name: seen
          emptyDir: {}
        - name: tmp
          emptyDir: {}
        {{- with $v.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- if not $v.persistent }}
        - name: home
          emptyDir: {}
        {{- end }}
  {{- if $v.persistent }}
  volumeClaimTemplates:
    - metadata:
        name: home
        # a claim can't be changed later: no label that differs between versions
        labels: {{- include "chain.selector" (list $root $role) | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $v.storage.class }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources:
          requests:
            storage: {{ $v.storage.size }}
  {{- end }}
{{- end }}

{{/* Pods of one role by name, before they are ready too: else no peer finds another. */}}
{{- define "chain.headless" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $role }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "chain.labels" (list $root $role) | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "chain.selector" (list $root $role) | nindent 4 }}
  ports:
    {{- range $name, $port := include "chain.ports" $root | fromYaml }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
    {{- end }}
{{- end }}

{{/*
One pod for its peers: (list . "validator-0"). A node resolves its peers once, when it starts: an address
that stays when the pod moves is what it finds again.
*/}}
{{- define "chain.peer" -}}
{{- $root := index . 0 -}}
{{- $pod := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $pod }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "chain.labels" (list $root "validator") | nindent 4 }}
spec:
  publishNotReadyAddresses: true
  selector:
    statefulset.kubernetes.io/pod-name: {{ $pod }}
  ports:
    - name: p2p
      port: {{ $root.Values.ports.p2p }}
      targetPort: p2p
{{- end }}

{{- define "chain.budget" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $role }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "chain.labels" (list $root $role) | nindent 4 }}
spec:
  maxUnavailable: 1
  # on a chain that stands still nothing is ready, yet nodes must be drained
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "chain.selector" (list $root $role) | nindent 6 }}
{{- end }}
