//! The bodies of patches, byte for byte as upstream sends them, but for the resourceVersion in front (ADR 9).
//!
//! Input: a [`Plan`]. Output: what serializes to JSON. I/O: none.

use std::{collections::BTreeMap, fmt::Debug};

use serde::Serialize;

use super::cause::ANNOTATION;
use crate::{
    decide::{PauseChange, Plan, Strategy},
    model::{AnnotationKeys, Content, opt_in::LAST_RELOADED_FROM},
};

/// The strategic merge patch of the pod template that carries every marker of the plan.
///
/// A strategic merge patch touches only what it names: containers and variables are merged by their names, so fields
/// that this program does not know stay as they are
/// ([reference](https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/)).
///
/// A pause is begun and ended in the same patch. Upstream sends one of its own for it, before the marker's: what is
/// stored in the end is the same, but here there is no moment with only one of them.
///
/// `cause`: what is noted beside the marker, for `kubectl rollout history`.
pub fn strategic_merge<'a>(
    plan: &'a Plan,
    keys: &'a AnnotationKeys,
    cause: Option<&'a str>,
) -> impl Serialize + Debug + use<'a> {
    let template = Template {
        metadata: plan.annotation().map(|value| TemplateMetadata {
            annotations: BTreeMap::from([(LAST_RELOADED_FROM, value)]),
        }),
        spec: (plan.strategy == Strategy::EnvVars).then(|| PodSpec {
            containers: containers(plan),
        }),
    };
    let paused_at = plan
        .pause
        .map(|change| (keys.paused_at.as_str(), paused_at(change)));
    let cause = cause.map(|cause| (ANNOTATION, Some(cause.to_owned())));
    let annotations: BTreeMap<_, _> = paused_at.into_iter().chain(cause).collect();
    let metadata = Metadata {
        resource_version: plan.resource_version.map(|version| version.to_string()),
        annotations: (!annotations.is_empty()).then_some(annotations),
    };
    Body {
        metadata: (metadata != Metadata::default()).then_some(metadata),
        spec: Spec {
            paused: plan.pause.map(|change| matches!(change, PauseChange::Begin(_))),
            template: (!plan.marks.is_empty()).then_some(template),
        },
    }
}

/// The annotation with the time of the pause, as Go formats RFC 3339 in UTC, with whole seconds; `None` removes it.
pub(super) fn paused_at(change: PauseChange) -> Option<String> {
    match change {
        PauseChange::Begin(since) => Some(since.to_string()),
        PauseChange::End => None,
    }
}

/// Each container with the variables of all its markers.
fn containers(plan: &Plan) -> Vec<Container<'_>> {
    let mut containers: BTreeMap<&str, Vec<Variable<'_>>> = BTreeMap::new();
    for mark in &plan.marks {
        let value = match mark.content {
            Content::Present(digest) => Value::Set {
                value: digest.to_string(),
            },
            Content::Absent => Value::Remove { patch: "delete" },
        };
        containers.entry(&mark.container).or_default().push(Variable {
            name: &mark.env_name,
            value,
        });
    }
    containers
        .into_iter()
        .map(|(name, env)| Container { name, env })
        .collect()
}

// Types of their own: a JSON value would put the fields into alphabetical order, which is not upstream's.

#[derive(Debug, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    spec: Spec<'a>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    /// A patch that names a resourceVersion is refused with 409 on any other
    /// ([reference](https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply)).
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
    /// `null` removes an annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<&'a str, Option<String>>>,
}

#[derive(Debug, Serialize)]
struct Spec<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Template<'a>>,
}

#[derive(Debug, Serialize)]
struct Template<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<TemplateMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<PodSpec<'a>>,
}

#[derive(Debug, Serialize)]
struct PodSpec<'a> {
    containers: Vec<Container<'a>>,
}

#[derive(Debug, Serialize)]
struct Container<'a> {
    name: &'a str,
    env: Vec<Variable<'a>>,
}

#[derive(Debug, Serialize)]
struct Variable<'a> {
    name: &'a str,
    #[serde(flatten)]
    value: Value,
}

/// Upstream removes by position, whatever is there by then; a directive finds its variable by name
/// ([directives](https://github.com/kubernetes/community/blob/main/contributors/devel/sig-api-machinery/strategic-merge-patch.md#directives)).
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value {
    Set {
        value: String,
    },
    Remove {
        #[serde(rename = "$patch")]
        patch: &'static str,
    },
}

