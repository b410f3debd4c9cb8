//! Mistakes in annotations: an Event on the object, once, by the leader only; gauges on every replica.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Event, Secret},
    },
    jiff::Timestamp,
};
use kube::api::{ListParams, Patch, PatchParams};
use reloader::{
    diagnose::{Checker, Pairs, WorkloadText},
    explain::Explanation,
    model::{AnnotationKeys, OptIn, SourceKind, SourceRef, WorkloadKind},
};
use serde_json::json;
use testbed::{Entry, Stage, eventually};

use crate::harness::{
    Controller, PATIENCE, World,
    fleet::Fleet,
    objects::{config_map, deployment, from, pod_with_config_map, secret},
    observe::AUTO,
    run,
};

const REASON: &str = "InvalidAnnotation";
const CONFIGMAPS: &str = "configmap.reloader.stakater.com/reload";
const SECRETS: &str = "secret.reloader.stakater.com/reload";
const UNKNOWN: [(&str, &str); 1] = [("reloader.stakater.com/reload", "settings")];
/// A lease that runs out soon.
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
/// Events about mistakes in one namespace and hour.
const BOUND: usize = 20;
/// A missing source is reported after a minute, and looked for each 20 s.
const MISSING: Duration = Duration::from_mins(3);

/// Name of a workload, its annotations.
const WORKLOADS: [(&str, &[(&str, &str)]); 13] = [
    ("right", &AUTO),
    ("listed", &[(CONFIGMAPS, "settings")]),
    ("unknown", &UNKNOWN),
    ("other-domain", &[("reloader.stakater.io/auto", "true")]),
    ("no-boolean", &[("reloader.stakater.com/auto", "yes")]),
    ("not-true", &[("reloader.stakater.com/search", "True")]),
    ("boolean-list", &[(CONFIGMAPS, "true")]),
    ("empty-list", &[(SECRETS, "")]),
    ("bad-names", &[(CONFIGMAPS, "team/settings,Other")]),
    ("shell", &[(CONFIGMAPS, "set*")]),
    ("bad-pattern", &[(SECRETS, "a[")]),
    ("source-key", &[("reloader.stakater.com/match", "true")]),
    (
        "two",
        &[
            ("reloader.stakater.com/serach", "true"),
            ("secret.reloader.stakater.com/auto", "true"),
        ],
    ),
];

type Pair = (&'static str, &'static str);
/// Name of a ConfigMap, its annotations, its labels.
const SOURCES: [(&str, &[Pair], &[Pair]); 3] = [
    ("settings", &[("reloader.stakater.com/match", "true")], &[]),
    ("wrong", &[("reloader.stakater.com/auto", "true")], &[]),
    ("label", &[], &[("reloader.stakater.com/ignore", "true")]),
];

/// Reasons, each with the objects that it is about.
type Found = BTreeMap<String, Vec<String>>;

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// What the checker finds by itself: in workloads, in sources.
fn expected() -> (Found, Found) {
    let (checker, keys) = (Checker::default(), AnnotationKeys::default());
    let (mut in_workloads, mut in_sources) = (Found::new(), Found::new());
    for (name, annotations) in WORKLOADS {
        let own = pairs(annotations);
        let opt_in = OptIn::parse(&keys, |key| own.get(key).map(String::as_str), |_| None);
        let findings = checker.workload(&WorkloadText {
            kind: Some(WorkloadKind::Deployment),
            own: &own,
            template: &Pairs::new(),
            labels: &Pairs::new(),
            opt_in: &opt_in,
            references: &[SourceRef::new(SourceKind::ConfigMap, "settings")],
            has_template: true,
        });
        for finding in findings {
            let objects = in_workloads
                .entry(finding.mistake.reason().to_owned())
                .or_default();
            objects.push(name.to_owned());
        }
    }
    for (name, annotations, labels) in SOURCES {
        for finding in checker.source(SourceKind::ConfigMap, &pairs(annotations), &pairs(labels)) {
            let objects = in_sources.entry(finding.mistake.reason().to_owned()).or_default();
            objects.push(name.to_owned());
        }
    }
    for found in [&mut in_workloads, &mut in_sources] {
        for objects in found.values_mut() {
            objects.sort_unstable();
            objects.dedup();
        }
    }
    (in_workloads, in_sources)
}

