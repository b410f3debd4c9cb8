// Modules whose files tests read: definitions of custom resources, as the projects publish them that own them, and the schema of
// SARIF.
module definitions

go 1.26.8

require (
	github.com/owenrumney/go-sarif/v3 v3.3.1
	github.com/prometheus-operator/prometheus-operator v0.85.0
	k8s.io/autoscaler/vertical-pod-autoscaler v1.8.1
)
