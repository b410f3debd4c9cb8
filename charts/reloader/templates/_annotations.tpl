{{/* Which annotations the program knows, as expressions in CEL; files/annotations.yaml lists them. */}}

{{/* A list of texts. */}}
{{- define "reloader.knownAnnotations" -}}
{{- $annotations := .Files.Get "files/annotations.yaml" | fromYaml }}
{{- $known := $annotations.fixed }}
{{- range $annotations.renamed }}
{{- $known = append $known (include "reloader.annotation" (dict "root" $ "of" .)) }}
{{- end }}
{{- toJson $known }}
{{- end }}

{{/* The name of one that a value may change. Input: root, of. */}}
{{- define "reloader.annotation" -}}
{{- get (default dict .root.Values.reloader.custom_annotations) .of.key | default .of.default }}
{{- end }}

{{/* What users write to what they mean; the default name to the one that a value gives. A map of texts. */}}
{{- define "reloader.meantAnnotations" -}}
{{- $annotations := .Files.Get "files/annotations.yaml" | fromYaml }}
{{- $names := dict }}
{{- $meant := dict }}
{{- range $annotations.renamed }}
{{- $name := include "reloader.annotation" (dict "root" $ "of" .) }}
{{- $_ := set $names .key $name }}
{{- $_ := set $meant .default $name }}
{{- end }}
{{- range $written, $keys := $annotations.meant }}
{{- $wanted := list }}
{{- range $keys }}{{ $wanted = append $wanted (get $names .) }}{{ end }}
{{- $_ := set $meant $written (join " or " $wanted) }}
{{- end }}
{{- toJson $meant }}
{{- end }}

{{/*
A list of the unknown ones that were not there before, each with what was meant. An annotation counts where its domain is
that of Reloader, in any case, or one like it: `reloader.stakater.io`, `reloder.stakter.com`. Input: paths.
*/}}
{{- define "reloader.unknownAnnotations" -}}
{{- $domain := "re[a-z]*l[a-z]*d[a-z]*[.]st[a-z]*k[a-z]*t[a-z]*([.][a-z]+)?/" -}}
[{{ include "reloader.annotationMaps" (dict "of" "object" "paths" .paths) }}].map(each, each.filter(key, key.matches("(?i)(^|[.]){{ $domain }}") && !(key in variables.known) && !variables.before.exists(keys, key in keys))).filter(keys, keys.size() > 0).map(keys, keys.map(key, [string(key), string(key).lowerAscii().replace(string(key).lowerAscii().find("{{ $domain }}"), "reloader.stakater.com/")]).map(pair, pair[1] in variables.meant ? pair[0] + " (did you mean " + variables.meant[pair[1]] + "?)" : pair[1] in variables.known ? pair[0] + " (did you mean " + pair[1] + "?)" : pair[0]).join(", "))
{{- end }}

{{/* The annotations of an object at paths, an empty one being its own, as expressions with commas. Input: of, paths. */}}
{{- define "reloader.annotationMaps" -}}
{{- $maps := list }}
{{- $of := .of }}
{{- range .paths }}
{{- $steps := "" }}
{{- range splitList "." . }}{{ with . }}{{ $steps = printf "%s[?%s]" $steps (toJson .) }}{{ end }}{{ end }}
{{- $maps = append $maps (printf "dyn(%s)%s[?\"metadata\"][?\"annotations\"].orValue({})" $of $steps) }}
{{- end }}
{{- join ", " $maps }}
{{- end }}

{{/* What may be annotated: resource rules of a policy. */}}
{{- define "reloader.annotated" -}}
{{- $rules := list
  (list "" "v1" "configmaps" (not .Values.reloader.ignoreConfigMaps))
  (list "" "v1" "secrets" (not .Values.reloader.ignoreSecrets))
  (list "apps" "v1" "deployments" true)
  (list "apps" "v1" "daemonsets" true)
  (list "apps" "v1" "statefulsets" true)
  (list "batch" "v1" "cronjobs" (not .Values.reloader.ignoreCronJobs))
  (list "batch" "v1" "jobs" (not .Values.reloader.ignoreJobs))
  (list "argoproj.io" "v1alpha1" "rollouts" .Values.reloader.isArgoRollouts)
  (list "apps.openshift.io" "v1" "deploymentconfigs" (eq (include "reloader.onOpenshift" .) "true"))
  (list "secrets-store.csi.x-k8s.io" "*" "secretproviderclasses" .Values.reloader.enableCSIIntegration) }}
{{- range .Values.reloader.workloadKinds }}
{{- $parts := splitList "/" . }}
{{- $rules = append $rules (list (index $parts 0) (index $parts 1) (include "reloader.plural" .) true) }}
{{- end }}
{{- range $rules }}
{{- if index . 3 }}
- apiGroups: [{{ index . 0 | quote }}]
  apiVersions: [{{ index . 1 | quote }}]
  resources: [{{ index . 2 | trim | quote }}]
  operations: [CREATE, UPDATE]
{{- end }}
{{- end }}
{{- end }}
