//! The bodies of patches, byte for byte as upstream sends them.
//!
//! Input: a [`Plan`]. Output: JSON. I/O: none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    decide::{Plan, Strategy},
    model::opt_in::LAST_RELOADED_FROM,
};

/// The strategic merge patch of the pod template that carries every marker of the plan.
///
/// A strategic merge patch touches only what it names: containers and variables are merged by their names, so fields
/// that this program does not know stay as they are
/// ([reference](https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/)).
pub fn strategic_merge(plan: &Plan) -> Value {
    match plan.strategy {
        Strategy::EnvVars => {
            let mut containers: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
            for mark in &plan.marks {
                let variable = json!({ "name": mark.env_name, "value": mark.digest.to_string() });
                containers.entry(&mark.container).or_default().push(variable);
            }
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|(name, env)| json!({ "name": name, "env": env }))
                .collect();
            json!({ "spec": { "template": { "spec": { "containers": containers } } } })
        }
        Strategy::Annotations => {
            let annotations: BTreeMap<&str, String> = plan
                .marks
                .iter()
                .map(|mark| (LAST_RELOADED_FROM, mark.annotation_value()))
                .collect();
            json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::Mark,
        model::{Digest, SourceKey, SourceKind, WorkloadKey, WorkloadKind},
    };

    const DIGEST: &str = "dc30e0faa89a70dec1033016a2309bbeb9efcbd0";

    fn plan(strategy: Strategy, marks: &[(&str, &str)]) -> Plan {
        let mark = |(container, name): &(&str, &str)| Mark {
            source: SourceKey::new(SourceKind::ConfigMap, "team", *name),
            digest: DIGEST.parse::<Digest>().unwrap(),
            container: (*container).into(),
            env_name: format!("STAKATER_{}_CONFIGMAP", name.to_uppercase()),
            observed_at: 1_790_000_000,
        };
        Plan {
            workload: WorkloadKey::new(WorkloadKind::Deployment, "team", "web"),
            strategy,
            marks: marks.iter().map(mark).collect(),
            settled: Vec::new(),
        }
    }

    #[test]
    fn one_variable_is_upstreams_body_to_the_byte() {
        assert_eq!(
            strategic_merge(&plan(Strategy::EnvVars, &[("main", "app")])).to_string(),
            format!(
                r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"env":[{{"name":"STAKATER_APP_CONFIGMAP","value":"{DIGEST}"}}],"name":"main"}}]}}}}}}}}"#
            )
        );
    }

    #[test]
    fn several_sources_are_grouped_by_container() {
        let body = strategic_merge(&plan(
            Strategy::EnvVars,
            &[("main", "a"), ("side", "b"), ("main", "c")],
        ));
        let containers = body["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 2);
        assert_eq!(containers[0]["name"], "main");
        assert_eq!(containers[0]["env"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_annotation_holds_json_as_text() {
        let body = strategic_merge(&plan(Strategy::Annotations, &[("main", "app")]));
        assert_eq!(
            body["spec"]["template"]["metadata"]["annotations"]["reloader.stakater.com/last-reloaded-from"],
            format!(
                r#"{{"type":"CONFIGMAP","name":"app","namespace":"team","hash":"{DIGEST}","containerRefs":["main"],"observedAt":1790000000}}"#
            )
        );
    }
}