/// The objects that [`WORKLOADS`] and [`SOURCES`] describe.
fn objects() -> (Vec<Deployment>, Vec<ConfigMap>) {
    let workload = |(name, annotations): &(&str, &[Pair])| {
        deployment(name, annotations, &pod_with_config_map("settings"))
    };
    let source = |(name, annotations, labels): &(&str, &[Pair], &[Pair])| {
        let metadata = json!({ "name": name, "annotations": pairs(annotations), "labels": pairs(labels) });
        from(json!({ "metadata": metadata, "data": { "key": "0" } }))
    };
    (
        WORKLOADS.iter().map(workload).collect(),
        SOURCES.iter().map(source).collect(),
    )
}

/// What `lint` finds in the same objects, as files have them: in workloads, in sources. A controller says of a name that nothing has it
/// after a minute only.
fn linted() -> (Found, Found) {
    let (workloads, sources) = objects();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": workloads.iter().map(|object| json!(object))
        .chain(sources.iter().map(|object| json!(object))).collect::<Vec<_>>() });
    std::io::Write::write_all(&mut file, list.to_string().as_bytes()).expect("it is written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reloader"))
        .args(["lint", "--output=json", "--filename"])
        .arg(file.path())
        .output()
        .expect("it runs");
    let rows: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().expect("text").to_owned();
    let (mut in_workloads, mut in_sources) = (Found::new(), Found::new());
    for row in rows.iter().filter(|row| row["reason"] != "missing-source") {
        let found = match &*text(row, "kind") {
            "Deployment" => &mut in_workloads,
            _ => &mut in_sources,
        };
        found
            .entry(text(row, "reason"))
            .or_default()
            .push(text(row, "name"));
    }
    for names in in_workloads.values_mut().chain(in_sources.values_mut()) {
        names.sort_unstable();
        names.dedup();
    }
    (in_workloads, in_sources)
}

impl World {
    /// What the endpoint's explanations of these workloads find.
    async fn explained(&self, controller: &Controller) -> Found {
        let mut found = Found::new();
        for (name, _) in WORKLOADS {
            let path = format!("/v1/workloads/deployment/{}/{name}", self.namespace);
            let explanation: Explanation = controller.answer(&path).await;
            for finding in explanation.findings {
                found.entry(finding.reason).or_default().push(name.to_owned());
            }
        }
        for names in found.values_mut() {
            names.sort_unstable();
            names.dedup();
        }
        found
    }

    /// Every Event about a mistake.
    async fn warnings(&self) -> Vec<Event> {
        let about = ListParams::default().fields(&format!("reason={REASON}"));
        self.api::<Event>().list(&about).await.expect("Events").items
    }

    /// Requests to create Events, with their answers' codes.
    fn events_created(&self) -> Vec<u16> {
        let entries = self.plane.audit().matching(|entry: &Entry| {
            entry.resource == "events"
                && entry.verb == "create"
                && entry.namespace == self.namespace
                && entry.stage == Stage::ResponseComplete
        });
        let entries = entries.expect("the audit log");
        entries.iter().map(|entry| entry.code).collect()
    }

    async fn annotate(&self, name: &str, annotations: serde_json::Value) {
        let body = json!({ "metadata": { "annotations": annotations } });
        self.api::<Deployment>()
            .patch(name, &PatchParams::default(), &Patch::Merge(body))
            .await
            .expect("the Deployment changes");
    }
}

