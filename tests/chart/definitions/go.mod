// Modules whose files tests read: definitions of custom resources, as the projects publish them that own them.
module definitions

go 1.26.8

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	k8s.io/autoscaler/vertical-pod-autoscaler v1.8.1
)
