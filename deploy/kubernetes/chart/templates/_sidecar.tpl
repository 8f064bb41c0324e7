{{- /* What the injector adds to a pod; tests hold the two to each other. Given: root, application, tag, port, capture. */}}
{{- define "laneway.sidecar.volumes" -}}
- name: laneway-bootstrap
  emptyDir: {medium: Memory, sizeLimit: 4Mi}
{{- if ne .root.Values.xds.tls.mode "plaintext" }}
- name: laneway-certificates
  configMap: {name: {{ .root.Values.demo.caConfigMap }}}
{{- end }}
{{- end }}

{{- define "laneway.sidecar.locked" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsGroup: 1337
runAsNonRoot: true
runAsUser: 1337
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "laneway.sidecar.containers" -}}
{{- $values := .root.Values }}
- name: laneway-init
  image: {{ $values.images.init }}
  imagePullPolicy: {{ $values.images.pullPolicy }}
  env:
    - {name: POD_NAME, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}
    - {name: POD_NAMESPACE, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}}
    - {name: ADDRESS, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}}
    - {name: NODE_ID, value: $(POD_NAME).$(POD_NAMESPACE)}
    - {name: NAME, value: sidecar}
    - {name: XDS, value: {{ include "laneway.xds" .root | quote }}}
    - {name: APPLICATION, value: {{ .application }}}
    - {name: SERVICE, value: "{{ .application }}:{{ .port }}:{{ .port }}"}
    - {name: CAPTURE, value: {{ .capture }}}
    - {name: METRICS, value: "0.0.0.0:15090"}
    {{- with .tag }}
    - {name: TAG, value: {{ . }}}
    {{- end }}
    {{- if eq .capture "redirect" }}
    - {name: INBOUND_PORTS, value: {{ .port | quote }}}
    {{- else }}
    - {name: APP_ADDRESS, value: 127.0.0.1}
    {{- end }}
    {{- if ne $values.xds.tls.mode "plaintext" }}
    - {name: XDS_CA, value: /certs/ca.crt}
    {{- end }}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- if eq .capture "redirect" }}
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL], add: [NET_ADMIN]}
    readOnlyRootFilesystem: true
    runAsGroup: 0
    runAsNonRoot: false
    runAsUser: 0
    seccompProfile: {type: RuntimeDefault}
    {{- else }}
    {{- include "laneway.sidecar.locked" . | nindent 4 }}
    {{- end }}
  volumeMounts:
    - {name: laneway-bootstrap, mountPath: /bootstrap}
    {{- if ne $values.xds.tls.mode "plaintext" }}
    - {name: laneway-certificates, mountPath: /certs, readOnly: true}
    {{- end }}
- name: laneway-sidecar
  image: {{ $values.images.envoy }}
  imagePullPolicy: {{ $values.images.pullPolicy }}
  # A native sidecar: up before the application starts, and until the application has ended.
  restartPolicy: Always
  command: [envoy]
  args: [--config-path, /bootstrap/sidecar.yaml, --disable-hot-restart, --concurrency, "1", --log-level, warning]
  ports:
    - {name: laneway-metrics, containerPort: 15090, protocol: TCP}
  resources:
    {{- toYaml $values.injector.sidecarResources | nindent 4 }}
  securityContext:
    {{- include "laneway.sidecar.locked" . | nindent 4 }}
  startupProbe:
    {{- include "laneway.probe" (dict "port" 15000 "path" "/ready" "word" "LIVE") | nindent 4 }}
    periodSeconds: 1
    timeoutSeconds: 2
    failureThreshold: 60
  volumeMounts:
    - {name: laneway-bootstrap, mountPath: /bootstrap, readOnly: true}
    {{- if ne $values.xds.tls.mode "plaintext" }}
    - {name: laneway-certificates, mountPath: /certs, readOnly: true}
    {{- end }}
{{- end }}
