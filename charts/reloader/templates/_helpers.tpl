{{/* Names and labels. They are those of Stakater Reloader's chart, so that each can be upgraded to the other in place. */}}

{{/* Always `<release>-<name>`, also where the one holds the other. */}}
{{- define "reloader.fullname" -}}
{{- default (printf "%s-%s" .Release.Name (default .Chart.Name .Values.nameOverride)) .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "reloader.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "reloader.serviceAccountName" -}}
{{- default (ternary (include "reloader.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* What selectors hold. It is immutable in a Deployment: nothing may ever be added. */}}
{{- define "reloader.selectorLabels" -}}
app: {{ include "reloader.fullname" . }}
release: {{ .Release.Name | quote }}
{{- with .Values.reloader.matchLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "reloader.labels" -}}
{{ include "reloader.selectorLabels" . }}
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
heritage: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- with .Values.commonLabels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{/* Metadata of every object. Input: root, suffix of the name, namespace (empty: none), labels, annotations. */}}
{{- define "reloader.metadata" -}}
name: {{ include "reloader.fullname" .root }}{{ .suffix }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- $own := include "reloader.labels" .root | fromYaml }}
  {{- toYaml (mergeOverwrite $own (tpl (toYaml (default dict .labels)) .root | fromYaml)) | nindent 2 }}
annotations:
  {{- $own := dict "meta.helm.sh/release-name" .root.Release.Name "meta.helm.sh/release-namespace" .root.Release.Namespace }}
  {{- toYaml (mergeOverwrite $own (tpl (toYaml (mergeOverwrite (deepCopy .root.Values.commonAnnotations) (default dict .annotations))) .root | fromYaml)) | nindent 2 }}
{{- end }}

{{/*
`<registry>/<repository>:<tag>` or `@<digest>`. Values written for Stakater Reloader may still name its image. This
chart's arguments and probes are not that program's, so such a name, with its tag and digest, counts as not set, and so does
one of its tags beside this program's name. That chart has no `image.registry`: it always holds this program's image, and
so does a tag without a `v`.
*/}}
{{- define "reloader.image" -}}
{{- $image := .Values.image }}
{{- if eq (include "reloader.namesStakaterImage" .) "true" }}
{{- $image = dict "registry" $image.registry "repository" .Chart.Name "tag" (regexFind "^[0-9].*" (toString $image.tag)) }}
{{- else if and .Values.global.imageRegistry $image.name }}
{{- $image = mergeOverwrite (deepCopy $image) (dict "repository" $image.name) }}
{{- else if eq (include "reloader.namesStakatersTag" .) "own" }}
{{- $image = mergeOverwrite (deepCopy $image) (dict "tag" "") }}
{{- end }}
{{- $registry := default $image.registry .Values.global.imageRegistry }}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "reloader.namesStakaterImage" -}}
{{- $stakaters := "(^|/)stakater/reloader(-enterprise)?$" }}
{{- or (regexMatch $stakaters (default "" .Values.image.repository)) (and (regexMatch $stakaters (default "" .Values.image.name)) (eq .Values.image.repository .Chart.Name)) }}
{{- end }}

{{/* Where one of Stakater's tags is beside another name than its own: "own" (this program's) or "other". They begin with a `v`. */}}
{{- define "reloader.namesStakatersTag" -}}
{{- if and (eq (include "reloader.namesStakaterImage" .) "false") (not .Values.image.digest) (regexMatch "^v[012]\\." (toString .Values.image.tag)) }}
{{- $other := ne .Values.image.repository .Chart.Name }}
{{- if and .Values.global.imageRegistry .Values.image.name }}{{ $other = ne .Values.image.name .Chart.Name }}{{ end }}
{{- ternary "other" "own" $other }}
{{- end }}
{{- end }}

{{/* Texts or maps with `name`, as a list of such maps. */}}
{{- define "reloader.imagePullSecrets" -}}
{{- range concat (default list .Values.global.imagePullSecrets) (default list .Values.imagePullSecrets) }}
- name: {{ ternary (get (ternary . dict (kindIs "map" .)) "name") . (kindIs "map" .) | quote }}
{{- end }}
{{- end }}

{{/* A list or a text with commas, as a text with commas and without spaces around them. */}}
{{- define "reloader.commaList" -}}
{{- $items := list }}
{{- range (ternary . (splitList "," (toString .)) (kindIs "slice" .)) }}
{{- with trim (toString .) }}{{ $items = append $items . }}{{ end }}
{{- end }}
{{- join "," $items }}
{{- end }}

{{/* The namespaces watched without `watchGlobally`, the own one among them, with commas. */}}
{{- define "reloader.namespaces" -}}
{{- $items := list (include "reloader.namespace" .) }}
{{- range splitList "," (include "reloader.commaList" (default list .Values.reloader.namespaces)) }}
{{- with . }}{{ $items = append $items . }}{{ end }}
{{- end }}
{{- $items | uniq | sortAlpha | join "," }}
{{- end }}

{{/* What is enabled and left out because its API is missing: the value's name to the API. YAML. */}}
{{- define "reloader.skipped" -}}
{{- $api := "monitoring.coreos.com/v1" }}
{{- range list "serviceMonitor" "podMonitor" "prometheusRule" }}
{{- $settings := get $.Values . }}
{{- if and $settings.enabled (eq (include "reloader.renders" (dict "root" $ "api" $api "kind" . "settings" $settings)) "false") }}
{{ . }}: {{ $api }}
{{- end }}
{{- end }}
{{- end }}

{{/* "true" where an object of an API that may be missing is wanted. Input: root, api, kind, settings. */}}
{{- define "reloader.renders" -}}
{{- if .settings.enabled }}
{{- $mode := default "skipIfMissing" .settings.renderMode }}
{{- $present := .root.Capabilities.APIVersions.Has .api }}
{{- if and (eq $mode "failIfMissing") (not $present) }}
{{- fail (printf "%s is enabled, and this cluster has no API %s: install it, or set renderMode to skipIfMissing (or to alwaysRender where Helm cannot ask the cluster)" .kind .api) }}
{{- end }}
{{- or $present (eq $mode "alwaysRender") }}
{{- end }}
{{- end }}
