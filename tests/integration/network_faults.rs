//! The controller through a proxy that makes the way to the API server misbehave: every change ends in exactly one
//! rollout all the same.

mod authority;
mod ledger;
mod partition;
mod resumed_watch;
mod slow_list;
mod unanswered;
mod watch_lines;
mod watches;
mod writes;

use testbed::{
    Proxy,
    proxy::{Passage, RequestHead},
};

use crate::harness::{
    World,
    objects::{config_map, deployment, pod_with_config_map},
};

const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");
const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";
const ONE_WORKER: &str = "--workers=1";

/// A namespace, and a proxy before its API server.
async fn world(name: &str) -> (World, Proxy) {
    let world = World::new(name).await;
    let proxy = world.plane.proxy().await.expect("a proxy");
    (world, proxy)
}

/// A ConfigMap `app` and a Deployment of that name which uses it.
async fn create_app(world: &World, name: &str) {
    world.create(&config_map(name, "0")).await;
    world
        .create(&deployment(name, &[AUTO], &pod_with_config_map(name)))
        .await;
}

/// Whether a request is about the objects of a kind, "configmaps", as a whole; not that of the ledger about its own.
fn is_about(resource: &'static str) -> impl Fn(&RequestHead) -> bool + Send + Sync + Copy + 'static {
    move |head| head.path.rsplit('/').next() == Some(resource) && !head.query.contains("ledger%3D")
}

/// What the proxy saw of requests with a method whose path ends so.
fn passages(proxy: &Proxy, method: &str, path: &str) -> Vec<Passage> {
    let mut log = proxy.log();
    log.retain(|passage| passage.request.method == method && passage.request.path.ends_with(path));
    log
}
