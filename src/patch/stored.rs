//! Whether the API server stored what a patch wrote.
//!
//! Input: a [`Plan`], the workload as it was answered. Output: [`DroppedMarker`]. I/O: none.
//!
//! Admission webhooks and policies change objects on their way, and the schema of a custom resource prunes fields that
//! it does not know. The answer is 200 all the same, and no pod is replaced.

use crate::{
    api_error::{ApiError, Class},
    decide::{Mark, Plan, Strategy, Write},
    model::{Content, PodTemplate, Restart, Workload, opt_in::LAST_RELOADED_FROM},
};

/// The answer lacks a marker that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API server accepted the patch but dropped the marker ({0}): look for a mutating admission webhook or policy \
     that changes it, or a schema that prunes it"
)]
pub struct DroppedMarker(String);

impl From<DroppedMarker> for ApiError {
    /// As a refusal: nothing was restarted, and the cause goes away when its owner removes it.
    fn from(dropped: DroppedMarker) -> Self {
        Self {
            class: Class::Rejected,
            code: None,
            message: dropped.to_string(),
        }
    }
}

/// Compares the markers of the plan with the workload, or the Deployment whose template it uses, as it was stored. A patch
/// that changed nothing, because the markers were there, is as good.
pub fn check(plan: &Plan, stored: &Workload) -> Result<(), DroppedMarker> {
    match &plan.write {
        Write::RestartAt(at) => match stored.restart {
            Restart::At { last } if last != Some(*at) => Err(DroppedMarker("spec.restartAt".to_owned())),
            _ => Ok(()),
        },
        Write::Strategic | Write::Live(_) => check_template(plan, &stored.template),
        // The new Job's pods are new, with a marker or without.
        Write::CreateJob { .. } | Write::RecreateJob => Ok(()),
    }
}

fn check_template(plan: &Plan, template: &PodTemplate) -> Result<(), DroppedMarker> {
    if template.containers.is_empty() {
        // It has opted out meanwhile, and its template was not kept.
        return Ok(());
    }
    if plan.strategy == Strategy::EnvVars
        && let Some(mark) = plan.marks.iter().find(|mark| !shows(template, mark))
    {
        let Mark {
            env_name, container, ..
        } = mark;
        return Err(DroppedMarker(format!(
            "variable {env_name} of container {container}"
        )));
    }
    match plan.annotation() {
        Some(value) if template.last_reloaded_from.as_deref() != Some(&*value) => {
            Err(DroppedMarker(format!("annotation {LAST_RELOADED_FROM}")))
        }
        _ => Ok(()),
    }
}

fn shows(template: &PodTemplate, mark: &Mark) -> bool {
    let containers = template.containers.iter();
    let mut of_mark = containers.filter(|container| container.name == mark.container);
    let is_marker = |(name, _): &&(Box<str>, Box<str>)| **name == *mark.env_name;
    match mark.content {
        Content::Present(digest) => {
            let sent = digest.to_string();
            of_mark.any(|container| {
                let mut markers = container.markers.iter().filter(is_marker);
                markers.any(|(_, value)| **value == *sent)
            })
        }
        Content::Absent => {
            of_mark.all(|container| !container.markers.iter().any(|marker| is_marker(&marker)))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::body::tests::{DIGEST, plan};
    use super::*;
    use crate::{
        model::{UnixSeconds, WorkloadKind},
        watch::workload::{Decoded, Reading, WorkloadObject},
    };

    /// The workload of that JSON.
    fn stored(kind: WorkloadKind, spec: &Value) -> Workload {
        let annotations = json!({
            "reloader.stakater.com/auto": "true", "reloader.stakater.com/rollout-strategy": "restart",
        });
        let metadata = json!({ "name": "web", "namespace": "team", "annotations": annotations });
        let object: WorkloadObject =
            serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
        Reading::default().read(object.into_object(kind), kind).unwrap()
    }

    fn template(env: &Value, annotation: Option<&str>) -> Workload {
        let annotations = json!({ LAST_RELOADED_FROM: annotation });
        let containers = json!([{ "name": "side" }, { "name": "main", "env": env }]);
        let template =
            json!({ "metadata": { "annotations": annotations }, "spec": { "containers": containers } });
        stored(WorkloadKind::Deployment, &json!({ "template": template }))
    }

    #[rstest]
    #[case::stored(json!([{ "name": "A" }, { "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }]), true)]
    #[case::taken_out(json!([{ "name": "A" }]), false)]
    #[case::put_back(json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": "older" }]), false)]
    #[case::no_variables(json!(null), false)]
    fn a_variable_has_to_be_stored_as_it_was_sent(#[case] env: Value, #[case] is_stored: bool) {
        let plan = plan(Strategy::EnvVars, &[("main", "app")]);
        let found = check(&plan, &template(&env, None));
        assert_eq!(found.is_ok(), is_stored, "{found:?}");
    }

    #[test]
    fn every_marker_counts_and_in_its_own_container() {
        let env = json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }]);
        let both = plan(Strategy::EnvVars, &[("main", "app"), ("main", "other")]);
        assert_eq!(
            check(&both, &template(&env, None)),
            Err(DroppedMarker(
                "variable STAKATER_OTHER_CONFIGMAP of container main".to_owned()
            ))
        );
        let aside = plan(Strategy::EnvVars, &[("side", "app")]);
        assert!(check(&aside, &template(&env, None)).is_err());
    }

    #[test]
    fn a_variable_that_was_removed_has_to_be_gone() {
        let mut plan = plan(Strategy::EnvVars, &[("main", "app")]);
        plan.marks[0].content = Content::Absent;
        let env = json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }]);
        assert!(check(&plan, &template(&env, None)).is_err());
        assert_eq!(check(&plan, &template(&json!([]), None)), Ok(()));
    }

    #[test]
    fn the_annotation_has_to_be_stored_as_it_was_sent() {
        let plan = plan(Strategy::Annotations, &[("main", "app")]);
        let sent = plan.marks[0].annotation_value();
        assert_eq!(check(&plan, &template(&json!(null), Some(&sent))), Ok(()));
        for other in [None, Some("{}")] {
            assert!(check(&plan, &template(&json!(null), other)).is_err());
        }
    }

    #[test]
    fn restart_at_has_to_be_stored_as_it_was_sent() {
        let at = UnixSeconds(1_767_323_045);
        let plan = Plan {
            write: Write::RestartAt(at),
            ..plan(Strategy::EnvVars, &[("main", "app")])
        };
        let rollout = |spec| stored(WorkloadKind::Rollout, &spec);
        assert_eq!(
            check(&plan, &rollout(json!({ "restartAt": "2026-01-02T03:04:05Z" }))),
            Ok(())
        );
        assert!(check(&plan, &rollout(json!({}))).is_err());
        assert!(check(&plan, &rollout(json!({ "restartAt": "2026-01-01T00:00:00Z" }))).is_err());
    }
}
