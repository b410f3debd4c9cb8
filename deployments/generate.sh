#!/usr/bin/env bash
# Writes what is generated: the plain manifests, from the chart, and the chart's copy of its own defaults.
# Usage: deployments/generate.sh HELM [FOLDER], with the path of Helm and where to write, by default this checkout.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
helm=${1:?usage: deployments/generate.sh HELM [FOLDER]}
out=${2:-$root}
chart=$root/charts/reloader
kubernetes=$out/deployments/kubernetes
overlays=$out/deployments/overlays
mkdir -p "$kubernetes" "$overlays"/{ha,single-namespace} "$out/charts/reloader/files"

# Stakater Reloader's plain manifests are replaced in place, so these have their names, their namespace and their selector,
# which is `app` alone. Without Helm nothing is "managed by Helm", and there is no release.
plain() {
    awk '
        /^# Source: / || /^[[:space:]]*$/ { next }
        /^ +(helm\.sh\/chart|chart|heritage|release|app\.kubernetes\.io\/managed-by): / { next }
        /^ +meta\.helm\.sh\// { next }
        /^  annotations:$/ { held = $0; next }
        held != "" { if ($0 ~ /^    /) print held; held = "" }
        # The first separator begins the file.
        /^---$/ { if (begun++) print; next }
        { sub(/namespace: "default"/, "namespace: default"); sub(/metadata-role-binding$/, "metadata-rolebinding"); print }'
}
render() {
    "$helm" template reloader "$chart" --namespace default "$@" | plain
}
# The leader is elected by a variable: a patch that sets `args` replaces the whole list, and several replicas would all act.
deployment() {
    render --set replicaCount=1 --set reloader.logLevel= --set leaderElection.enabled=false \
        --set 'extraEnv[0].name=RELOADER_ENABLE_HA' --set-string 'extraEnv[0].value=true' \
        --show-only templates/deployment.yaml
}
note="# Generated from charts/reloader by \`make manifests\`; change it there."

rbac() {
    render --show-only templates/serviceaccount.yaml --show-only templates/clusterrole.yaml --show-only templates/role-own.yaml
}
{
    echo "$note"
    echo "# What Reloader may do. Each rule names what it is for; nothing here can read a pod or write a Secret."
    rbac
} >"$kubernetes/rbac.yaml"
{
    echo "$note"
    echo "# Everything, in the namespace \`default\`: kubectl apply --filename reloader.yaml"
    rbac
    echo "---"
    deployment
} >"$kubernetes/reloader.yaml"
{
    echo "$note"
    render --show-only templates/poddisruptionbudget.yaml
} >"$overlays/ha/poddisruptionbudget.yaml"
{
    echo "$note"
    render --set reloader.watchGlobally=false --show-only templates/role.yaml
} >"$overlays/single-namespace/role.yaml"

# What the chart falls back to where a release's values are another chart's: values.yaml without comments.
grep -v '^ *#' "$chart/values.yaml" | sed '/^$/d' >"$out/charts/reloader/files/defaults.yaml"
