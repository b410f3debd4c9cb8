//! How many requests a restart costs.

use std::collections::{BTreeMap, HashSet};

use rstest::rstest;
use testbed::Entry;

use crate::harness::{
    World,
    kinds::is_discovery,
    ledger::is_ledger,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
};

const APPS: usize = 10;

/// What the controller sent, by verb and resource. Its ledger is left out, which is written once for many restarts, and
/// so are watches that were opened again and the question whether the cluster has DeploymentConfigs.
fn requests(world: &World, seen: &HashSet<String>) -> BTreeMap<(String, String), usize> {
    // A new leader looks once for Jobs whose recreation was interrupted.
    let is_takeover = |entry: &Entry| entry.resource == "jobs" && entry.uri.contains("labelSelector=");
    let entries = world.plane.audit().matching(|entry| {
        entry.user == world.user()
            && !seen.contains(&entry.audit_id)
            && entry.verb != "watch"
            && !is_ledger(entry)
            && !is_takeover(entry)
            && !is_discovery(entry)
    });
    let mut counts = BTreeMap::new();
    for entry in entries.expect("the audit log") {
        *counts
            .entry((entry.verb.clone(), entry.full_resource()))
            .or_default() += 1;
    }
    counts
}

#[rstest]
fn a_restart_costs_one_patch_and_one_event(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let world = World::new("request-count").await;
        let apps: Vec<String> = (0..APPS).map(|number| format!("app-{number}")).collect();
        for app in &apps {
            world.create(&config_map(app, "0")).await;
            world
                .create(&deployment(app, &AUTO, &pod_with_config_map(app)))
                .await;
        }
        let controller = world.controller().arg(strategy).start().await;
        world.wait_for_ledger(APPS).await;
        let entries = world.plane.audit().matching(|entry| entry.user == world.user());
        let seen = entries.expect("the audit log");
        let seen = seen.iter().map(|entry| entry.audit_id.clone()).collect();

        for app in &apps {
            world.change_config_map(app, "1").await;
        }
        for app in &apps {
            world.wait_for_rollouts("deployments", app, 1).await;
            world.wait_for_events(app, "Reloaded", 1).await;
        }
        controller.wait_idle().await;
        let expected = [
            (("create".to_owned(), "events".to_owned()), APPS),
            (("patch".to_owned(), "deployments".to_owned()), APPS),
        ];
        assert_eq!(requests(&world, &seen), BTreeMap::from(expected));
    });
}
