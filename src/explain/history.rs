//! The restarts that Reloader made, from the pod templates that a workload had.
//!
//! Input: the revisions of its pod template. Output: [`History`]. I/O: none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    answer::VERSION,
    names::{ObjectName, SourceName},
};
use crate::model::{Digest, LastReloadedFrom, SourceKind, SourceRef, env_name, opt_in::LAST_RELOADED_FROM};

/// What the names of marker variables begin with.
const PREFIX: &str = "STAKATER_";

/// A pod template that a workload had.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Its number, which grows.
    pub number: i64,
    /// When its `ReplicaSet` or `ControllerRevision` was created.
    pub at: Option<Timestamp>,
    /// The pod template.
    pub template: Value,
}

/// The restarts of a workload that Reloader made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// [`super::VERSION`].
    pub version: String,
    /// The workload.
    pub workload: ObjectName,
    /// The latest first.
    pub restarts: Vec<PastRestart>,
    /// How many pod templates are kept: restarts before them are not known.
    pub revisions: usize,
}

/// A restart that a marker shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastRestart {
    /// The number of the revision that it made.
    pub revision: i64,
    /// When; absent: unknown. An older revision that was returned to keeps its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// It was then or before: the revision is the oldest one that is kept.
    pub or_before: bool,
    /// For which source; absent: the variable's name fits none that the workload uses or lists now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// The marker: a variable and its container, or the annotation.
    pub place: String,
    /// The digest that it shows; absent where its text is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What a marker of one template shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    source: Option<SourceName>,
    /// The whole text, to be compared only: it could be anything.
    text: String,
    digest: Option<String>,
    is_annotation: bool,
}

/// Compares the markers of each template with those of the one before. `candidates`: the sources that variables may stand for.
pub fn history(workload: ObjectName, candidates: &[SourceRef], mut revisions: Vec<Revision>) -> History {
    revisions.sort_by_key(|revision| revision.number);
    let kept = revisions.len();
    let mut restarts = Vec::new();
    let mut before: Option<(BTreeMap<String, Shown>, Option<Timestamp>)> = None;
    for revision in revisions {
        let shown = markers(&revision.template, candidates);
        let earlier = before.as_ref().and_then(|(_, at)| *at);
        let is_old = |place: &String, marker: &Shown| {
            let old = before.as_ref().and_then(|(markers, _)| markers.get(place));
            old.is_some_and(|old| old.text == marker.text)
        };
        let new: Vec<_> = shown
            .iter()
            .filter(|(place, marker)| !is_old(place, marker))
            .collect();
        for (place, marker) in &new {
            // Beside a variable the annotation names the last source once more.
            let is_repeated = marker.is_annotation
                && new
                    .iter()
                    .any(|(_, other)| !other.is_annotation && other.source == marker.source);
            if is_repeated {
                continue;
            }
            restarts.push(PastRestart {
                revision: revision.number,
                at: revision
                    .at
                    .filter(|at| earlier.is_none_or(|earlier| earlier <= *at)),
                or_before: before.is_none(),
                source: marker.source.clone(),
                place: (*place).clone(),
                digest: marker.digest.clone(),
            });
        }
        before = Some((shown, revision.at));
    }
    restarts.reverse();
    History {
        version: VERSION.to_owned(),
        workload,
        restarts,
        revisions: kept,
    }
}

/// The markers of a template, by their places.
fn markers(template: &Value, candidates: &[SourceRef]) -> BTreeMap<String, Shown> {
    let mut markers = BTreeMap::new();
    let containers = template["spec"]["containers"].as_array();
    for container in containers.into_iter().flatten() {
        let in_container = container["name"].as_str().unwrap_or_default();
        for variable in container["env"].as_array().into_iter().flatten() {
            let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) else {
                continue;
            };
            let is_marker = name.starts_with(PREFIX)
                && SourceKind::ALL
                    .iter()
                    .any(|kind| name.ends_with(&format!("_{}", kind.type_name())));
            if is_marker {
                let source = candidates
                    .iter()
                    .find(|source| env_name(source.kind, &source.name) == name);
                let shown = Shown {
                    source: source.map(SourceName::from),
                    digest: digest(value),
                    text: value.to_owned(),
                    is_annotation: false,
                };
                markers.insert(format!("variable {name} in container {in_container}"), shown);
            }
        }
    }
    let text = template["metadata"]["annotations"][LAST_RELOADED_FROM].as_str();
    if let Some(text) = text {
        let annotation = LastReloadedFrom::read(text);
        let named = annotation.source();
        let shown = Shown {
            digest: named
                .as_ref()
                .and_then(|source| digest(annotation.hash_of(source.kind, &source.name)?)),
            source: named.as_ref().map(SourceName::from),
            text: text.to_owned(),
            is_annotation: true,
        };
        markers.insert(format!("annotation {LAST_RELOADED_FROM}"), shown);
    }
    markers
}

