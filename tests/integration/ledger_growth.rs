//! The ledger outgrows one ConfigMap, and two releases share one.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::api::ListParams;
use testbed::{
    eventually,
    proxy::{Fault, Rule},
};

use crate::harness::{
    PATIENCE, World,
    field::catch,
    ledger,
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, Barrier, digest_of, pod_with},
    run,
};

/// Sources of one Deployment.
const EACH: usize = 50;
/// What one ConfigMap's text must not exceed here; a line of these sources has some 350 bytes, and the ledger grows before
/// its ConfigMaps have 48 KiB on average.
const LARGEST: usize = 150 * 1024;

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
        create(&world, 0..400).await;
        let mut barrier = Barrier::create(&world).await;
        let first = world.controller().start().await;
        wait_for_names(&world, 401, 4).await;

        // It grows once more while it runs.
        create(&world, 400..1000).await;
        wait_for_names(&world, 1001, 8).await;
        first.replica.kill();

        // Changed while no replica runs: one source each of the users 1, 4, 7, ..., wherever its line is.
        let expected: Vec<usize> = (0..1000 / EACH).map(|user| usize::from(user % 3 == 1)).collect();
        for (user, _) in expected.iter().enumerate().filter(|(_, changed)| **changed == 1) {
            world.change_config_map(&name(user * EACH + user), "1").await;
        }
        let second = world.controller().start().await;
        barrier.pass(&world, &second).await;
        assert_eq!(rollouts(&world, 1000), expected);
        wait_for_names(&world, 1001, 8).await;
        second.replica.terminate().expect("it runs");
        assert_eq!(second.wait_exit(PATIENCE).await, Some(0));

        let read = gets(&world);
        let third = world.controller().start().await;
        third.wait_log("became leader").await;
        assert_eq!(gets(&world), read, "they are listed instead");
        barrier.pass(&world, &third).await;
        assert_eq!(rollouts(&world, 1000), expected);
    });
}

/// Waits until it is complete, and spread over so many ConfigMaps: it grows after its lines are written.
async fn wait_for_names(world: &World, sources: usize, count: usize) {
    let what = format!("{sources} sources in {count} ConfigMaps");
    eventually(PATIENCE, &what, async || {
        let now = wait_for_sources(world, sources).await;
        if now == names(count) {
            Ok(Some(()))
        } else {
            Err(now.join(" "))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// How many ConfigMaps the world's controllers have read by name.
fn gets(world: &World) -> usize {
    let is_get = |entry: &testbed::Entry| {
        entry.user == world.user() && entry.resource == "configmaps" && entry.verb == "get"
    };
    world.plane.audit().matching(is_get).expect("the audit log").len()
}

/// The names of the ledger's ConfigMaps, where it has so many.
fn names(count: usize) -> Vec<String> {
    let others = (1..count).map(|chunk| format!("{}-{chunk}", ledger::NAME));
    [ledger::NAME.to_owned()].into_iter().chain(others).collect()
}

/// A quota admits one ConfigMap only: the ledger stays in it, and is written there.
#[test]
fn a_ledger_that_may_not_grow_is_kept_as_it_is() {
    run(async {
        let world = World::new("quota").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        create(&world, 0..50).await;
        let first = world.controller().through(&proxy).start().await;
        assert_eq!(wait_for_sources(&world, 50).await, names(1));
        let refused = Fault::Status {
            code: 403,
            retry_after: None,
        };
        let no_more = proxy.add(Rule::new(refused).method("POST").path("/configmaps"));
        create(&world, 50..400).await;
        wait_for_sources(&world, 400).await;
        catch("an attempt to grow", || no_more.hits() > 0).await;
        world.change_config_map(&name(7), "1").await;
        world.wait_for_rollouts("deployments", &user(7), 1).await;
        let written = || async {
            let lines = world.ledger().await;
            let is_settled = |line: &String| line.contains(&name(7)) && line.ends_with(&digest_of("1"));
            (lines.iter().filter(|line| is_settled(line)).count() == 1).then_some(())
        };
        eventually(PATIENCE, "the change in the one ConfigMap", written)
            .await
            .unwrap();
        first
            .wait_log("refuses to store the ledger's ConfigMap reloader-ledger-")
            .await;

        no_more.remove();
        wait_for_names(&world, 400, 4).await;
    });
}

/// One ConfigMap cannot be written; the others are.
#[test]
fn what_is_refused_of_one_config_map_holds_up_no_other() {
    run(async {
        let world = World::new("one-refused").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        create(&world, 0..400).await;
        let controller = world.controller().through(&proxy).start().await;
        wait_for_names(&world, 400, 4).await;
        let refused = Fault::Status {
            code: 422,
            retry_after: None,
        };
        let path = format!("/configmaps/{}-1", ledger::NAME);
        let _ = proxy.add(Rule::new(refused).method("PUT").path(path));
        let before = chunks(&world).await;
        for user in 0..400 / EACH {
            for number in [0, 1, 2, 3] {
                world.change_config_map(&name(user * EACH + number), "1").await;
            }
        }
        eventually(PATIENCE, "three ConfigMaps to be written", async || {
            let now = chunks(&world).await;
            let changed: Vec<&String> = now.keys().filter(|name| now[*name] != before[*name]).collect();
            (changed == ["reloader-ledger", "reloader-ledger-2", "reloader-ledger-3"]).then_some(())
        })
        .await
        .unwrap();
        controller
            .wait_log("refuses to store the ledger's ConfigMap reloader-ledger-1, trying again")
            .await;
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
