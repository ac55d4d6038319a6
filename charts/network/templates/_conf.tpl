{{/* flannel counts the packet of the interface, people that of the pod: vxlan's header is 50 bytes. */}}
{{- define "network.conf" -}}
{{- $backend := dict "Type" .Values.backend -}}
{{- if .Values.mtu -}}
{{- $_ := set $backend "MTU" (add .Values.mtu 50) -}}
{{- end -}}
{{- dict "Network" .Values.podSubnet "EnableNFTables" false "Backend" $backend | toPrettyJson -}}
{{- end }}
