//! A leader that loses its way to the API server, or to its lease alone.

use std::time::Duration;

use rstest::rstest;
use testbed::{
    Entry, Proxy, eventually,
    proxy::{Fault, Rule},
};

use super::{ONE_WORKER, create_app, world};
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
    async fn start(world: &World, proxy: &Proxy) -> Self {
        let replica = |name: &str| {
            world
                .controller()
                .name(name)
                .arg(ONE_WORKER)
                .args(TIMINGS)
                .elected()
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

/// The first write of the lease by which another replica than the first one took it.
fn takeover(world: &World) -> Option<std::sync::Arc<Entry>> {
    let takes = |entry: &Entry| {
        let holder = entry
            .request_object
            .as_ref()
            .and_then(|lease| lease.pointer("/spec/holderIdentity"))
            .and_then(|holder| holder.as_str());
        entry.resource == "leases"
            && entry.namespace == world.namespace
            && entry.is_write()
            && entry.succeeded()
            && holder.is_some_and(|holder| !holder.is_empty() && !holder.starts_with("first_"))
    };
    world
        .plane
        .audit()
        .matching(takes)
        .expect("the audit log")
        .into_iter()
        .next()
}

/// No write of the first replica, its lease included, was accepted after another one had taken the lease.
fn assert_single_writer(world: &World, proxy: &Proxy) {
    let taken = takeover(world).expect("somebody took over").request_received;
    let writes: Vec<_> = proxy
        .log()
        .into_iter()
        .filter(|passage| ANY_VERB.contains(&passage.request.method.as_str()))
        .filter(|passage| passage.code.is_some_and(|code| code < 300))
        .collect();
    assert!(!writes.is_empty(), "it led once");
    for write in writes {
        // Events say what was done; they may come late and change nothing.
        let late = write.at > taken && !write.request.path.ends_with("/events");
        assert!(!late, "at {taken} another one took over, then: {write:#?}");
    }
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
        let fleet = Fleet::start(&world, &proxy).await;

        match cut {
            Cut::Both => proxy.cut(),
            Cut::Requests => proxy.cut_requests(),
            Cut::Answers => proxy.cut_answers(),
        }
        change_apps(&world, "1").await;
        assert_eq!(fleet.leader.wait_exit(PATIENCE).await, Some(1));
        fleet.one_leads().await;
        wait_for_apps(&world, 1).await;
        // What the cut held back of the old leader's requests arrives now.
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
        let fleet = Fleet::start(&world, &proxy).await;

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
        assert_single_writer(&world, &proxy);
    });
}
