{{/*
Which keys there are. files/keys.yaml has them as a tree, made from the schema: a leaf is `any`, or `map` where the keys
below it are the user's. The schema checks types only, so that an unknown key gets a message that names the right place.
*/}}

{{/* Keys that real values files have, and where they belong. A row without a dot counts at every level. */}}
{{- define "reloader.misplaced" -}}
args: extraArgs
auto-annotation: reloader.custom_annotations
auto-search-annotation: reloader.custom_annotations
configmap-annotation: reloader.custom_annotations
containerSecurityContext: reloader.deployment.containerSecurityContext, securityContext
customAnnotations: reloader.custom_annotations
deployment: reloader.deployment
enable-ha: leaderElection.enabled
env: reloader.deployment.env, extraEnv
existingSecret: reloader.deployment.env.existing
ha: leaderElection.enabled
ignored-workload-types: reloader.ignoreJobs, reloader.ignoreCronJobs
imagePullSecret: imagePullSecrets
image.imagePullPolicy: image.pullPolicy
labels: podLabels, commonLabels
livenessProbe: reloader.deployment.livenessProbe, livenessProbe
logFormat: reloader.logFormat
logLevel: reloader.logLevel
namespaces-to-ignore: reloader.ignoreNamespaces
pod: reloader.deployment.pod
podSecurityContext: podSecurityContext, reloader.deployment.securityContext
readOnlyRootFilesystem: reloader.readOnlyRootFileSystem, securityContext
readinessProbe: reloader.deployment.readinessProbe, readinessProbe
reloader.annotations: podAnnotations, deploymentAnnotations
reloader.labels: podLabels, commonLabels
reloader.reloader: reloader
reloadStrategy: reloader.reloadStrategy
resources: reloader.deployment.resources, resources
resources-to-ignore: reloader.ignoreSecrets, reloader.ignoreConfigMaps
search-match-annotation: reloader.custom_annotations
secret-annotation: reloader.custom_annotations
securityContext: reloader.deployment.securityContext, podSecurityContext, securityContext
service.ports: service.port
reloader.service.ports: reloader.service.port
strategy: strategy
updateStrategy: strategy
volumeMounts: reloader.deployment.volumeMounts, extraVolumeMounts
volumes: reloader.deployment.volumes, extraVolumes
{{- end }}

{{/* Fails where there are keys that this chart does not have: a misspelt one could open or close a whole cluster. */}}
{{- define "reloader.refuseUnknownKeys" -}}
{{- $keys := .Files.Get "files/keys.yaml" | fromYaml }}
{{- $unknown := list }}
{{- range splitList "\n" (include "reloader.unknown" (dict "keys" $keys "values" .Values "path" "")) }}
{{- with trim . }}{{ $unknown = append $unknown . }}{{ end }}
{{- end }}
{{- /* What was moved is named where the user wrote it. */}}
{{- range $old, $new := include "reloader.moves" . | fromYaml }}
{{- range $unknown }}
{{- if hasPrefix (printf "%s." $old) . }}{{ $unknown = without $unknown (printf "%s%s" $new (trimPrefix $old .)) }}{{ end }}
{{- end }}
{{- end }}
{{- /* Stakater Reloader's first charts had labels beside the image; alone they have never had an effect. */}}
{{- if and .Values.reloader.labels (not .Values.reloader.image) }}
{{- $unknown = append $unknown "reloader.labels" }}
{{- end }}
{{- with $unknown }}
{{- $paths := splitList "\n" (include "reloader.paths" (dict "keys" $keys "path" "") | trim) }}
{{- $lines := list }}
{{- range $path := . }}
{{- $places := include "reloader.places" (dict "path" $path "paths" $paths) }}
{{- $lines = append $lines (ternary (printf "%s is not a key of this chart; its README.md lists all keys" $path) (printf "%s is not a key of this chart; use %s" $path $places) (empty $places)) }}
{{- end }}
{{- fail (printf "unknown values:\n  %s" (join "\n  " $lines)) }}
{{- end }}
{{- end }}

