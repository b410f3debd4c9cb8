{{/*
What the values mean: Stakater Reloader's names are moved to the chart's own, so that templates read one place only.
Every template begins with `reloader.init`; running it again changes nothing.
*/}}

{{/* Old path to new path. A value that is set at the old one wins; empty ones do not count, `false` and 0 do. */}}
{{- define "reloader.moves" -}}
namespace: namespaceOverride
reloader.leaderElection.leaseDuration: leaderElection.leaseDuration
reloader.leaderElection.renewDeadline: leaderElection.renewDeadline
reloader.leaderElection.retryPeriod: leaderElection.retryPeriod
reloader.image.pullPolicy: image.pullPolicy
reloader.labels: podLabels
reloader.deployment.image.pullPolicy: image.pullPolicy
reloader.deployment.imagePullSecrets: imagePullSecrets
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
{{- /* There, a PodMonitor is rendered whether or not its API is known. */}}
{{- with .Values.reloader.podMonitor }}
{{- if and .enabled (not .renderMode) (eq (default "skipIfMissing" $.Values.podMonitor.renderMode) "skipIfMissing") }}
{{- $_ := set $.Values.podMonitor "renderMode" "alwaysRender" }}
{{- end }}
{{- end }}
{{- if eq (toString .Values.reloader.readOnlyRootFileSystem) "true" }}
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
own: then every default is filled in, and `isOpenshift: false`, which that chart has by default, counts as `auto`.
Otherwise a key is missing because it was set to null, and what this chart cannot do without gets its default again.
*/}}
{{- define "reloader.defaults" -}}
{{- $own := 0 }}
{{- range list "leaderElection" "rbac" "serviceAccount" "commonLabels" "flowSchema" "grafanaDashboard" }}
{{- if hasKey $.Values . }}{{ $own = add1 $own }}{{ end }}
{{- end }}
{{- $former := lt (int $own) 3 }}
{{- include "reloader.tidy" (dict "keys" (.Files.Get "files/keys.yaml" | fromYaml) "onto" .Values) }}
{{- if and $former (eq (toString .Values.reloader.isOpenshift) "false") }}
{{- $_ := set .Values.reloader "isOpenshift" "auto" }}
{{- end }}
{{- include "reloader.fill" (dict "defaults" (.Files.Get "files/defaults.yaml" | fromYaml) "onto" .Values "all" $former) }}
{{- end }}

{{- define "reloader.fill" -}}
{{- $onto := .onto }}
{{- $all := .all }}
{{- range $key, $default := .defaults }}
{{- $value := get $onto $key }}
{{- $passedOn := and (not $all) (has $key (include "reloader.passedOn" . | fromJsonArray)) }}
{{- if $passedOn }}
{{- if not (hasKey $onto $key) }}{{ $_ := set $onto $key dict }}{{ end }}
{{- else if and (kindIs "map" $default) (kindIs "map" $value) }}
{{- include "reloader.fill" (dict "defaults" $default "onto" $value "all" (or $all (empty $value))) }}
{{- else if or (not (hasKey $onto $key)) (kindIs "invalid" $value) }}
{{- $needed := not (or (kindIs "slice" $default) (empty (toString $default)) (has $key (list "maxUnavailable" "unhealthyPodEvictionPolicy"))) }}
{{- if or $needed (and $all (not (hasKey $onto $key))) }}
{{- $_ := set $onto $key $default }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
