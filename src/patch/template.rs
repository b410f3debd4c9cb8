//! Markers in a pod template that was just read, for objects that know no strategic merge patch, and for those that it
//! would change beyond the marker.
//!
//! Input: the object's JSON, a [`Plan`]. Output: the JSON with the markers, or a merge patch. I/O: none.
//!
//! A custom resource has no merge keys, so a patch replaces its list of containers as a whole. The patch therefore
//! holds every byte that was read, known to this program or not, and the resourceVersion it rests on: a write in
//! between makes the API server refuse it.

use serde_json::{Map, Value, json};

use super::body::paused_at;
use crate::{
    decide::{Mark, PauseChange, Plan, Strategy},
    model::{AnnotationKeys, Content, opt_in::LAST_RELOADED_FROM},
};

/// The pod template has no container of that name: the plan rests on another state of the workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it no longer has a container {0:?}; trying again")]
pub struct MissingContainer(pub String);

/// The merge patch that brings the plan's markers into the pod template under `path`; `None` where it shows them.
pub fn merge(
    live: &Value,
    path: &[&str],
    plan: &Plan,
    keys: &AnnotationKeys,
) -> Result<Option<Value>, MissingContainer> {
    let pointer: String = path.iter().flat_map(|field| ["/", field]).collect();
    let before = live.pointer(&pointer).cloned().unwrap_or_default();
    let mut template = before.clone();
    mark(&mut template, plan)?;
    if template == before {
        return Ok(None);
    }
    let mut changed = json!({});
    if plan.strategy == Strategy::EnvVars {
        changed["spec"] = json!({ "containers": template["spec"]["containers"] });
    }
    if let Some(value) = plan.annotation() {
        changed["metadata"] = json!({ "annotations": { LAST_RELOADED_FROM: value } });
    }
    let mut body = path
        .iter()
        .rev()
        .fold(changed, |inner, field| json!({ *field: inner }));
    body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    if let Some(change) = plan.pause {
        body["metadata"]["annotations"] = json!({ keys.paused_at.as_str(): paused_at(change) });
        body["spec"]["paused"] = matches!(change, PauseChange::Begin(_)).into();
    }
    Ok(Some(body))
}

/// Writes the plan's markers into a pod template.
pub fn mark(template: &mut Value, plan: &Plan) -> Result<(), MissingContainer> {
    if plan.strategy == Strategy::EnvVars {
        for mark in &plan.marks {
            set_variable(template, mark)?;
        }
    }
    if let Some(value) = plan.annotation() {
        object(object(template, "metadata"), "annotations")[LAST_RELOADED_FROM] = value.into();
    }
    Ok(())
}

fn set_variable(template: &mut Value, mark: &Mark) -> Result<(), MissingContainer> {
    let containers = template
        .pointer_mut("/spec/containers")
        .and_then(Value::as_array_mut);
    let container = containers
        .into_iter()
        .flatten()
        .find(|container| container["name"].as_str() == Some(&mark.container))
        .and_then(Value::as_object_mut)
        .ok_or_else(|| MissingContainer(mark.container.to_string()))?;
    let is_marker = |variable: &Value| variable["name"].as_str() == Some(&mark.env_name);
    let Content::Present(digest) = mark.content else {
        if let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut) {
            variables.retain(|variable| !is_marker(variable));
        }
        return Ok(());
    };
    let marker = json!({ "name": mark.env_name, "value": digest.to_string() });
    match container.get_mut("env").and_then(Value::as_array_mut) {
        None => {
            container.insert("env".to_owned(), json!([marker]));
        }
        Some(variables) => match variables.iter_mut().find(|variable| is_marker(variable)) {
            Some(variable) => *variable = marker,
            None => variables.push(marker),
        },
    }
    Ok(())
}