{{/* The paths of unknown keys, one a line. Input: keys, values, path. */}}
{{- define "reloader.unknown" -}}
{{- $keys := .keys }}
{{- $path := .path }}
{{- range $key, $value := .values }}
{{- $here := ternary $key (printf "%s.%s" $path $key) (empty $path) }}
{{- if not (hasKey $keys $key) }}
{{ $here }}
{{- else if and (kindIs "map" (get $keys $key)) (kindIs "map" $value) }}
{{ include "reloader.unknown" (dict "keys" (get $keys $key) "values" $value "path" $here) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The paths of all keys, one a line. Input: keys, path. */}}
{{- define "reloader.paths" -}}
{{- $path := .path }}
{{- range $key, $below := .keys }}
{{- $here := ternary $key (printf "%s.%s" $path $key) (empty $path) }}
{{ $here }}
{{- if kindIs "map" $below }}
{{- include "reloader.paths" (dict "keys" $below "path" $here) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Where an unknown key belongs: as the table says; or where a key of that name is, dashes and case aside; or a key that one
letter is missing from, too many in or wrong in, the nearest level first. Input: path, paths.
*/}}
{{- define "reloader.places" -}}
{{- $misplaced := include "reloader.misplaced" . | fromYaml }}
{{- $steps := splitList "." .path }}
{{- $name := last $steps }}
{{- $level := initial $steps | join "." }}
{{- $row := default (get $misplaced $name) (get $misplaced .path) }}
{{- if $row }}{{ $row | replace ", " " or " }}
{{- else }}
{{- $plain := include "reloader.plainName" $name }}
{{- $same := list }}{{ $beside := list }}{{ $near := list }}
{{- $others := list }}
{{- range .paths }}
{{- if not (regexMatch "^reloader\\.(deployment\\.)?(image|labels|volumes|volumeMounts)\\b" .) }}{{ $others = append $others . }}{{ end }}
{{- end }}
{{- range $others }}
{{- if eq (include "reloader.plainName" (last (splitList "." .))) $plain }}{{ $same = append $same . }}{{ end }}
{{- end }}
{{- if not $same }}
{{- $forms := fromJsonArray (include "reloader.shortened" $plain) }}
{{- range $other := $others }}
{{- $steps := splitList "." $other }}
{{- $otherName := include "reloader.plainName" (last $steps) }}
{{- if le (max (sub (len $plain) (len $otherName)) (sub (len $otherName) (len $plain))) 1 }}
{{- $alike := false }}
{{- range fromJsonArray (include "reloader.shortened" $otherName) }}
{{- if has . $forms }}{{ $alike = true }}{{ end }}
{{- end }}
{{- if and $alike (eq (initial $steps | join ".") $level) }}{{ $beside = append $beside $other }}
{{- else if $alike }}{{ $near = append $near $other }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $found := default $near (default $beside $same) }}
{{- if le (len $found) 4 }}{{ join " or " $found }}{{ end }}
{{- end }}
{{- end }}

{{- define "reloader.plainName" -}}
{{- . | lower | replace "-" "" | replace "_" "" }}
{{- end }}

{{/* A word, and each word that is left when one letter is taken away. A JSON list. */}}
{{- define "reloader.shortened" -}}
{{- $word := . }}
{{- $forms := list $word }}
{{- range until (len $word) }}
{{- $forms = append $forms (printf "%s%s" (substr 0 . $word) (substr (add1 . | int) (len $word) $word)) }}
{{- end }}
{{- toJson $forms }}
{{- end }}

{{/*
An empty list and null count as an empty map where a map is meant. What is passed on to Kubernetes as it is keeps its own
nulls. Input: keys, onto.
*/}}
{{- define "reloader.tidy" -}}
{{- $onto := .onto }}
{{- range $key, $below := .keys }}
{{- if and (hasKey $onto $key) (ne (toString $below) "any") }}
{{- $value := get $onto $key }}
{{- if and (empty $value) (not (kindIs "map" $value)) }}
{{- $value = dict }}
{{- $_ := set $onto $key $value }}
{{- end }}
{{- if and (kindIs "map" $below) (kindIs "map" $value) (not (has $key (include "reloader.passedOn" . | fromJsonArray))) }}
{{- include "reloader.tidy" (dict "keys" $below "onto" $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Maps with known keys whose content is Kubernetes' own: what is null in them was taken away. */}}
{{- define "reloader.passedOn" -}}
["resources", "livenessProbe", "readinessProbe", "startupProbe", "strategy", "podSecurityContext", "securityContext"]
{{- end }}
