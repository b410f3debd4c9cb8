//! One namespace with very many sources: the ledger keeps the share that it states, and a takeover lets the election run.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use testbed::eventually;
use tokio::time::{Instant, interval};

use crate::harness::{
    World,
    objects::{config_map, deployment, plain_pod, pod_with_config_map},
    observe::AUTO,
    run,
};

const LIST: &str = "configmap.reloader.stakater.com/reload";

/// Longer than thousands of objects take on a busy computer.
const LONG: Duration = Duration::from_mins(4);

/// Creates a ConfigMap of each name.
async fn create(world: &World, names: impl Iterator<Item = String>) {
    stream::iter(names)
        .for_each_concurrent(32, async |name| drop(world.create(&config_map(&name, "0")).await))
        .await;
}

/// As long as a name may be.
fn long_name(number: usize) -> String {
    format!("{}-{number:05}", "long".repeat(61))
}

/// More than fit into the 4 MiB that a namespace has of the ledger, at some 330 bytes a line.
const TOO_MANY: usize = 14_000;

/// The gauge of what is left out.
const LEFT_OUT: &str = "reloader_ledger_sources_left_out";

#[test]
fn what_a_namespace_has_beyond_its_share_of_the_ledger_is_said_and_the_rest_is_kept() {
    run(async {
        let full = World::alone("full").await;
        let calm = full.another("calm").await;
        calm.admit(&full, "watched").await;
        create(&full, (0..TOO_MANY).map(long_name)).await;
        full.create::<Deployment>(&deployment("reader", &[(LIST, "long.*")], &plain_pod()))
            .await;
        calm.create(&config_map("settings", "0")).await;
        calm.create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let controller = || {
            let namespaces = format!("--namespaces={}", calm.namespace);
            full.controller().arg(namespaces)
        };

        let first = controller().start().await;
        let kept = eventually(LONG, "a ledger of all that fit", async || -> Result<_, String> {
            let lines = full.ledger_lines().await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let left_out = first.metric(LEFT_OUT).await as usize;
            if left_out > 0 && lines.len() + left_out == TOO_MANY + 1 {
                Ok(Some(lines))
            } else {
                Err(format!("{} lines, {left_out} left out", lines.len()))
            }
        });
        let kept = kept.await.unwrap_or_else(|error| panic!("{error}"));
        let bytes: usize = kept.iter().map(String::len).sum();
        assert!(bytes <= 4 * 1024 * 1024 + 1024, "{bytes}");
        let events = full.wait_for_events("reader", "LedgerFull", 1).await;
        assert_eq!((events.len(), events[0].type_.as_deref()), (1, Some("Warning")));
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.contains(&format!("Namespace '{}' has more", full.namespace)),
            "{message}"
        );
        let is_kept = |name: &String| kept.iter().any(|line| line.split(' ').any(|word| word == name));
        let (in_ledger, beyond): (Vec<String>, Vec<String>) = (0..TOO_MANY).map(long_name).partition(is_kept);

        // While it runs, a source without a line restarts its workloads as any other does.
        full.change_config_map(&beyond[0], "1").await;
        full.wait_for_rollouts("deployments", "reader", 1).await;
        assert_eq!(full.events("reader", "LedgerFull").await.len(), 1);
        first.replica.terminate().expect("it runs");
        assert_eq!(first.wait_exit(LONG).await, Some(0));

        // While none runs, what is left out is not noticed. All else is, in both namespaces.
        full.change_config_map(&beyond[1], "1").await;
        full.change_config_map(&in_ledger[0], "1").await;
        calm.change_config_map("settings", "1").await;
        let second = controller().start().await;
        calm.wait_for_rollouts("deployments", "web", 1).await;
        full.wait_for_rollouts("deployments", "reader", 2).await;
        second.wait_idle().await;
        let writes = full.wait_for_rollouts("deployments", "reader", 2).await;
        assert_eq!(writes.len(), 2, "{writes:#?}");
        let markers = full.variables("reader").await;
        let shows = |name: &str| {
            let variable = format!(
                "STAKATER_{}_CONFIGMAP",
                name.replace('-', "_").to_ascii_uppercase()
            );
            markers.contains_key(&variable)
        };
        assert_eq!(
            [&beyond[0], &in_ledger[0], &beyond[1]].map(|name| shows(name)),
            [true, true, false]
        );
    });
}

/// A lease that runs out soon.
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
/// The namespace's sources and workloads, and the patterns of each workload.
const SOURCES: usize = 2_000;
const WORKLOADS: usize = 100;
const PATTERNS: usize = 10;

/// Patterns that are read to the end of each name, and of which the last one may match.
fn patterns(workload: usize) -> String {
    let item = |number: usize| format!("team-.*-{}-of-{workload}", "x".repeat(number));
    let others = (1..PATTERNS).map(item);
    others
        .chain([format!("team-.*-{workload:03}")])
        .collect::<Vec<_>>()
        .join(",")
}

fn source(number: usize) -> String {
    format!("team-{number:04}-{:03}", number % WORKLOADS)
}

#[test]
fn a_takeover_of_thousands_of_sources_and_patterns_lets_the_election_run() {
    run(async {
        let world = World::alone("takeover").await;
        create(&world, (0..SOURCES).map(source)).await;
        for number in 0..WORKLOADS {
            let annotations = [(LIST, &*patterns(number))];
            world
                .create::<Deployment>(&deployment(&format!("web-{number}"), &annotations, &plain_pod()))
                .await;
        }
        // One thread for everything, as in a container with one processor.
        let replica = |name: &str| {
            let builder = world.controller().elected().name(name).args(SHORT_LEASE);
            builder.env("TOKIO_WORKER_THREADS", "1")
        };
        let first = replica("first").start().await;
        eventually(LONG, "a complete ledger", async || -> Result<_, String> {
            let lines = world.ledger_lines().await.len();
            if lines == SOURCES {
                Ok(Some(()))
            } else {
                Err(format!("{lines} lines\n{}", first.replica.log()))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        let second = replica("second").start().await;

        first.replica.kill();
        for number in [7, 8, 9] {
            world.change_config_map(&source(number), "1").await;
        }
        let served = async {
            for number in [7, 8, 9] {
                world
                    .wait_for_rollouts("deployments", &format!("web-{number}"), 1)
                    .await;
            }
        };
        let probes = async {
            let mut tick = interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let asked = Instant::now();
                let (status, body) = second.get("/live").await.expect("an answer");
                assert_eq!(status, 200, "{body}");
                let took = asked.elapsed();
                assert!(took < Duration::from_secs(2), "{took:?} until an answer");
            }
        };
        tokio::select! {
            () = served => {}
            () = probes => {}
        }
        second.wait_idle().await;
        let total: usize = (0..WORKLOADS)
            .map(|number| world.rollouts("deployments", &format!("web-{number}")))
            .sum();
        assert_eq!(total, 3);

        // It has held the Lease since, and renewed it in time.
        let writes = world.lease_writes();
        let from = writes
            .iter()
            .position(|write| write.holder.as_deref() == Some("second"))
            .expect("a takeover");
        let held = &writes[from..];
        assert!(
            held.iter().all(|write| write.holder.as_deref() == Some("second")),
            "{held:#?}"
        );
        for pair in held.windows(2) {
            let gap = pair[1].received.duration_since(pair[0].received);
            assert!(gap.as_secs_f64() < 4.0, "{gap:?} between renewals");
        }
    });
}
