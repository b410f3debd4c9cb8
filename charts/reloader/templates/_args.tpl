{{/*
The arguments: Stakater Reloader's in its chart's order, then those that only this program has. A JSON list.
*/}}
{{- define "reloader.args" -}}
{{- $r := .Values.reloader }}
{{- $args := list }}
{{- with $r.logFormat }}{{ $args = append $args (printf "--log-format=%s" .) }}{{ end }}
{{- with $r.logLevel }}{{ $args = append $args (printf "--log-level=%s" .) }}{{ end }}
{{- if $r.ignoreSecrets }}{{ $args = append $args "--resources-to-ignore=secrets" }}{{ end }}
{{- if $r.ignoreConfigMaps }}{{ $args = append $args "--resources-to-ignore=configmaps" }}{{ end }}
{{- $ignored := list }}
{{- if $r.ignoreJobs }}{{ $ignored = append $ignored "jobs" }}{{ end }}
{{- if $r.ignoreCronJobs }}{{ $ignored = append $ignored "cronjobs" }}{{ end }}
{{- with $ignored }}{{ $args = append $args (printf "--ignored-workload-types=%s" (join "," .)) }}{{ end }}
{{- if $r.watchGlobally }}
{{- with include "reloader.commaList" (default "" $r.ignoreNamespaces) }}{{ $args = append $args (printf "--namespaces-to-ignore=%s" .) }}{{ end }}
{{- with include "reloader.commaList" (default "" $r.namespaceSelector) }}{{ $args = append $args (printf "--namespace-selector=%s" .) }}{{ end }}
{{- else if $r.namespaces }}
{{- $args = append $args (printf "--namespaces=%s" (include "reloader.namespaces" .)) }}
{{- end }}
{{- with include "reloader.commaList" (default "" $r.resourceLabelSelector) }}{{ $args = append $args (printf "--resource-label-selector=%s" .) }}{{ end }}
{{- if $r.enableCSIIntegration }}{{ $args = append $args "--enable-csi-integration=true" }}{{ end }}
{{- range (.Files.Get "files/annotations.yaml" | fromYaml).renamed }}
{{- $flag := .flag }}
{{- with get (default dict $r.custom_annotations) .key }}{{ $args = concat $args (list (printf "--%s" $flag) (toString .)) }}{{ end }}
{{- end }}
{{- with $r.webhookUrl }}{{ $args = append $args (printf "--webhook-url=%s" .) }}{{ end }}
{{- if $r.isArgoRollouts }}{{ $args = append $args "--is-Argo-Rollouts=true" }}{{ end }}
{{- if $r.reloadOnCreate }}{{ $args = append $args "--reload-on-create=true" }}{{ end }}
{{- if $r.reloadOnDelete }}{{ $args = append $args "--reload-on-delete=true" }}{{ end }}
{{- if $r.syncAfterRestart }}{{ $args = append $args "--sync-after-restart=true" }}{{ end }}
{{- if ne (default "default" $r.reloadStrategy) "default" }}{{ $args = append $args (printf "--reload-strategy=%s" $r.reloadStrategy) }}{{ end }}
{{- if .Values.leaderElection.enabled }}{{ $args = append $args "--enable-ha=true" }}{{ end }}
{{- if $r.autoReloadAll }}{{ $args = append $args "--auto-reload-all=true" }}{{ end }}
{{- /* Where there is no such API, `false` says nothing: values written for Stakater Reloader's chart often have it. */}}
{{- $openshift := toString $r.isOpenshift }}
{{- if or (eq $openshift "true") (and (eq $openshift "false") (.Capabilities.APIVersions.Has "apps.openshift.io/v1")) }}{{ $args = append $args (printf "--is-openshift=%s" $openshift) }}{{ end }}
{{- range $r.workloadKinds }}{{ $args = append $args (printf "--workload-kind=%s" .) }}{{ end }}
{{- if $r.reloadSuspendedCronJobs }}{{ $args = append $args "--reload-suspended-cronjobs=true" }}{{ end }}
{{- if $r.reloadEveryJob }}{{ $args = append $args "--reload-every-job=true" }}{{ end }}
{{- if $r.changeCause }}{{ $args = append $args "--change-cause=true" }}{{ end }}
{{- if and $r.namespacePolicies $r.watchGlobally }}{{ $args = append $args "--namespace-policies=true" }}{{ end }}
{{- with $r.restartWindow }}{{ $args = append $args (printf "--restart-window=%s" (ternary . (toJson .) (kindIs "string" .))) }}{{ end }}
{{- with $r.timeZone }}{{ $args = append $args (printf "--time-zone=%s" .) }}{{ end }}
{{- with $r.webhookPayload }}{{ $args = append $args (printf "--webhook-payload=%s" .) }}{{ end }}
{{- if $r.alertOnFailure }}{{ $args = append $args "--alert-on-failure=true" }}{{ end }}
{{- $limits := default dict $r.rolloutLimits }}
{{- $own := list
  (list "coalesce-window" (include "reloader.duration" $r.coalesceWindow))
  (list "max-concurrent-rollouts" $limits.maxConcurrent)
  (list "max-concurrent-rollouts-per-namespace" $limits.perNamespace)
  (list "max-concurrent-rollouts-per-source" $limits.perSource)
  (list "canary" $limits.canary)
  (list "bake-time" (include "reloader.duration" $limits.bakeTime))
  (list "max-failures" $limits.maxFailures)
  (list "rollout-timeout" (include "reloader.duration" $limits.rolloutTimeout))
  (list "min-restart-interval" (include "reloader.duration" $limits.minRestartInterval))
  (list "lease-name" .Values.leaderElection.leaseName)
  (list "lease-duration" (include "reloader.duration" .Values.leaderElection.leaseDuration))
  (list "renew-deadline" (include "reloader.duration" .Values.leaderElection.renewDeadline))
  (list "retry-period" (include "reloader.duration" .Values.leaderElection.retryPeriod))
  (list "workers" $r.workers)
  (list "namespace-rate" $r.namespaceRate)
  (list "total-rate" $r.totalRate)
  (list "list-page-size" $r.listPageSize)
  (list "watch-timeout" (include "reloader.duration" $r.watchTimeout)) }}
{{- range $own }}
{{- $value := last . }}
{{- /* 0 is a setting, an empty text is none. Numbers arrive as floats. */}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
{{- $args = append $args (printf "--%s=%s" (first .) (ternary (toString $value) (toString (int64 (ternary 0 $value (kindIs "string" $value)))) (kindIs "string" $value))) }}
{{- end }}
{{- end }}
{{- if ne (int .Values.containerPort) 9090 }}{{ $args = append $args (printf "--listen-address=:%d" (int .Values.containerPort)) }}{{ end }}
{{- $inspect := toString (default "" .Values.inspectAddress) }}
{{- if ne $inspect "127.0.0.1:9092" }}{{ $args = append $args (printf "--inspect-address=%s" $inspect) }}{{ end }}
{{- range .Values.extraArgs }}{{ $args = append $args (tpl (toString .) $) }}{{ end }}
{{- toJson $args }}
{{- end }}

{{/* A duration, whose unit is the second where none is given. */}}
{{- define "reloader.duration" -}}
{{- if kindIs "string" . }}{{ . }}{{ if regexMatch "^[0-9]+$" . }}s{{ end }}
{{- else if not (kindIs "invalid" .) }}{{ int64 . }}s
{{- end }}
{{- end }}
