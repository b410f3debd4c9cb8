//! Watches that break, lie or fall silent.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::json;
use testbed::{
    Proxy, eventually,
    proxy::{Fault, RequestHead, Rule, StreamFault},
};

use super::{ANNOTATIONS, ENV_VARS, ONE_WORKER, create_app, is_about, world};
use crate::harness::{
    PATIENCE,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
    sentinel::Sentinel,
};

/// Does something to the open watch of a kind; waits until there is one.
pub(super) async fn disturb(proxy: &Proxy, resource: &'static str, fault: &StreamFault) {
    let what = format!("an open watch of {resource}");
    eventually(PATIENCE, &what, async || {
        (proxy.disturb(is_about(resource), fault) == 1).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Whether a complete list is asked for as the beginning of a watch.
fn is_streamed_list(head: &RequestHead) -> bool {
    head.query.contains("sendInitialEvents=true")
}

/// How often a kind was listed, pages after the first not counted, nor the one object that shows how new a list would be.
pub(super) fn lists(proxy: &Proxy, resource: &'static str) -> usize {
    let is_list = |head: &RequestHead| {
        let paged = head.method == "GET"
            && !head.is_watch()
            && !head.query.contains("continue=")
            && !head.query.ends_with("limit=1");
        is_about(resource)(head) && (paged || is_streamed_list(head))
    };
    proxy
        .log()
        .iter()
        .filter(|passage| is_list(&passage.request))
        .count()
}

/// The change right after each fault is the one that the broken line would have told.
#[rstest]
#[case::expired(StreamFault::expired(), true)]
#[case::garbage(StreamFault::Replace("neither JSON nor an event".to_owned()), true)]
#[case::another_event(StreamFault::Replace(r#"{"type":"NONSENSE","object":{}}"#.to_owned()), true)]
#[case::cut_line(StreamFault::CutLine, false)]
#[case::ended(StreamFault::End, false)]
#[case::reset(StreamFault::Reset, false)]
fn a_broken_watch_loses_no_change(
    #[case] fault: StreamFault,
    #[case] relists: bool,
    #[values("configmaps", "deployments")] broken: &'static str,
) {
    run(async {
        let (world, proxy) = world("broken").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        assert_eq!(lists(&proxy, broken), 1);
        for round in 1..=3 {
            disturb(&proxy, broken, &fault).await;
            world.change_config_map("app", &round.to_string()).await;
            world.wait_for_rollouts("deployments", "app", round).await;
            // The line of the workload's own change may be the one that is lost.
            sentinel.pass().await;
            if relists {
                // The broken connection stays open until the controller has paused; the next fault is for the new one.
                eventually(PATIENCE, "a new list", async || {
                    (lists(&proxy, broken) > round).then_some(())
                })
                .await
                .unwrap_or_else(|error| panic!("{error}"));
            }
        }
        assert_eq!(world.rollouts("deployments", "app"), 3);
    });
}

/// The workload is there, or opts in, and then its source changes; the workload's watch shows it much later.
#[rstest]
fn workloads_missed_by_a_silent_watch_owe_what_changed_since(#[values(true, false)] exists: bool) {
    run(async {
        let (world, proxy) = world("silent").await;
        world.create(&config_map("app", "0")).await;
        let mut web = deployment("web", &AUTO, &pod_with_config_map("app"));
        if exists {
            web.metadata.annotations = None;
            world.create(&web).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        disturb(&proxy, "deployments", &StreamFault::Silence).await;
        if exists {
            let annotations = json!({ "metadata": { "annotations": { AUTO[0].0: AUTO[0].1 } } });
            let patch = Patch::Merge(annotations);
            let api = world.api::<Deployment>();
            api.patch("web", &PatchParams::default(), &patch)
                .await
                .expect("it opts in");
        } else {
            world.create(&web).await;
        }
        world.change_config_map("app", "1").await;
        // Its own restart shows that the change has been seen by now, though the restart itself is not seen.
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        disturb(&proxy, "deployments", &StreamFault::End).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

#[rstest]
fn changes_while_every_watch_keeps_breaking_roll_once_each(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let (world, proxy) = world("flapping").await;
        for number in 0..10 {
            create_app(&world, &format!("app-{number}")).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world
            .controller()
            .args([ONE_WORKER, strategy])
            .through(&proxy)
            .start()
            .await;
        let faults = [
            StreamFault::Reset,
            StreamFault::CutLine,
            StreamFault::expired(),
            StreamFault::End,
        ];
        for (number, fault) in faults.iter().cycle().take(10).enumerate() {
            proxy.disturb(|_| true, fault);
            world.change_config_map(&format!("app-{number}"), "1").await;
        }
        for number in 0..10 {
            world
                .wait_for_rollouts("deployments", &format!("app-{number}"), 1)
                .await;
        }
        sentinel.pass().await;
        for number in 0..10 {
            assert_eq!(world.rollouts("deployments", &format!("app-{number}")), 1);
        }
    });
}

#[rstest]
#[case::expired(410, None)]
#[case::throttled(429, Some(1))]
#[case::broken(500, None)]
#[case::unavailable(503, None)]
fn a_watch_that_cannot_be_opened_loses_no_change(
    #[case] code: u16,
    #[case] retry_after: Option<u32>,
    #[values(true, false)] lists_fail_too: bool,
) {
    run(async {
        let (world, proxy) = world("refused").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        let refusing = |watch| {
            let rule = Rule::new(Fault::Status { code, retry_after });
            proxy.add(
                rule.when(is_about("configmaps"))
                    .method("GET")
                    .watch(watch)
                    .times(2),
            )
        };
        let watches = refusing(true);
        let list = lists_fail_too.then(|| refusing(false));
        if lists_fail_too {
            disturb(&proxy, "configmaps", &StreamFault::expired()).await;
        } else {
            disturb(&proxy, "configmaps", &StreamFault::End).await;
        }
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 1);
        assert_eq!(
            (watches.hits(), list.map_or(2, |list| list.hits())),
            (2, 2),
            "the faults were met"
        );
    });
}

/// An API server that is too old for streamed lists refuses them or does not know them.
#[rstest]
#[case::refused(Fault::Status { code: 422, retry_after: None }, 5)]
#[case::broken_off(Fault::Reset, 1)]
fn a_first_list_that_cannot_be_streamed_is_asked_for_in_pages(#[case] fault: Fault, #[case] times: usize) {
    run(async {
        let (world, proxy) = world("unstreamed").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let rule = proxy.add(Rule::new(fault).method("GET").when(is_streamed_list).times(times));
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        assert_eq!(rule.hits(), times);
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 1);
    });
}

/// Nothing of an old list counts: the first one is as new as etcd, not as the API server's cache happens to be.
#[test]
fn the_first_list_is_streamed_and_current() {
    run(async {
        let (world, proxy) = world("streamed").await;
        create_app(&world, "app").await;
        let _controller = world.controller().through(&proxy).start().await;
        let heads: Vec<RequestHead> = proxy.log().into_iter().map(|passage| passage.request).collect();
        let streamed: Vec<_> = heads.iter().filter(|head| is_streamed_list(head)).collect();
        assert_eq!(streamed.len(), 7, "one a kind: {heads:#?}");
        assert!(
            streamed
                .iter()
                .all(|head| !head.query.contains("resourceVersion=")),
            "{streamed:#?}"
        );
    });
}

#[test]
fn changes_missed_by_a_silent_watch_are_noticed_when_it_is_replaced() {
    run(async {
        let (world, proxy) = world("silent").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        disturb(&proxy, "configmaps", &StreamFault::Silence).await;
        world.change_config_map("app", "1").await;
        world.change_config_map("app", "2").await;
        disturb(&proxy, "configmaps", &StreamFault::End).await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 1);
    });
}

/// The API server has opened the watch, and its answer gets lost. Without flags: a watch may be quiet for five minutes, but
/// not before its answer begins.
#[rstest]
fn a_lost_answer_to_the_request_for_a_watch_is_noticed(
    #[values("configmaps", "deployments")] resource: &'static str,
) {
    run(async {
        let (world, proxy) = world("lost-answer").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        let rule = Rule::new(Fault::Stall).when(is_about(resource)).watch(true);
        let rule = proxy.add(rule.times(1));
        disturb(&proxy, resource, &StreamFault::End).await;
        eventually(PATIENCE, "the request whose answer is lost", async || {
            (rule.hits() == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        if resource == "deployments" {
            world.create(&config_map("new", "0")).await;
            world
                .create(&deployment("new", &AUTO, &pod_with_config_map("new")))
                .await;
            world.change_config_map("new", "1").await;
            world.wait_for_rollouts("deployments", "new", 1).await;
        }
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 1);
    });
}

#[derive(Clone, Copy, Debug)]
enum Silent {
    List,
    WatchStart,
    Stream,
}

/// Connections can die without a word: the peer's machine is gone, a firewall has forgotten them. The only sign is
/// that nothing comes.
#[rstest]
fn a_connection_that_died_silently_is_noticed_soon_after_the_watch_timeout(
    #[values(Silent::List, Silent::WatchStart, Silent::Stream)] silent: Silent,
) {
    run(async {
        let (world, proxy) = world("half-open").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let builder = world.controller().arg(ONE_WORKER).arg("--watch-timeout=5s");
        let _controller = builder.through(&proxy).start().await;
        let stall = |watch| {
            Rule::new(Fault::Stall)
                .when(is_about("configmaps"))
                .watch(watch)
                .times(1)
        };
        let (rule, fault) = match silent {
            Silent::List => (Some(proxy.add(stall(false))), StreamFault::expired()),
            Silent::WatchStart => (Some(proxy.add(stall(true))), StreamFault::End),
            Silent::Stream => (None, StreamFault::Silence),
        };
        disturb(&proxy, "configmaps", &fault).await;
        eventually(PATIENCE, "the request that stalls", async || {
            rule.as_ref().is_none_or(|rule| rule.hits() == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        world.change_config_map("app", "1").await;
        eventually(PATIENCE, "a rollout", async || {
            (world.rollouts("deployments", "app") == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 1);
    });
}
