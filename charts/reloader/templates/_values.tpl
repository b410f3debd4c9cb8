{{/*
What the values mean: Stakater Reloader's names are moved to the chart's own, so that templates read one place only.
Every template begins with `reloader.init`; running it again changes nothing.
*/}}

{{/* Old path to new path. A value that is set at the old one wins; empty ones do not count, `false` and 0 do. */}}
{{- define "reloader.moves" -}}
namespace: namespaceOverride
reloader.rbac.enabled: rbac.create
reloader.rbac.labels: rbac.labels
reloader.serviceAccount.create: serviceAccount.create
reloader.serviceAccount.name: serviceAccount.name
reloader.serviceAccount.labels: serviceAccount.labels
reloader.serviceAccount.annotations: serviceAccount.annotations
reloader.serviceAccount.automountServiceAccountToken: serviceAccount.automount
reloader.deployment.replicas: replicaCount
reloader.deployment.revisionHistoryLimit: revisionHistoryLimit
reloader.deployment.hostUsers: hostUsers
reloader.deployment.dnsConfig: dnsConfig
reloader.deployment.nodeSelector: nodeSelector
reloader.deployment.affinity: affinity
reloader.deployment.tolerations: tolerations
reloader.deployment.topologySpreadConstraints: topologySpreadConstraints
reloader.deployment.annotations: deploymentAnnotations
reloader.deployment.labels: podLabels
reloader.deployment.pod.annotations: podAnnotations
reloader.deployment.securityContext: podSecurityContext
reloader.deployment.containerSecurityContext: securityContext
reloader.deployment.livenessProbe: livenessProbe
reloader.deployment.readinessProbe: readinessProbe
reloader.deployment.resources: resources
reloader.deployment.priorityClassName: priorityClassName
reloader.deployment.runtimeClassName: runtimeClassName
reloader.deployment.schedulerName: schedulerName
reloader.deployment.automountServiceAccountToken: automountServiceAccountToken
reloader.deployment.volumes: extraVolumes
reloader.deployment.volumeMounts: extraVolumeMounts
reloader.service: service
reloader.serviceMonitor: serviceMonitor
reloader.podMonitor: podMonitor
reloader.podDisruptionBudget: podDisruptionBudget
reloader.netpol: networkPolicy
{{- end }}

{{- define "reloader.init" -}}
{{- include "reloader.defaults" . -}}
{{- range $old, $new := include "reloader.moves" . | fromYaml }}
{{- $steps := splitList "." $old }}
{{- $from := $.Values }}
{{- range initial $steps }}
{{- $from = get $from . | default dict }}
{{- end }}
{{- $steps = splitList "." $new }}
{{- $onto := $.Values }}
{{- range initial $steps }}
{{- $onto = get $onto . }}
{{- end }}
{{- if hasKey $from (last (splitList "." $old)) }}
{{- $value := get $from (last (splitList "." $old)) }}
{{- include "reloader.overlay" (dict "over" (dict (last $steps) $value) "onto" $onto) }}
{{- end }}
{{- end }}
{{- /* In Stakater Reloader's chart a Service is asked for by saying anything about it. */}}
{{- with .Values.reloader.service }}
{{- $_ := set $.Values.service "enabled" true }}
{{- end }}
{{- /* There, the chart's maxUnavailable would win over a minAvailable set by the user. */}}
{{- with .Values.reloader.podDisruptionBudget }}
{{- if and .minAvailable (not .maxUnavailable) }}
{{- $_ := set $.Values.podDisruptionBudget "maxUnavailable" nil }}
{{- end }}
{{- end }}
{{- if eq (toString (dig "readOnlyRootFileSystem" false .Values.reloader)) "true" }}
{{- $_ := set .Values.securityContext "readOnlyRootFilesystem" true }}
{{- end }}
{{- end }}

{{/* Writes what is set in `over` onto `onto`; maps are gone through. */}}
{{- define "reloader.overlay" -}}
{{- $onto := .onto }}
{{- range $key, $value := .over }}
{{- if kindIs "map" $value }}
{{- if $value }}
{{- if not (kindIs "map" (get $onto $key)) }}
{{- $_ := set $onto $key dict }}
{{- end }}
{{- include "reloader.overlay" (dict "over" $value "onto" (get $onto $key)) }}
{{- end }}
{{- else if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq $value "")) (and (kindIs "slice" $value) (empty $value))) }}
{{- $_ := set $onto $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{/*
`helm upgrade --reuse-values` from Stakater Reloader's chart renders this one with that chart's values and none of its
own. Their absence shows in a key that only this chart has; a single one that is missing was taken away on purpose.
*/}}
{{- define "reloader.defaults" -}}
{{- if not (hasKey .Values "leaderElection") }}
{{- include "reloader.fill" (dict "defaults" (.Files.Get "files/defaults.yaml" | fromYaml) "onto" .Values) }}
{{- end }}
{{- end }}

{{- define "reloader.fill" -}}
{{- $onto := .onto }}
{{- range $key, $default := .defaults }}
{{- if not (hasKey $onto $key) }}
{{- $_ := set $onto $key $default }}
{{- else if and (kindIs "map" $default) (kindIs "map" (get $onto $key)) }}
{{- include "reloader.fill" (dict "defaults" $default "onto" (get $onto $key)) }}
{{- end }}
{{- end }}
{{- end }}
