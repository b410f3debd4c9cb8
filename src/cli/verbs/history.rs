//! `history`: the restarts of a workload that Reloader made.
//!
//! Input: a workload's name. Output: a [`History`]. I/O: asks the API server.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::{
    cluster::{Cluster, within},
    controller::Controller,
    error::VerbError,
    objects::{Objects, ReadWorkload, pages},
    question, table,
};
use crate::{
    api_error::ApiError,
    args::{HistoryArgs, Output},
    cli::exit::Exit,
    explain::{self, History, ObjectName, Revision},
    model::WorkloadKind,
};

/// The annotations by which ReplicaSets are numbered: a Deployment's and a Rollout's.
const NUMBERS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "rollout.argoproj.io/revision",
];

pub(super) async fn run(args: &HistoryArgs) -> Result<(String, Exit), VerbError> {
    let (kind, name) = question::workload(&args.object)?;
    let cluster = Cluster::connect(&args.object.cluster).await?;
    let Some(client) = cluster.client() else {
        return Err(VerbError::NoCluster(
            "history reads objects, and --endpoint leads to none".to_owned(),
        ));
    };
    let controller = Controller::look_for(&cluster, &args.object.cluster).await?;
    let objects = Objects::new(client, cluster.namespace(), &controller.found().settings);
    let read = objects.workload(kind, &name).await?;
    let revisions = match kind {
        WorkloadKind::Deployment | WorkloadKind::Rollout => replica_sets(client, &cluster, &read).await,
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
            controller_revisions(client, &cluster, &read).await
        }
        _ => {
            return Err(VerbError::NoAnswer(format!(
                "{kind}s keep no earlier pod templates: the Events and the log of Reloader show their restarts"
            )));
        }
    };
    let revisions = revisions.map_err(|error| VerbError::Api {
        what: format!("the revisions of {kind} {}/{name}", cluster.namespace()),
        error,
    })?;
    let mut candidates = read
        .workload
        .as_ref()
        .map(explain::candidates)
        .unwrap_or_default();
    candidates.extend(read.uses.keys().cloned());
    let workload = ObjectName {
        kind: kind.to_string(),
        namespace: cluster.namespace().to_owned(),
        name,
    };
    let history = explain::history(workload, &candidates, revisions);
    let structured = table::structured(args.object.output, &history)?;
    let is_wide = args.object.output == Output::Wide;
    Ok((
        structured.unwrap_or_else(|| text(&history, is_wide)),
        Exit::Success,
    ))
}

/// Selects by the workload's own labels, and is owned by it.
fn selector(read: &ReadWorkload) -> ListParams {
    let labels = read.value["spec"]["selector"]["matchLabels"].as_object();
    let pairs = labels.into_iter().flatten();
    let pairs: Vec<String> = pairs
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    ListParams::default().labels(&pairs.join(","))
}

fn is_owned(object: &impl kube::ResourceExt, read: &ReadWorkload) -> bool {
    let uid = read.value["metadata"]["uid"].as_str().unwrap_or_default();
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

async fn replica_sets(
    client: &Client,
    cluster: &Cluster,
    read: &ReadWorkload,
) -> Result<Vec<Revision>, ApiError> {
    let api = Api::<ReplicaSet>::namespaced(client.clone(), cluster.namespace());
    let labels = selector(read).label_selector.unwrap_or_default();
    let sets = pages(async |params: ListParams| within(api.list(&params.labels(&labels))).await).await?;
    let owned = sets.into_iter().filter(|set| is_owned(set, read));
    let revision = |set: ReplicaSet| {
        let number = NUMBERS
            .iter()
            .find_map(|key| set.annotations().get(*key)?.parse().ok());
        let template = set.spec.template.as_ref();
        Some(Revision {
            number: number?,
            at: set.creation_timestamp().map(|time| time.0),
            template: serde_json::to_value(template?).ok()?,
        })
    };
    Ok(owned.filter_map(revision).collect())
}

async fn controller_revisions(
    client: &Client,
    cluster: &Cluster,
    read: &ReadWorkload,
) -> Result<Vec<Revision>, ApiError> {
    let api = Api::<ControllerRevision>::namespaced(client.clone(), cluster.namespace());
    let labels = selector(read).label_selector.unwrap_or_default();
    let all = pages(async |params: ListParams| within(api.list(&params.labels(&labels))).await).await?;
    let owned = all.into_iter().filter(|revision| is_owned(revision, read));
    let revision = |revision: ControllerRevision| Revision {
        number: revision.revision.unwrap_or(0),
        at: revision.creation_timestamp().map(|time| time.0),
        template: revision.data.0["spec"]["template"].clone(),
    };
    Ok(owned.map(revision).collect())
}

fn text(history: &History, is_wide: bool) -> String {
    if history.restarts.is_empty() {
        return format!(
            "{}: none of its {} kept revisions shows a restart by Reloader\n",
            history.workload, history.revisions
        );
    }
    let rows: Vec<Vec<String>> = history
        .restarts
        .iter()
        .map(|restart| {
            let at = restart.at.map(|at| {
                let before = if restart.or_before { " or before" } else { "" };
                format!("{}{before}", table::time(at))
            });
            let mut cells = vec![
                restart.revision.to_string(),
                at.unwrap_or_else(|| "unknown".to_owned()),
                restart
                    .source
                    .as_ref()
                    .map_or_else(|| restart.place.clone(), ToString::to_string),
                table::or_dash(restart.digest.as_ref()),
            ];
            if is_wide {
                cells.push(restart.place.clone());
            }
            cells
        })
        .collect();
    let mut headings = vec!["REVISION", "AT", "SOURCE", "DIGEST"];
    if is_wide {
        headings.push("MARKER");
    }
    table::table(&headings, &rows)
}
