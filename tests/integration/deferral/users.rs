//! Many Deployments that use one Secret, and how far their restarts are.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use testbed::eventually;

use super::annotate;
use crate::harness::{
    PATIENCE, World,
    controller::Controller,
    objects::{deployment, secret},
    observe::{AUTO, pod_with},
    rollouts::Rollouts,
};

/// Deployments that use the Secret.
pub(super) const USERS: usize = 20;
/// How long their pods take to get ready.
pub(super) const TAKES: Duration = Duration::from_millis(300);

pub(super) fn user(number: usize) -> String {
    format!("web-{number:02}")
}

/// A Secret `shared` with these annotations, and so many Deployments that use it; their statuses are played.
pub(super) async fn create_users(
    world: &World,
    limits: &[(&str, &str)],
    users: usize,
    sick: &[&str],
) -> Rollouts {
    let rollouts = world.play(TAKES, sick);
    world.create(&secret("shared", "good")).await;
    for (key, value) in limits {
        annotate(&world.api::<Secret>(), "shared", key, Some(value)).await;
    }
    for number in 0..users {
        create_user(world, number, &[]).await;
    }
    rollouts
}

pub(super) async fn create_user(world: &World, number: usize, annotations: &[(&str, &str)]) {
    let annotations: Vec<_> = AUTO.iter().chain(annotations).copied().collect();
    let object = deployment(&user(number), &annotations, &pod_with(&[], &["shared"]));
    world.create(&object).await;
}

/// How often each was restarted, by its generation: the API server may log a patch as failed whose sender was killed before
/// the answer, and store it.
pub(super) async fn restarts(world: &World) -> Vec<usize> {
    let generations = world.generations().await;
    let of = |number| generations.get(&user(number)).copied().unwrap_or(1);
    (0..USERS)
        .map(|number| usize::try_from(of(number) - 1).expect("a generation"))
        .collect()
}

pub(super) async fn wait_for_restarts(world: &World, controller: &Controller, all: usize) {
    let what = format!("{all} restarts");
    let waited = eventually(2 * PATIENCE, &what, async || -> Result<Option<()>, String> {
        let now = restarts(world).await;
        if now.iter().sum::<usize>() >= all {
            Ok(Some(()))
        } else {
            Err(format!("{now:?}"))
        }
    });
    waited
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", controller.replica.log()));
}

pub(super) async fn ready(world: &World, users: usize, flags: &[&str]) -> Controller {
    let controller = world.controller().args(flags.iter().copied()).start().await;
    world.wait_for_ledger(1).await;
    wait_complete(world, users).await;
    controller
}

/// Waits until the statuses of so many Deployments show that they are rolled out.
pub(super) async fn wait_complete(world: &World, users: usize) {
    let waited = eventually(PATIENCE, "statuses", async || -> Result<Option<()>, String> {
        let complete = world.complete_deployments().await;
        if complete == users {
            Ok(Some(()))
        } else {
            Err(format!("{complete} of {users}"))
        }
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}