/// The reasons that Events name, as [`Found`].
fn reasons(events: &[Event], kind: &str) -> Found {
    let mut found = Found::new();
    for event in events {
        if event.involved_object.kind.as_deref() != Some(kind) {
            continue;
        }
        let message = event.message.as_deref().expect("a message");
        let (_, end) = message.rsplit_once(" (").expect("a reason");
        let (reason, _) = end.split_once(':').expect("a reason");
        let objects: &mut Vec<String> = found.entry(reason.to_owned()).or_default();
        objects.push(event.involved_object.name.clone().expect("a name"));
        objects.sort_unstable();
        objects.dedup();
    }
    found
}

async fn wait_for_gauge(controller: &Controller, gauge: &str, found: &Found) {
    let series: Vec<(String, f64)> = found
        .iter()
        .map(|(reason, objects)| {
            let count = f64::from(u32::try_from(objects.len()).expect("a few"));
            (format!("{gauge}{{reason=\"{reason}\"}}"), count)
        })
        .collect();
    let wanted: Vec<(&str, f64)> = series
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    controller.wait_metrics(&wanted).await;
}

#[test]
fn lint_events_gauges_and_explain_find_what_the_checker_finds() {
    run(async {
        let world = World::new("mistakes").await;
        let (in_workloads, in_sources) = expected();
        // The same in files, beforehand.
        assert_eq!(linted(), (in_workloads.clone(), in_sources.clone()));
        let (workloads, sources) = objects();
        for object in &sources {
            world.create(object).await;
        }
        for object in &workloads {
            world.create(object).await;
        }
        let controller = world.controller().start().await;

        wait_for_gauge(&controller, "reloader_misconfigured_workloads", &in_workloads).await;
        wait_for_gauge(&controller, "reloader_misconfigured_sources", &in_sources).await;
        let said = eventually(PATIENCE, "an Event for each mistake", async || {
            let events = world.warnings().await;
            let said = (reasons(&events, "Deployment"), reasons(&events, "ConfigMap"));
            if said == (in_workloads.clone(), in_sources.clone()) {
                Ok(Some(events))
            } else {
                Err(format!("{said:#?}"))
            }
        });
        let events = said.await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(world.explained(&controller).await, in_workloads);
        for event in &events {
            assert_eq!((event.type_.as_deref(), event.count), (Some("Warning"), Some(1)));
            assert_eq!(event.action.as_deref(), Some("Check"));
            assert!(event.involved_object.uid.is_some() && event.event_time.is_some());
        }
        let opted_in = controller
            .metric("reloader_opted_in_workloads{kind=\"Deployment\"}")
            .await;
        assert!(opted_in >= 2.0, "{opted_in}");

        // All are corrected, one is made worse.
        let gone: BTreeMap<&str, Option<&str>> = WORKLOADS
            .iter()
            .flat_map(|(_, annotations)| annotations.iter().map(|(key, _)| (*key, None)))
            .collect();
        for (name, _) in &WORKLOADS[2..] {
            world.annotate(name, json!(gone)).await;
        }
        world
            .annotate(
                "unknown",
                json!({ "reloader.stakater.com/configmap": "settings" }),
            )
            .await;
        let cleared: Found = in_workloads
            .keys()
            .map(|reason| {
                let left = if reason == "unknown-key" {
                    vec!["unknown".to_owned()]
                } else {
                    Vec::new()
                };
                (reason.clone(), left)
            })
            .collect();
        wait_for_gauge(&controller, "reloader_misconfigured_workloads", &cleared).await;
        world.wait_for_events("unknown", REASON, 2).await;
    });
}