/// The object in that field, made where there is none.
fn object<'a>(value: &'a mut Value, field: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let inner = &mut value[field];
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    inner
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use rstest::rstest;

    use super::super::body::tests::{DIGEST, plan};
    use super::*;

    fn merge(live: &Value, path: &[&str], plan: &Plan) -> Result<Option<Value>, MissingContainer> {
        super::merge(live, path, plan, &AnnotationKeys::default())
    }

    fn live(containers: &Value) -> Value {
        json!({
            "metadata": { "name": "web", "resourceVersion": "7" },
            "spec": {
                "replicas": 2,
                "template": { "spec": { "containers": containers, "unknown": true } },
            },
        })
    }

    fn containers(body: &Value) -> &Value {
        &body["spec"]["template"]["spec"]["containers"]
    }

    const PATH: [&str; 2] = ["spec", "template"];

    #[rstest]
    #[case::no_variables(json!({ "name": "main" }), json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }]))]
    #[case::null(json!({ "name": "main", "env": null }), json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }]))]
    #[case::others(json!({ "name": "main", "env": [{ "name": "A", "value": "1" }] }),
        json!([{ "name": "A", "value": "1" }, { "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }]))]
    #[case::older(json!({ "name": "main", "env": [{ "name": "STAKATER_APP_CONFIGMAP", "value": "1" }, { "name": "A" }] }),
        json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }, { "name": "A" }]))]
    fn a_variable_is_set_and_nothing_else(#[case] mut main: Value, #[case] env: Value) {
        let side = json!({ "name": "side", "image": "x", "fieldOfTomorrow": [1, 2] });
        main["fieldOfTomorrow"] = json!({ "a": null });
        let body = merge(
            &live(&json!([side, main])),
            &PATH,
            &plan(Strategy::EnvVars, &[("main", "app")]),
        );
        let body = body.unwrap().unwrap();
        main["env"] = env;
        let expected = json!({
            "metadata": { "resourceVersion": "7" },
            "spec": { "template": { "spec": { "containers": [side, main] } } },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_variable_of_a_deleted_source_is_removed_and_nothing_else() {
        let mut plan = plan(Strategy::EnvVars, &[("main", "app")]);
        plan.marks[0].content = Content::Absent;
        let own = json!({ "name": "A", "value": "1" });
        let marked =
            json!({ "name": "main", "env": [{ "name": "STAKATER_APP_CONFIGMAP", "value": "1" }, own] });
        let body = merge(&live(&json!([marked])), &PATH, &plan).unwrap().unwrap();
        assert_eq!(*containers(&body), json!([{ "name": "main", "env": [own] }]));
        let without = json!([{ "name": "main" }]);
        assert_eq!(merge(&live(&without), &PATH, &plan), Ok(None));
    }

    #[test]
    fn variables_of_one_name_keep_their_places() {
        let env = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "$(A)" }, { "name": "A", "value": "2" }]);
        let mut plan = plan(Strategy::EnvVars, &[("main", "app")]);
        let body = merge(&live(&json!([{ "name": "main", "env": env }])), &PATH, &plan)
            .unwrap()
            .unwrap();
        let marked = containers(&body);
        assert_eq!(
            marked[0]["env"].as_array().unwrap()[..3],
            env.as_array().unwrap()[..]
        );
        plan.marks[0].content = Content::Absent;
        let body = merge(&live(marked), &PATH, &plan).unwrap().unwrap();
        assert_eq!(containers(&body)[0]["env"], env);
    }

    #[test]
    fn a_pause_changes_in_the_same_patch() {
        let mut plan = plan(Strategy::EnvVars, &[("main", "app")]);
        let live = live(&json!([{ "name": "main" }]));
        for (change, paused, paused_at) in [
            (
                PauseChange::Begin(Timestamp::UNIX_EPOCH),
                true,
                json!("1970-01-01T00:00:00Z"),
            ),
            (PauseChange::End, false, Value::Null),
        ] {
            plan.pause = Some(change);
            let body = merge(&live, &PATH, &plan).unwrap().unwrap();
            assert_eq!(body["spec"]["paused"], paused);
            let metadata = json!({
                "resourceVersion": "7", "annotations": { "deployment.reloader.stakater.com/paused-at": paused_at },
            });
            assert_eq!(body["metadata"], metadata);
        }
    }

    #[test]
    fn what_is_marked_already_needs_no_patch() {
        let plan = plan(Strategy::EnvVars, &[("main", "a"), ("main", "b")]);
        let body = merge(&live(&json!([{ "name": "main" }])), &PATH, &plan)
            .unwrap()
            .unwrap();
        assert_eq!(merge(&live(containers(&body)), &PATH, &plan), Ok(None));
    }

    #[test]
    fn the_annotation_is_all_that_its_strategy_writes() {
        let plan = plan(Strategy::Annotations, &[("main", "app")]);
        let body = merge(
            &live(&json!([{ "name": "main" }])),
            &["spec", "pods", "template"],
            &plan,
        );
        let expected = json!({
            "metadata": { "resourceVersion": "7" },
            "spec": { "pods": { "template": { "metadata": { "annotations": {
                LAST_RELOADED_FROM: plan.marks[0].annotation_value(),
            } } } } },
        });
        assert_eq!(body.unwrap().unwrap(), expected);
    }

    #[rstest]
    #[case(json!([]))]
    #[case(json!([{ "name": "other" }]))]
    #[case(Value::Null)]
    fn a_container_that_is_gone_is_an_error(#[case] containers: Value) {
        let plan = plan(Strategy::EnvVars, &[("main", "app")]);
        assert_eq!(
            merge(&live(&containers), &PATH, &plan),
            Err(MissingContainer("main".to_owned()))
        );
    }
}
