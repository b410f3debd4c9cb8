//! The ledger outgrows one ConfigMap, and two releases share one.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::api::ListParams;
use testbed::eventually;

use crate::harness::{
    PATIENCE, World, ledger,
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, Barrier, digest_of, pod_with},
    run,
};

/// Sources of one Deployment.
const EACH: usize = 50;
/// The limit of one ConfigMap's text; a line of these sources has some 300 bytes.
const LARGEST: usize = 256 * 1024;

/// As long as a name may be; the length of the digits counts.
fn name(number: usize) -> String {
    format!("{}-{number:04}", "long".repeat(60))
}

fn user(number: usize) -> String {
    format!("user-{}", number / EACH)
}

/// ConfigMaps, and Deployments that use fifty each.
async fn create(world: &World, numbers: std::ops::Range<usize>) {
    let create = async |number: usize| drop(world.create(&config_map(&name(number), "0")).await);
    stream::iter(numbers.clone())
        .for_each_concurrent(16, create)
        .await;
    for first in numbers.step_by(EACH) {
        let names: Vec<String> = (first..first + EACH).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let object = deployment(&user(first), &AUTO, &pod_with(&names, &[]));
        world.create::<Deployment>(&object).await;
    }
}

/// The lines of each of the ledger's ConfigMaps.
async fn chunks(world: &World) -> BTreeMap<String, Vec<String>> {
    let labelled = ListParams::default().labels(&format!("reloader.stakater.com/ledger={}", ledger::NAME));
    let objects = world
        .api::<ConfigMap>()
        .list(&labelled)
        .await
        .expect("ConfigMaps");
    let read = |object: ConfigMap| {
        let text = object
            .data
            .and_then(|mut data| data.remove("sources"))
            .unwrap_or_default();
        assert!(text.len() <= LARGEST, "{}", text.len());
        (
            object.metadata.name.unwrap_or_default(),
            text.lines().map(str::to_owned).collect(),
        )
    };
    objects.into_iter().map(read).collect()
}

/// Waits until it is complete, and settled; then no source has two lines. Returns the names of the ConfigMaps in use.
async fn wait_for_sources(world: &World, count: usize) -> Vec<String> {
    let what = format!("a ledger of {count} sources in all");
    eventually(PATIENCE, &what, async || -> Result<_, String> {
        let chunks = chunks(world).await;
        let lines: Vec<&String> = chunks.values().flatten().collect();
        let sources: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').nth(2)).collect();
        let settled = lines.iter().all(|line| line.split(' ').count() == 4);
        if lines.len() == count && sources.len() == count && settled {
            let in_use = chunks.into_iter().filter(|(_, lines)| !lines.is_empty());
            Ok(Some(in_use.map(|(name, _)| name).collect()))
        } else {
            Err(format!(
                "{} lines, {} sources, {settled}",
                lines.len(),
                sources.len()
            ))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

fn rollouts(world: &World, count: usize) -> Vec<usize> {
    let users = (0..count).step_by(EACH).map(user);
    users.map(|name| world.rollouts("deployments", &name)).collect()
}

#[test]
fn a_ledger_that_outgrows_its_config_map_is_spread_over_more_and_read_back() {
    run(async {
        let world = World::new("growth").await;
        create(&world, 0..1200).await;
        let mut barrier = Barrier::create(&world).await;
        let first = world.controller().start().await;
        assert_eq!(
            wait_for_sources(&world, 1201).await,
            ["reloader-ledger", "reloader-ledger-2-1"]
        );

        // It grows once more while it runs.
        create(&world, 1200..2200).await;
        let four = [
            "reloader-ledger",
            "reloader-ledger-4-1",
            "reloader-ledger-4-2",
            "reloader-ledger-4-3",
        ];
        assert_eq!(wait_for_sources(&world, 2201).await, four);
        first.replica.kill();

        // Changed while no replica runs: one source each of the users 1, 4, 7, ..., wherever its line is.
        let expected: Vec<usize> = (0..2200 / EACH).map(|user| usize::from(user % 3 == 1)).collect();
        for (user, _) in expected.iter().enumerate().filter(|(_, changed)| **changed == 1) {
            world.change_config_map(&name(user * EACH + user), "1").await;
        }
        let second = world.controller().start().await;
        barrier.pass(&world, &second).await;
        assert_eq!(rollouts(&world, 2200), expected);
        assert_eq!(wait_for_sources(&world, 2201).await, four);
        second.replica.terminate().expect("it runs");
        assert_eq!(second.wait_exit(PATIENCE).await, Some(0));

        let third = world.controller().start().await;
        barrier.pass(&world, &third).await;
        assert_eq!(rollouts(&world, 2200), expected);
    });
}

#[test]
fn two_releases_that_share_a_ledger_keep_each_others_lines() {
    run(async {
        let home = World::new("shared").await;
        let away = home.another("away").await;
        home.admit(&away, "own").await;
        for world in [&home, &away] {
            for number in 0..3 {
                let name = format!("app-{number}");
                world.create(&config_map(&name, "0")).await;
                world
                    .create::<Deployment>(&deployment(&name, &AUTO, &pod_with_config_map(&name)))
                    .await;
            }
        }
        let start = async || {
            let second = away
                .controller()
                .name("reloader-1")
                .env("POD_NAMESPACE", &home.namespace);
            (home.controller().start().await, second.start().await)
        };
        let (first, second) = start().await;
        home.wait_for_ledger(6).await;
        for value in ["1", "2"] {
            for number in 0..3 {
                let name = format!("app-{number}");
                home.change_config_map(&name, value).await;
                away.change_config_map(&name, value).await;
            }
            for world in [&home, &away] {
                let digest = digest_of(value);
                let what = format!("{digest} three times in the ledger");
                eventually(PATIENCE, &what, async || {
                    let lines = home.wait_for_ledger(6).await;
                    let wanted = format!(" {} ", world.namespace);
                    let settled = lines
                        .iter()
                        .filter(|line| line.contains(&wanted) && line.ends_with(&digest));
                    (settled.count() == 3).then_some(())
                })
                .await
                .unwrap_or_else(|error| panic!("{error}"));
            }
        }
        first.replica.kill();
        second.replica.kill();

        // Each finds what happened in its own namespace.
        home.change_config_map("app-0", "while no replica ran").await;
        away.change_config_map("app-1", "while no replica ran").await;
        let (first, second) = start().await;
        home.wait_for_rollouts("deployments", "app-0", 3).await;
        away.wait_for_rollouts("deployments", "app-1", 3).await;
        first.wait_idle().await;
        second.wait_idle().await;
        home.wait_for_ledger(6).await;
        let of =
            |world: &World| [0, 1, 2].map(|number| world.rollouts("deployments", &format!("app-{number}")));
        assert_eq!((of(&home), of(&away)), ([3, 2, 2], [2, 3, 2]));
    });
}
