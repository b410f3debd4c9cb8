{{- define "former.name" -}}
{{ .Release.Name }}-reloader
{{- end }}

{{- define "former.selector" -}}
app: {{ include "former.name" . }}
release: {{ .Release.Name | quote }}
{{- end }}

{{- define "former.labels" -}}
{{ include "former.selector" . }}
chart: "reloader-{{ .Chart.Version }}"
heritage: {{ .Release.Service | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: "reloader-{{ .Chart.Version }}"
app.kubernetes.io/name: reloader
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "former.metadata" -}}
name: {{ include "former.name" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
annotations:
  meta.helm.sh/release-name: {{ .root.Release.Name | quote }}
  meta.helm.sh/release-namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "former.labels" .root | nindent 2 }}
{{- end }}