#[derive(Debug, Serialize)]
struct TemplateMetadata {
    annotations: BTreeMap<&'static str, String>,
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroU64;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        decide::{Mark, Write},
        model::{Digest, SourceKey, SourceKind, UnixSeconds, WorkloadKey, WorkloadKind},
    };

    pub(in crate::patch) const DIGEST: &str = "dc30e0faa89a70dec1033016a2309bbeb9efcbd0";

    pub(in crate::patch) fn plan(strategy: Strategy, marks: &[(&str, &str)]) -> Plan {
        let mark = |(container, name): &(&str, &str)| Mark {
            source: SourceKey::new(SourceKind::ConfigMap, "team", *name),
            content: Content::Present(DIGEST.parse::<Digest>().unwrap()),
            container: (*container).into(),
            env_name: format!("STAKATER_{}_CONFIGMAP", name.to_uppercase()),
            observed_at: UnixSeconds(1_790_000_000),
            exact: false,
        };
        Plan {
            workload: WorkloadKey::new(WorkloadKind::Deployment, "team", "web"),
            uid: "uid".into(),
            write: Write::Strategic,
            resource_version: None,
            strategy,
            marks: marks.iter().map(mark).collect(),
            pause: None,
            settled: Vec::new(),
        }
    }

    fn text(plan: &Plan) -> String {
        serde_json::to_string(&strategic_merge(plan, &AnnotationKeys::default(), None)).unwrap()
    }

    fn value(plan: &Plan) -> Json {
        serde_json::to_value(strategic_merge(plan, &AnnotationKeys::default(), None)).unwrap()
    }

    #[test]
    fn one_variable_is_upstreams_body_to_the_byte() {
        assert_eq!(
            text(&plan(Strategy::EnvVars, &[("main", "app")])),
            format!(
                r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"main","env":[{{"name":"STAKATER_APP_CONFIGMAP","value":"{DIGEST}"}}]}}]}}}}}}}}"#
            )
        );
    }

    #[test]
    fn the_version_it_rests_on_goes_in_front() {
        let rests_on = Plan {
            resource_version: NonZeroU64::new(1234),
            ..plan(Strategy::EnvVars, &[("main", "app")])
        };
        let without = text(&plan(Strategy::EnvVars, &[("main", "app")]));
        assert_eq!(
            text(&rests_on),
            without.replacen('{', r#"{"metadata":{"resourceVersion":"1234"},"#, 1)
        );
    }

    #[test]
    fn the_variable_of_a_deleted_source_is_removed_by_its_name() {
        let mut plan = plan(Strategy::EnvVars, &[("main", "app"), ("main", "other")]);
        plan.marks[0].content = Content::Absent;
        let body = value(&plan);
        let env = &body["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(
            env[0],
            json!({ "name": "STAKATER_APP_CONFIGMAP", "$patch": "delete" })
        );
        assert_eq!(
            env[1],
            json!({ "name": "STAKATER_OTHER_CONFIGMAP", "value": DIGEST })
        );
    }

    #[test]
    fn several_sources_are_grouped_by_container() {
        let body = value(&plan(
            Strategy::EnvVars,
            &[("main", "a"), ("side", "b"), ("main", "c")],
        ));
        let containers = body["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 2);
        assert_eq!(containers[0]["name"], "main");
        assert_eq!(containers[0]["env"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_no_variable_can_show_goes_into_the_annotation_too() {
        let mut plan = plan(Strategy::EnvVars, &[("main", "app"), ("main", "other")]);
        let alike = DIGEST.parse::<Digest>().unwrap().unknown_look_alike();
        plan.marks[0] = Mark {
            content: Content::Present(alike),
            exact: true,
            ..plan.marks[0].clone()
        };
        let template = &value(&plan)["spec"]["template"];
        let variables = template["spec"]["containers"][0]["env"].as_array().unwrap();
        assert!(variables.iter().all(|variable| variable["value"] == DIGEST));
        let annotation = &template["metadata"]["annotations"][LAST_RELOADED_FROM];
        let annotation: Json = serde_json::from_str(annotation.as_str().unwrap()).unwrap();
        assert_eq!(annotation["name"], "app");
        assert_eq!(annotation["hash"], DIGEST);
        assert_eq!(annotation["exact"], alike.exact().to_string());
    }

    #[test]
    fn the_annotation_holds_json_as_text() {
        let body = value(&plan(Strategy::Annotations, &[("main", "app")]));
        assert_eq!(
            body["spec"]["template"]["metadata"]["annotations"]["reloader.stakater.com/last-reloaded-from"],
            format!(
                r#"{{"type":"CONFIGMAP","name":"app","namespace":"team","hash":"{DIGEST}","containerRefs":["main"],"observedAt":1790000000}}"#
            )
        );
    }

    #[test]
    fn a_pause_goes_with_the_marker() {
        let since = "2026-01-01T00:00:05Z".parse().unwrap();
        let pausing = Plan {
            pause: Some(PauseChange::Begin(since)),
            ..plan(Strategy::EnvVars, &[("main", "app")])
        };
        let without = text(&plan(Strategy::EnvVars, &[("main", "app")]));
        let with_pause = concat!(
            r#"{"metadata":{"annotations":{"deployment.reloader.stakater.com/paused-at":"2026-01-01T00:00:05Z"}},"#,
            r#""spec":{"paused":true,"#
        );
        assert_eq!(text(&pausing), without.replacen(r#"{"spec":{"#, with_pause, 1));
    }

    #[test]
    fn a_cause_goes_with_the_marker() {
        let plan = plan(Strategy::EnvVars, &[("main", "app")]);
        let keys = AnnotationKeys::default();
        let noted = serde_json::to_string(&strategic_merge(&plan, &keys, Some("it changed"))).unwrap();
        let with_cause =
            r#"{"metadata":{"annotations":{"kubernetes.io/change-cause":"it changed"}},"spec":{"#;
        assert_eq!(noted, text(&plan).replacen(r#"{"spec":{"#, with_cause, 1));
    }

    #[test]
    fn resuming_is_upstreams_body() {
        let resuming = Plan {
            pause: Some(PauseChange::End),
            ..plan(Strategy::EnvVars, &[])
        };
        assert_eq!(
            text(&resuming),
            concat!(
                r#"{"metadata":{"annotations":{"deployment.reloader.stakater.com/paused-at":null}},"#,
                r#""spec":{"paused":false}}"#
            )
        );
    }
}
