//! A leader that loses its way to the API server, or to its lease alone.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use testbed::{
    Entry, Proxy, eventually,
    proxy::{Fault, Passage, Rule},
};

use super::{ANNOTATIONS, ENV_VARS, ONE_WORKER, create_app, passages, world};
use crate::harness::{PATIENCE, World, controller::Controller, run, sentinel::Sentinel};

const APPS: usize = 5;
const LEASE: &str = "/leases/";
/// Short, so that a test is; in upstream's proportions.
const TIMINGS: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
const ANY_VERB: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Three replicas; the first one leads and is behind the proxy.
struct Fleet {
    leader: Controller,
    standbys: Vec<Controller>,
}

impl Fleet {
    async fn start(world: &World, proxy: &Proxy, strategy: &str) -> Self {
        let replica = |name: &str| {
            let builder = world.controller().name(name).elected();
            builder.args([ONE_WORKER, strategy]).args(TIMINGS)
        };
        let leader = replica("first").through(proxy).start().await;
        leader.wait_log("became leader").await;
        let mut standbys = Vec::new();
        for name in ["second", "third"] {
            standbys.push(replica(name).start().await);
        }
        world.wait_for_ledger(APPS + 2).await;
        Self { leader, standbys }
    }

    /// Waits until exactly one of the standbys leads.
    async fn one_leads(&self) {
        eventually(PATIENCE, "a new leader", async || {
            (self.leaders() == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    }

    fn leaders(&self) -> usize {
        let leads = |standby: &&Controller| standby.replica.log().contains("became leader");
        self.standbys.iter().filter(leads).count()
    }
}

fn app(number: usize) -> String {
    format!("app-{number}")
}

async fn change_apps(world: &World, value: &str) {
    for number in 0..APPS {
        world.change_config_map(&app(number), value).await;
    }
}

async fn wait_for_apps(world: &World, rollouts: usize) {
    for number in 0..APPS {
        world
            .wait_for_rollouts("deployments", &app(number), rollouts)
            .await;
    }
}

fn app_rollouts(world: &World) -> Vec<usize> {
    (0..APPS)
        .map(|number| world.rollouts("deployments", &app(number)))
        .collect()
}

/// Whom a request for the world's lease names as its holder.
fn holder<'a>(world: &World, entry: &'a Entry) -> Option<&'a str> {
    let lease = entry.request_object.as_ref()?;
    let ours = entry.resource == "leases" && entry.namespace == world.namespace;
    lease
        .pointer("/spec/holderIdentity")?
        .as_str()
        .filter(|holder| ours && !holder.is_empty())
}

/// The first write of the lease by which another replica than the first one took it.
fn takeover(world: &World) -> Option<Arc<Entry>> {
    let takes = |entry: &Entry| {
        entry.is_write()
            && entry.succeeded()
            && holder(world, entry).is_some_and(|holder| !holder.starts_with("first_"))
    };
    let entries = world.plane.audit().matching(takes).expect("the audit log");
    entries.into_iter().next()
}

/// Nothing that the first replica sent after another one had taken the lease was accepted, nor any renewal that
/// arrived after that.
async fn assert_single_writer(world: &World, proxy: &Proxy) {
    let taken = takeover(world).expect("a takeover").request_received;
    let delayed = |passage: &Passage| {
        matches!(
            passage.fault,
            Some(Fault::DelayRequest(_) | Fault::DelayAnswer(_))
        )
    };
    eventually(PATIENCE, "every delayed request", async || {
        let log = proxy.log();
        let mut delayed = log.iter().filter(|passage| delayed(passage));
        delayed.all(|passage| passage.code.is_some()).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    let is_write = |passage: &Passage| {
        ANY_VERB.contains(&passage.request.method.as_str()) && passage.code.is_some_and(|code| code < 300)
    };
    let writes: Vec<_> = proxy.log().into_iter().filter(is_write).collect();
    assert!(!writes.is_empty(), "it led once");
    for write in writes {
        // Events say what was done; they may come late and change nothing.
        let late = write.at > taken && !write.request.path.ends_with("/events");
        assert!(!late, "at {taken} another one took over, then: {write:#?}");
    }
    let renews = |entry: &Entry| {
        entry.request_received > taken
            && entry.is_write()
            && entry.succeeded()
            && holder(world, entry).is_some_and(|holder| holder.starts_with("first_"))
    };
    let renewals = world.plane.audit().matching(renews).expect("the audit log");
    assert!(renewals.is_empty(), "{renewals:#?}");
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Both,
    Requests,
    Answers,
}

#[rstest]
fn a_leader_cut_off_ends_before_another_one_writes(
    #[values(Cut::Both, Cut::Requests, Cut::Answers)] cut: Cut,
) {
    run(async {
        let (world, proxy) = world("cut").await;
        for number in 0..APPS {
            create_app(&world, &app(number)).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let fleet = Fleet::start(&world, &proxy, ENV_VARS).await;

        match cut {
            Cut::Both => proxy.cut(),
            Cut::Requests => proxy.cut_requests(),
            Cut::Answers => proxy.cut_answers(),
        }
        change_apps(&world, "1").await;
        assert_eq!(fleet.leader.wait_exit(PATIENCE).await, Some(1));
        fleet.one_leads().await;
        wait_for_apps(&world, 1).await;
        assert_single_writer(&world, &proxy).await;
        // What the cut held back arrives now, unless the server has noticed first that its sender is gone.
        proxy.heal();
        let again = world
            .controller()
            .name("first-again")
            .arg(ONE_WORKER)
            .args(TIMINGS)
            .elected()
            .through(&proxy)
            .start()
            .await;
        change_apps(&world, "2").await;
        wait_for_apps(&world, 2).await;
        sentinel.pass().await;
        assert_eq!(app_rollouts(&world), [2; APPS]);
        assert_eq!(fleet.leaders(), 1);
        assert!(!again.replica.log().contains("became leader"));
    });
}

/// A patch that was under way when its leader was cut off arrives when the next leader has already rolled the workload
/// for a newer content. It names the resourceVersion that it rests on, so the API server refuses it: no rollout too many,
/// and no marker of the older content, whose return is rolled as any other change (ADR 9).
#[rstest]
fn a_patch_that_outlives_its_leader_is_refused(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let (world, proxy) = world("outlived").await;
        for number in 0..APPS {
            create_app(&world, &app(number)).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let fleet = Fleet::start(&world, &proxy, strategy).await;
        let holding = proxy.add(
            Rule::new(Fault::Hold)
                .method("PATCH")
                .path("/deployments/")
                .times(1),
        );
        world.change_config_map("app-0", "1").await;
        eventually(PATIENCE, "the patch to be held", async || {
            (holding.hits() == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        proxy.cut();
        assert_eq!(fleet.leader.wait_exit(PATIENCE).await, Some(1));
        world.wait_for_rollouts("deployments", "app-0", 1).await;
        world.change_config_map("app-0", "2").await;
        world.wait_for_rollouts("deployments", "app-0", 2).await;
        holding.remove();
        let code = eventually(PATIENCE, "the answer to the held patch", async || {
            let patches = passages(&proxy, "PATCH", "/deployments/app-0");
            patches.first().and_then(|patch| patch.code)
        });
        let code = code.await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(code, 409, "the held patch");
        assert_one_patch_was_refused(&world, "app-0");
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app-0"), 2);
        world.change_config_map("app-0", "1").await;
        world.wait_for_rollouts("deployments", "app-0", 3).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app-0"), 3);
        assert_one_patch_was_refused(&world, "app-0");
    });
}

/// Of the patches of a Deployment, one was refused because of the resourceVersion in it; each of the others was applied
/// and is a rollout.
fn assert_one_patch_was_refused(world: &World, name: &str) {
    let is_patch = |entry: &Entry| {
        entry.is_about("deployments", &world.namespace, name)
            && entry.verb == "patch"
            && entry.user == world.user()
    };
    let patches = world.plane.audit().matching(is_patch).expect("the audit log");
    let (applied, refused): (Vec<_>, Vec<_>) = patches.iter().partition(|patch| patch.succeeded());
    let [refused] = refused.as_slice() else {
        panic!("{refused:#?}");
    };
    assert_eq!(refused.code, 409, "{refused:#?}");
    let sent = refused.request_object.as_ref().expect("the patch as sent");
    assert!(
        sent.pointer("/metadata/resourceVersion")
            .is_some_and(serde_json::Value::is_string),
        "{sent:#}"
    );
    assert_eq!(applied.len(), world.rollouts("deployments", name), "{applied:#?}");
}

#[rstest]
#[case::refused(Fault::Status { code: 500, retry_after: None })]
#[case::reset(Fault::Reset)]
#[case::never_answered(Fault::Stall)]
#[case::nine_seconds_there(Fault::DelayRequest(Duration::from_secs(9)))]
#[case::nine_seconds_back(Fault::DelayAnswer(Duration::from_secs(9)))]
#[case::answer_lost(Fault::DropAnswer)]
fn a_leader_whose_lease_requests_alone_fail_ends_before_another_one_writes(#[case] fault: Fault) {
    run(async {
        let (world, proxy) = world("lease-only").await;
        for number in 0..APPS {
            create_app(&world, &app(number)).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let fleet = Fleet::start(&world, &proxy, ENV_VARS).await;

        let rule = proxy.add(Rule::new(fault).path(LEASE).watch(false));
        let mut changes = 0;
        let ended = async {
            // It may write while its lease lasts, and has reason to all the time.
            while fleet.leader.replica.is_running().expect("its state") {
                changes += 1;
                change_apps(&world, &changes.to_string()).await;
                wait_for_apps(&world, changes).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the leader ends");
        assert_eq!(fleet.leader.wait_exit(PATIENCE).await, Some(1));
        fleet.one_leads().await;
        assert!(rule.hits() > 0);
        change_apps(&world, "last").await;
        wait_for_apps(&world, changes + 1).await;
        sentinel.pass().await;
        assert_eq!(app_rollouts(&world), [changes + 1; APPS]);
        assert_eq!(fleet.leaders(), 1);
        assert_single_writer(&world, &proxy).await;
    });
}
