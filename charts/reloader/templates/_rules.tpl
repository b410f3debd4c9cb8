{{/* What is needed in every watched namespace. No rule can read a pod or write a Secret. */}}
{{- define "reloader.rules" -}}
{{- $r := .Values.reloader }}
{{- $sources := list }}
{{- if not $r.ignoreConfigMaps }}{{ $sources = append $sources "configmaps" }}{{ end }}
{{- if not $r.ignoreSecrets }}{{ $sources = append $sources "secrets" }}{{ end }}
# Sources: listed once, then watched. Only digests are kept.
- apiGroups: [""]
  resources: [{{ join ", " $sources }}]
  verbs: [list, watch]
{{- if not $r.webhookUrl }}
# Workloads: watched, so that a change needs no list; patched, to restart them; read when another client wrote to one at
# the same moment.
- apiGroups: [apps]
  resources: [deployments, daemonsets, statefulsets]
  verbs: [get, list, watch, patch]
{{- if not $r.ignoreCronJobs }}
# CronJobs: read in full when a Job is created from one; never changed.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch]
{{- end }}
{{- if not (and $r.ignoreJobs $r.ignoreCronJobs) }}
{{- if $r.ignoreJobs }}
# Jobs: created for CronJobs.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create]
{{- else }}
# Jobs: created {{ if not $r.ignoreCronJobs }}for CronJobs; {{ end }}deleted and created again, since a Job cannot be changed.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
{{- end }}
{{- end }}
{{- if $r.isArgoRollouts }}
# Argo Rollouts.
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, watch, patch]
{{- end }}
{{- if eq (include "reloader.onOpenshift" .) "true" }}
# OpenShift's DeploymentConfigs.
- apiGroups: [apps.openshift.io]
  resources: [deploymentconfigs]
  verbs: [get, list, watch, patch]
{{- end }}
{{- range $r.workloadKinds }}
# {{ . }}
- apiGroups: [{{ first (splitList "/" .) }}]
  resources: [{{ include "reloader.plural" . }}]
  verbs: [get, list, watch, patch]
{{- end }}
# Events on the workload, for `kubectl describe`. A repeated Event increments the count of the first one.
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- if $r.enableCSIIntegration }}
# What each pod mounts: names and versions of objects, never their values. Of classes, the annotations are read.
- apiGroups: [secrets-store.csi.x-k8s.io]
  resources: [secretproviderclasspodstatuses, secretproviderclasses]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* "true" where DeploymentConfigs are restarted: as the value says, or where the cluster has them. */}}
{{- define "reloader.onOpenshift" -}}
{{- $value := .Values.reloader.isOpenshift | toString }}
{{- if has $value (list "true" "false") }}{{ $value }}{{ else }}{{ .Capabilities.APIVersions.Has "apps.openshift.io/v1" }}{{ end }}
{{- end }}

{{/* The resource of `GROUP/VERSION/KIND[/PLURAL][:PATH]`; without PLURAL by the rules of English, as the program does. */}}
{{- define "reloader.plural" -}}
{{- $parts := splitList "/" (first (splitList ":" .)) }}
{{- $kind := lower (index $parts 2) }}
{{- if eq (len $parts) 4 }}{{ last $parts }}
{{- else if regexMatch "[^aeiou]y$" $kind }}{{ trimSuffix "y" $kind }}ies
{{- else if regexMatch "(s|x|z|ch|sh)$" $kind }}{{ $kind }}es
{{- else }}{{ $kind }}s
{{- end }}
{{- end }}