#[test]
fn neither_another_leader_nor_another_process_repeats_a_mistake() {
    run(async {
        let world = World::new("repeated").await;
        world.create(&config_map("settings", "0")).await;
        let pod = pod_with_config_map("settings");
        world.create(&deployment("first", &UNKNOWN, &pod)).await;
        let mut fleet = Fleet::start(&world, &SHORT_LEASE).await;
        world.wait_for_events("first", REASON, 1).await;
        let is_counted = ("reloader_misconfigured_workloads{reason=\"unknown-key\"}", 1.0);
        for replica in fleet.replicas() {
            replica.wait_metrics(&[is_counted]).await;
        }

        let leader = fleet.take_leader().await;
        leader.replica.kill();
        fleet.leader().await;
        // What it says first is said in order of the names.
        world.create(&deployment("second", &UNKNOWN, &pod)).await;
        world.wait_for_events("second", REASON, 1).await;
        drop(fleet);
        let controller = world.controller().start().await;
        world.create(&deployment("third", &UNKNOWN, &pod)).await;
        world.wait_for_events("third", REASON, 1).await;
        controller
            .wait_metrics(&[(
                "reloader_notifications_total{channel=\"event\",result=\"success\"}",
                3.0,
            )])
            .await;

        for name in ["first", "second", "third"] {
            let events = world.events(name, REASON).await;
            let counts: Vec<_> = events.iter().map(|event| event.count).collect();
            assert_eq!(counts, [Some(1)], "{name}");
        }
        // Each leader asked, and was answered that it is there.
        let repeated = world.events_created().into_iter().filter(|code| *code == 409);
        assert_eq!(repeated.count(), 3);
    });
}

#[test]
fn very_many_mistakes_cost_few_requests_and_all_are_counted() {
    const MANY: u32 = 500;
    run(async {
        let world = World::new("many").await;
        world.create(&config_map("settings", "0")).await;
        let pod = pod_with_config_map("settings");
        stream::iter(0..MANY)
            .for_each_concurrent(16, async |number| {
                let name = format!("web-{number}");
                world.create(&deployment(&name, &UNKNOWN, &pod)).await;
            })
            .await;
        let controller = world.controller().start().await;
        controller
            .wait_metric(
                "reloader_misconfigured_workloads{reason=\"unknown-key\"}",
                f64::from(MANY),
            )
            .await;
        let line = format!("more objects in namespace '{}' have mistakes", world.namespace);
        controller.wait_log(&line).await;
        // Any further one would be written before this one.
        controller
            .wait_metrics(&[(
                "reloader_notifications_total{channel=\"event\",result=\"success\"}",
                20.0,
            )])
            .await;
        world.create(&secret("last", "0")).await;
        world.create(&deployment("last", &UNKNOWN, &pod)).await;
        controller
            .wait_metric(
                "reloader_misconfigured_workloads{reason=\"unknown-key\"}",
                f64::from(MANY + 1),
            )
            .await;
        assert_eq!(world.events_created().len(), BOUND);
        assert_eq!(world.warnings().await.len(), BOUND);
        let log = controller.replica.log();
        assert_eq!(log.matches(&line).count(), 1);
        assert!(log.matches("reloader.stakater.com/reload is unknown").count() <= BOUND);
    });
}

#[test]
fn a_source_that_does_not_exist_is_said_after_a_minute() {
    run(async {
        let world = World::new("missing").await;
        world.create(&config_map("settings", "0")).await;
        let controller = world.controller().start().await;
        let begun = Timestamp::now();
        world
            .create(&deployment(
                "web",
                &[(SECRETS, "token"), (CONFIGMAPS, "settings,other-.*")],
                &pod_with_config_map("settings"),
            ))
            .await;
        let events = eventually(MISSING, "the Event", async || -> Result<_, String> {
            let events = world.events("web", REASON).await;
            Ok((!events.is_empty()).then_some(events))
        });
        let events = events.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(Timestamp::now().duration_since(begun).as_secs() >= 59);
        assert_eq!(events.len(), 1);
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(message.contains("there is no Secret 'token'"), "{message}");
        let missing = "reloader_misconfigured_workloads{reason=\"missing-source\"}";
        controller.wait_metric(missing, 1.0).await;
        world.create::<Secret>(&secret("token", "0")).await;
        controller.wait_metric(missing, 0.0).await;
    });
}
