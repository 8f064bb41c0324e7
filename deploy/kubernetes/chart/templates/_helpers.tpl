{{- define "laneway.labels" -}}
app.kubernetes.io/name: laneway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "laneway.meta" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "laneway.labels" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- /* What Pod Security `restricted` asks of a container, and a read-only root. */}}
{{- define "laneway.locked" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "laneway.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "laneway.pull" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Replicas on different nodes where that is possible. */}}
{{- define "laneway.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "laneway.labels" . | nindent 8 }}
{{- end }}

{{- define "laneway.xds" -}}
{{ .Release.Name }}.{{ .Release.Namespace }}.svc:{{ .Values.xds.port }}
{{- end }}

{{- define "laneway.dns" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{- define "laneway.apiServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- /* An exec probe of a port on loopback: word in the answer to a path. */}}
{{- define "laneway.probe" -}}
exec:
  command:
    - bash
    - -c
    - {{ printf "exec 3<>/dev/tcp/127.0.0.1/%v && printf 'GET %s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q %s <&3" .port .path .word | toJson }}
{{- end }}
