//! `simulate`: which workloads would restart if a source changed now, and which of them at once.
//!
//! Input: a source's name. Output: a [`Simulation`]. I/O: asks replicas and the API server; prints why no replica was asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::Client;

use super::{
    cluster::Cluster,
    controller::Controller,
    error::VerbError,
    objects::{Objects, ReadWorkload, reason},
    question,
    simulate_text::text,
    table,
};
use crate::{
    args::{Output, SimulateArgs},
    cli::{exit::Exit, kinds::workload_kinds},
    explain::{self, Left, Simulation, SourceFacts, Verdict},
    model::{SourceRef, WorkloadKind},
};

pub(super) async fn run(args: &SimulateArgs) -> Result<(String, Exit), VerbError> {
    let source = question::source(&args.object)?;
    let kinds = workload_kinds(&args.object.workload_kind)
        .map_err(|error| VerbError::Usage(format!("--workload-kind: {error}")))?;
    let cluster = Cluster::connect(&args.object.cluster).await?;
    let controller = Controller::look_for(&cluster, &args.object.cluster).await?;
    let kind = source.kind.as_str().to_ascii_lowercase();
    let path = format!("/v1/sources/{kind}/{}/{}", cluster.namespace(), source.name);
    let simulation = match (
        controller.ask(&path, |_: &Simulation| true).await,
        cluster.client(),
    ) {
        (Ok(simulation), _) => simulation,
        (Err(why), Some(client)) => {
            Controller::say_without(&why);
            of_objects(client, &cluster, &controller, &source, &kinds).await?
        }
        (Err(why), None) => return Err(VerbError::NoAnswer(why)),
    };
    let exit = if simulation.restarts.is_empty() {
        Exit::No
    } else {
        Exit::Success
    };
    let structured = table::structured(args.object.output, &simulation)?;
    let is_wide = args.object.output == Output::Wide;
    Ok((structured.unwrap_or_else(|| text(&simulation, is_wide)), exit))
}

async fn of_objects(
    client: &Client,
    cluster: &Cluster,
    controller: &Controller,
    source: &SourceRef,
    kinds: &[WorkloadKind],
) -> Result<Simulation, VerbError> {
    let settings = &controller.found().settings;
    let objects = Objects::new(client, cluster.namespace(), settings);
    let facts = match objects.source(source).await {
        Ok(facts) => facts,
        Err(error) => {
            eprintln!(
                "Its annotations are unknown: {}",
                table::printable(&reason(&error))
            );
            SourceFacts::unknown(source.clone())
        }
    };
    let scope = settings.scope(cluster.namespace());
    for note in &scope.notes {
        eprintln!("{}", table::printable(note));
    }
    let (mut read, mut last) = (Vec::new(), None);
    let mut left_out: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        let refusal = settings.left_out(*kind);
        match objects.workloads(*kind).await {
            Ok(workloads) => read.push((refusal, workloads)),
            // The kind is not installed, or none of it would restart.
            Err(error) if error.is_not_found() || refusal.is_some() => {}
            Err(error) => {
                left_out.entry(reason(&error)).or_default().push(kind.plural());
                last = Some(error);
            }
        }
    }
    for (why, kinds) in left_out {
        eprintln!(
            "{}",
            table::printable(&format!("left out: {why}: {}", kinds.join(", ")))
        );
    }
    if let (true, Some(error)) = (read.is_empty(), last) {
        return Err(VerbError::Api {
            what: format!("the workloads of namespace {}", cluster.namespace()),
            error,
        });
    }
    let now = Timestamp::now();
    let simulate = |read: &[ReadWorkload]| {
        let concerned = read.iter().filter(|read| concerns(read, source));
        explain::simulate(
            cluster.namespace(),
            &facts,
            concerned.filter_map(|read| read.workload.as_ref()),
            settings.flags(),
            &scope,
            now,
        )
    };
    let mut restarted = Vec::new();
    let mut refused = Vec::new();
    for (refusal, workloads) in read {
        match refusal {
            None => restarted.extend(workloads),
            Some(reason) => refused.push((reason, simulate(&workloads))),
        }
    }
    let mut simulation = simulate(&restarted);
    for (reason, of_kind) in refused {
        refuse(&mut simulation, of_kind, &reason);
    }
    Ok(simulation)
}

/// Adds workloads of which none restarts, whatever their annotations say.
fn refuse(simulation: &mut Simulation, of_kind: Simulation, reason: &str) {
    let restarts = of_kind.restarts.into_iter().map(|row| Left {
        workload: row.workload,
        verdict: Verdict::Refused,
        rule: row.rule,
        because: reason.to_owned(),
    });
    let left = of_kind.left.into_iter().map(|row| match row.verdict {
        Verdict::Unknown => Left {
            verdict: Verdict::Refused,
            because: reason.to_owned(),
            ..row
        },
        Verdict::Restarts | Verdict::Refused => row,
    });
    simulation.left.extend(restarts.chain(left));
    simulation
        .left
        .sort_by(|one, other| one.workload.cmp(&other.workload));
    simulation.left_left_off += of_kind.restarts_left_off + of_kind.left_left_off;
}

fn concerns(read: &ReadWorkload, source: &SourceRef) -> bool {
    let lists = read
        .workload
        .as_ref()
        .is_some_and(|workload| explain::lists(workload, source));
    lists || read.uses.contains_key(source)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn simulation(kind: &str) -> Simulation {
        let name = |name: &str| json!({ "kind": kind, "namespace": "shop", "name": name });
        serde_json::from_value(json!({
            "version": "v1",
            "source": { "kind": "ConfigMap", "namespace": "shop", "name": "app" },
            "restarts": [{ "workload": name("web"), "rule": "auto", "restart": "Writes the digest" }],
            "restartsLeftOff": 2,
            "left": [
                { "workload": name("off"), "verdict": "refused", "rule": "off", "because": "it says no" },
                { "workload": name("or"), "verdict": "unknown", "rule": "searched", "because": "it may" },
            ],
            "leftLeftOff": 1,
            "order": "any",
        }))
        .unwrap()
    }

    #[test]
    fn kinds_that_settings_rule_out_do_not_restart() {
        let mut all = simulation("Deployment");
        refuse(&mut all, simulation("Rollout"), "no Rollouts");
        assert_eq!(
            (all.restarts.len(), all.restarts_left_off, all.left_left_off),
            (1, 2, 4)
        );
        let rollouts: Vec<_> = all
            .left
            .iter()
            .filter(|row| row.workload.kind == "Rollout")
            .map(|row| (&*row.workload.name, row.verdict, &*row.because))
            .collect();
        assert_eq!(
            rollouts,
            [
                ("off", Verdict::Refused, "it says no"),
                ("or", Verdict::Refused, "no Rollouts"),
                ("web", Verdict::Refused, "no Rollouts"),
            ]
        );
    }
}
