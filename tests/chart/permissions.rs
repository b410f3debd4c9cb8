//! RBAC by mode, in both directions, on a real API server: under the permissions that the chart grants for a mode the program
//! does everything the mode is for and is refused nothing; and each single permission is there for a request it sends.

mod documented;
mod grants;
mod missing;
mod mode;
mod workloads;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rstest::rstest;
use serde_json::json;
use testbed::{Answer, Receiver, Replica, binaries::Component, eventually};

use crate::helm::{profiles, render};
use grants::{granted, without_use};
use mode::{Mode, PATIENCE, run};
use workloads::{restarted, restarts, sources};

/// A test for each, and their list.
macro_rules! each_mode {
    ($($name:ident $profile:literal)*) => {
        /// Profiles of `charts/reloader/ci`.
        const PROFILES: &[&str] = &[$($profile),*];

        #[rstest]
        $(#[case::$name($profile)])*
        fn each_mode_has_exactly_the_permissions_it_needs(#[case] profile: &str) {
            run(exercise(profile));
        }
    };
}

each_mode! {
    default "default"
    single_namespace "single-namespace"
    namespace_list "namespace-list"
    namespace_selector "namespace-selector"
    no_jobs "no-jobs"
    jobs_only "jobs-only"
    cron_jobs_only "cron-jobs-only"
    no_leader_election "no-leader-election"
    other_lease "limits"
    webhook "webhook"
    csi "csi"
    argo_rollouts "argo-rollouts"
    custom_kinds "custom-kinds"
    everything "upstream-everything"
}

/// Everything a mode does: two replicas one after the other, and each workload restarted twice.
async fn exercise(profile: &str) {
    let receiver = Receiver::start(|_| Answer::status("200 OK")).await.unwrap();
    let url = format!("reloader.webhookUrl={}", receiver.url("/"));
    let posts = profile == "webhook";
    let further: &[&str] = if posts { &["--set", &url] } else { &[] };
    let mode = Mode::of(profile, further).await;
    assert_eq!(mode.config.webhook.is_some(), posts);
    mode.provoke();

    let first = mode.start("reloader-0").await;
    published(&mode).await;
    // As an upgrade that changes settings finds it.
    let maps = Api::<ConfigMap>::namespaced(mode.client.clone(), &mode.own);
    let stale = Patch::Merge(json!({ "data": { "buildInfo": "{}" } }));
    maps.patch("reloader-meta-info", &PatchParams::default(), &stale)
        .await
        .unwrap();
    let second = if mode.config.lease.is_some() {
        let second = mode.start("reloader-1").await;
        end(&first).await;
        second
    } else {
        end(&first).await;
        mode.start("reloader-1").await
    };
    for round in 1..=2 {
        restart_all(&mode, &receiver, &second, round).await;
    }
    judge(&mode, &second).await;
}

/// Changes every source and waits until every workload has been restarted for it.
async fn restart_all(mode: &Mode, receiver: &Receiver, replica: &Replica, round: usize) {
    for namespace in &mode.namespaces {
        for source in sources(&mode.config, namespace, round) {
            mode.apply(&source).await;
        }
    }
    let restarted = eventually(PATIENCE, "restarts", async || {
        match behind(mode, receiver, round) {
            behind if behind.is_empty() => Ok(Some(())),
            behind => Err(format!("not restarted {round} times: {behind:?}")),
        }
    });
    restarted.await.unwrap_or_else(|error| {
        panic!("{}\nrefused: {:#?}\n{error}", replica.log(), mode.refused());
    });
}

/// Ends the replica and holds what was granted against what was asked for: a permission that is not used is too much, and so
/// each of the others breaks this test when it is gone, since the request that only it allows is refused then.
async fn judge(mode: &Mode, replica: &Replica) {
    let used = eventually(PATIENCE, "each permission to be used", async || {
        let unused = without_use(&mode.grants, &mode.requests());
        let unused: Vec<String> = unused.iter().map(ToString::to_string).collect();
        if unused.is_empty() {
            Ok(Some(()))
        } else {
            Err(format!("granted and never used: {unused:#?}"))
        }
    });
    let used = used.await;
    end(replica).await;
    assert_eq!(mode.refused(), Vec::<String>::new(), "asked for, and not granted");
    used.unwrap();
}

/// Waits until the first leader has written down what there is, which it takes for settled.
async fn published(mode: &Mode) {
    let maps = Api::<ConfigMap>::namespaced(mode.client.clone(), &mode.own);
    let ledger = mode
        .config
        .ledger
        .as_ref()
        .filter(|_| mode.config.webhook.is_none());
    let ledger = ledger.map(|ledger| ledger.name.as_str());
    for name in ["reloader-meta-info"].into_iter().chain(ledger) {
        let written = eventually(PATIENCE, name, async || {
            maps.get_opt(name).await.map(|map| map.map(drop))
        });
        written.await.unwrap();
    }
}

/// What was not restarted, or posted, that often yet.
fn behind(mode: &Mode, receiver: &Receiver, round: usize) -> Vec<String> {
    let requests = mode.requests();
    let mut behind = Vec::new();
    for namespace in &mode.namespaces {
        for kind in restarted(&mode.config) {
            if restarts(kind, namespace, &requests) < round {
                behind.push(format!("{kind} in {namespace}"));
            }
        }
    }
    // Two sources.
    if mode.config.webhook.is_some() && receiver.received().len() < 2 * round {
        behind.push("posts".to_owned());
    }
    behind
}

async fn end(replica: &Replica) {
    replica.terminate().unwrap();
    let status = replica.wait_exit(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}: {}", replica.log());
}

/// A profile with permissions that no other has needs a case of its own.
#[test]
fn every_combination_of_permissions_is_tested() {
    let permissions = |path: &str| granted(&render(Component::Helm, &["--values", path]));
    let name = |path: &str| {
        let file = path.rsplit('/').next().unwrap();
        file.strip_suffix("-values.yaml").unwrap().to_owned()
    };
    let (tried, others): (Vec<_>, Vec<_>) = profiles()
        .into_iter()
        .map(|path| (name(&path), permissions(&path)))
        .partition(|(profile, _)| PROFILES.contains(&profile.as_str()));
    assert_eq!(tried.len(), PROFILES.len());
    for (profile, permissions) in others {
        // What other manifests grant cannot be judged here.
        let is_tried = permissions.is_empty() || tried.iter().any(|(_, other)| *other == permissions);
        assert!(
            is_tried,
            "{profile} has permissions that no case of this file tries"
        );
    }
}