fn digest(text: &str) -> Option<String> {
    text.parse::<Digest>().ok().map(|digest| digest.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    const TWO: &str = "0d58150de76a895b24f4ca213f590766160c4349";

    fn revision(number: i64, second: i64, variables: &[(&str, &str)], annotation: Option<&str>) -> Revision {
        let env: Vec<Value> = variables
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        Revision {
            number,
            at: Timestamp::from_second(second).ok(),
            template: json!({
                "metadata": { "annotations": { LAST_RELOADED_FROM: annotation } },
                "spec": { "containers": [{ "name": "main", "env": env }] },
            }),
        }
    }

    fn of(revisions: Vec<Revision>) -> History {
        let workload = ObjectName {
            kind: "Deployment".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        let candidates = [SourceRef::new(SourceKind::ConfigMap, "app")];
        history(workload, &candidates, revisions)
    }

    #[test]
    fn each_marker_that_changed_is_a_restart_and_the_latest_is_first() {
        let history = of(vec![
            revision(
                3,
                30,
                &[("STAKATER_APP_CONFIGMAP", TWO), ("STAKATER_OLD_SECRET", ONE)],
                None,
            ),
            revision(1, 10, &[], None),
            revision(2, 20, &[("STAKATER_APP_CONFIGMAP", ONE), ("OTHER", "1")], None),
            revision(
                4,
                40,
                &[
                    ("STAKATER_APP_CONFIGMAP", TWO),
                    ("STAKATER_OLD_SECRET", ONE),
                    ("OTHER", "2"),
                ],
                None,
            ),
        ]);
        let rows: Vec<_> = history
            .restarts
            .iter()
            .map(|restart| (restart.revision, restart.digest.as_deref(), restart.or_before))
            .collect();
        assert_eq!(
            rows,
            [
                (3, Some(ONE), false),
                (3, Some(TWO), false),
                (2, Some(ONE), false)
            ]
        );
        assert!(history.restarts[0].source.is_none());
        assert_eq!(
            history.restarts[1].source.as_ref().unwrap().to_string(),
            "configmap/app"
        );
        assert_eq!(history.restarts[2].at, Timestamp::from_second(20).ok());
        assert_eq!(history.revisions, 4);
    }

    #[test]
    fn the_annotation_names_its_source() {
        let text = format!(r#"{{"type":"SECRET","name":"db","hash":"{ONE}"}}"#);
        let history = of(vec![
            revision(1, 10, &[], Some(&text)),
            revision(2, 5, &[], Some("no marker")),
        ]);
        let (last, first) = (&history.restarts[0], &history.restarts[1]);
        assert_eq!(
            (last.source.as_ref(), last.digest.as_ref(), last.at),
            (None, None, None)
        );
        assert_eq!(first.source.as_ref().unwrap().to_string(), "secret/db");
        assert!(first.or_before && first.digest.as_deref() == Some(ONE));
    }

    #[test]
    fn a_variable_and_the_annotation_beside_it_are_one_restart() {
        let text = format!(r#"{{"type":"CONFIGMAP","name":"app","hash":"{ONE}"}}"#);
        let variables = [("STAKATER_APP_CONFIGMAP", ONE), ("STAKATER_OLD_SECRET", ONE)];
        let history = of(vec![
            revision(1, 10, &[], None),
            revision(2, 20, &variables, Some(&text)),
        ]);
        assert_eq!(history.restarts.len(), 2);
        assert!(
            history
                .restarts
                .iter()
                .all(|restart| restart.place.starts_with("variable"))
        );
    }

    #[test]
    fn a_text_that_is_no_digest_is_not_shown() {
        let history = of(vec![revision(
            1,
            10,
            &[("STAKATER_APP_CONFIGMAP", "canary")],
            None,
        )]);
        assert_eq!(history.restarts[0].digest, None);
        assert!(!format!("{:?}", history.restarts).contains("canary"));
    }
}
