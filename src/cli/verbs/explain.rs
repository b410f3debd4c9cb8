//! `explain`: why a workload restarts or not.
//!
//! Input: a workload's name. Output: an [`Explanation`]. I/O: asks replicas and the API server; prints why no replica was asked.

use jiff::Timestamp;
use kube::Client;

use super::{
    cluster::Cluster, controller::Controller, error::VerbError, explain_text::text, objects::Objects,
    question, table,
};
use crate::{
    args::ExplainArgs,
    cli::exit::Exit,
    explain::{self, Asked, Explanation, SourceAnswer, Verdict},
    model::WorkloadKind,
};

pub(super) async fn run(args: &ExplainArgs) -> Result<(String, Exit), VerbError> {
    let (kind, name) = question::workload(&args.object)?;
    let cluster = Cluster::connect(&args.object.cluster).await?;
    let controller = Controller::look_for(&cluster, &args.object.cluster).await?;
    let path = format!("/v1/workloads/{}/{}/{name}", kind.resource(), cluster.namespace());
    let is_leaders = |answer: &Explanation| answer.replica.as_ref().is_some_and(|replica| replica.leads);
    let asked: Result<Explanation, String> = controller.ask(&path, is_leaders).await;
    let own = match cluster.client() {
        Some(client) => Some(of_objects(client, &cluster, &controller, kind, &name).await),
        None => None,
    };
    let explanation = match (asked, own) {
        (Ok(asked), Some(Ok(own))) => merge(asked, own, controller.found().settings.are_known()),
        (Ok(asked), _) => asked,
        (Err(why), Some(own)) => {
            Controller::say_without(&why);
            own?
        }
        (Err(why), None) => return Err(VerbError::NoAnswer(why)),
    };
    let exit = exit(&explanation);
    let structured = table::structured(args.object.output, &explanation)?;
    Ok((structured.unwrap_or_else(|| text(&explanation)), exit))
}

/// No source restarts it; what is unknown may.
fn exit(explanation: &Explanation) -> Exit {
    let is_refused = |verdict| verdict == Verdict::Refused;
    if explanation
        .sources
        .iter()
        .all(|source| is_refused(source.verdict))
    {
        Exit::No
    } else {
        Exit::Success
    }
}

/// The answer that the objects give, with "unknown" where only a replica knows.
async fn of_objects(
    client: &Client,
    cluster: &Cluster,
    controller: &Controller,
    kind: WorkloadKind,
    name: &str,
) -> Result<Explanation, VerbError> {
    let settings = &controller.found().settings;
    let objects = Objects::new(client, cluster.namespace(), settings);
    let read = objects.workload(kind, name).await?;
    let (sources, notes) = objects.sources_of(&read).await;
    let findings = objects.findings(&read, &sources);
    let Some(workload) = &read.workload else {
        return Err(VerbError::NoAnswer(format!(
            "{kind} {}/{name} is none of Reloader's: it is being deleted, or a Job that has ended or that another \
             controller owns",
            cluster.namespace()
        )));
    };
    let mut explanation = explain::explain(Asked {
        workload,
        uses: &read.uses,
        sources,
        flags: settings.flags(),
        scope: &settings.scope(cluster.namespace()),
        findings,
        notes,
        replica: None,
        now: Timestamp::now(),
    });
    if let Some(reason) = settings.left_out(kind) {
        refuse(&mut explanation, &reason);
    }
    Ok(explanation)
}

/// No source restarts it, whatever its annotations say.
fn refuse(explanation: &mut Explanation, reason: &str) {
    let others = |source: &&mut SourceAnswer| source.verdict != Verdict::Refused;
    for source in explanation.sources.iter_mut().filter(others) {
        source.verdict = Verdict::Refused;
        reason.clone_into(&mut source.because);
        source.next = format!("Nothing: {reason}");
    }
}

/// A replica's answer, with what objects show beyond it: the names of variables, field managers, mistakes. Of a workload
/// that opts into nothing a replica keeps no pod template, and the objects show more. Where the settings are not known here,
/// the replica alone knows how annotations are called: what is a mistake, and what would opt in.
fn merge(asked: Explanation, own: Explanation, knows_settings: bool) -> Explanation {
    if !asked.opted_in && !own.opted_in {
        let (findings, notes) = if knows_settings {
            (own.findings, own.notes)
        } else {
            (asked.findings, asked.notes)
        };
        return Explanation {
            replica: asked.replica,
            restart: asked.restart,
            findings,
            notes,
            ..own
        };
    }
    let mut merged = asked;
    for source in &mut merged.sources {
        let Some(own) = own.sources.iter().find(|own| own.source == source.source) else {
            continue;
        };
        if !own.used_by.is_empty() {
            source.used_by.clone_from(&own.used_by);
        }
        source.changed_at = source.changed_at.or(own.changed_at);
        source.changed_by = source.changed_by.take().or_else(|| own.changed_by.clone());
    }
    if knows_settings {
        let is_new = |key: &str| !own.findings.iter().any(|finding| finding.key == key);
        merged.findings.retain(|finding| is_new(&finding.key));
        merged.findings.extend(own.findings);
    }
    merged
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn explanation(opted_in: bool, key: &str) -> Explanation {
        serde_json::from_value(json!({
            "version": "v1",
            "workload": { "kind": "Deployment", "namespace": "shop", "name": "web" },
            "uid": "u", "optedIn": opted_in, "restart": "Writes the digest",
            "sources": [
                {
                    "kind": "ConfigMap", "name": "app", "usedBy": [key], "verdict": "restarts", "rule": "auto",
                    "because": "it is asked for", "inTemplate": [], "owes": "unknown", "next": "It restarts",
                },
                {
                    "kind": "ConfigMap", "name": "quiet", "usedBy": [], "verdict": "refused", "rule": "ignored",
                    "because": "it is ignored", "inTemplate": [], "owes": "unknown", "next": "Nothing",
                },
            ],
            "findings": [{ "reason": "unknown-key", "key": key, "message": "it is unknown" }],
            "notes": [],
        }))
        .unwrap()
    }

    #[rstest]
    #[case::known(true, true, &["replicas", "objects"])]
    #[case::unknown(true, false, &["replicas"])]
    #[case::known_and_not_opted_in(false, true, &["objects"])]
    #[case::unknown_and_not_opted_in(false, false, &["replicas"])]
    fn where_settings_are_unknown_the_replica_alone_knows_mistakes(
        #[case] opted_in: bool,
        #[case] knows_settings: bool,
        #[case] keys: &[&str],
    ) {
        let (asked, own) = (
            explanation(opted_in, "replicas"),
            explanation(opted_in, "objects"),
        );
        let merged = merge(asked, own, knows_settings);
        let found: Vec<&str> = merged.findings.iter().map(|finding| &*finding.key).collect();
        assert_eq!(found, keys);
        assert_eq!(merged.sources[0].used_by, ["objects"]);
    }

    #[test]
    fn what_settings_rule_out_is_refused_with_the_reason() {
        let mut explanation = explanation(true, "k");
        refuse(&mut explanation, "webhook mode");
        assert_eq!(exit(&explanation), Exit::No);
        let sources = &explanation.sources;
        assert_eq!(
            (&*sources[0].because, &*sources[0].next),
            ("webhook mode", "Nothing: webhook mode")
        );
        assert_eq!(sources[1].because, "it is ignored");
    }
}
