//! A leader that stood still while another took over (SIGSTOP: a frozen node, a paused virtual machine) must find out
//! before it writes: the Lease alone does not stop it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rstest::rstest;
use tokio::time::sleep;

use crate::harness::{
    Controller, World,
    field::{Field, catch},
    fleet::Fleet,
    run,
};

/// Sooner over than the default lease, yet not lost because a busy computer renews it a little late.
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];

/// When the leader is stopped.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after a renewal of the lease; they are a second apart.
    AfterRenewal(Duration),
    /// Some of a burst's patches have been answered, others are on their way.
    InBurst(usize),
    /// Changes have been seen, and wait for more to come.
    BeforeBurst,
}

impl Moment {
    /// Stops the leader then; the burst begins before or after, as the moment has it.
    async fn stop(self, world: &World, field: &Field, leader: &Controller, content: &str) {
        let patched = field.patches().len();
        match self {
            Self::AfterRenewal(phase) => {
                let renewals = world.lease_writes().len();
                catch("a renewal", || world.lease_writes().len() > renewals).await;
                // The length of time is the point: where in the period it is stopped.
                sleep(phase).await;
                leader.replica.pause().expect("it runs");
                field.change_all(content).await;
            }
            Self::InBurst(count) => {
                let stop = async {
                    field.catch_patches(patched + count).await;
                    leader.replica.pause().expect("it runs");
                };
                tokio::join!(field.change_all(content), stop);
            }
            Self::BeforeBurst => {
                field.change_all(content).await;
                // Before the window is over.
                leader.replica.pause().expect("it runs");
            }
        }
    }
}

#[rstest]
#[case::between_renewals("--coalesce-window=100ms", &[
    Moment::AfterRenewal(Duration::ZERO),
    Moment::AfterRenewal(Duration::from_millis(300)),
    Moment::AfterRenewal(Duration::from_millis(600)),
    Moment::AfterRenewal(Duration::from_millis(950)),
])]
#[case::in_a_burst("--coalesce-window=100ms", &[
    Moment::InBurst(1),
    Moment::InBurst(20),
    Moment::InBurst(45),
])]
#[case::before_a_burst("--coalesce-window=3s", &[Moment::BeforeBurst, Moment::BeforeBurst])]
#[case::in_a_burst_with_annotations("--reload-strategy=annotations", &[
    Moment::InBurst(1),
    Moment::InBurst(20),
    Moment::InBurst(45),
])]
fn a_leader_that_wakes_after_a_takeover_writes_nothing_and_ends(
    #[case] flag: &str,
    #[case] moments: &[Moment],
) {
    run(async {
        let world = World::new("zombie").await;
        let field = Field::in_its_own_namespace(&world, 60).await;
        let mut fleet = Fleet::start(&world, &[&[flag], &SHORT_LEASE[..]].concat()).await;
        let mut contents = Vec::new();
        for (number, moment) in moments.iter().enumerate() {
            let zombie = fleet.take_leader().await;
            contents.push(format!("{number}: {moment:?}"));
            moment.stop(&world, &field, &zombie, &contents[number]).await;
            fleet.leader().await;
            field.wait_all_right(&contents).await;

            let woken = Timestamp::now();
            zombie.replica.resume().expect("it is there");
            let code = zombie.wait_exit(Duration::from_secs(20)).await;
            assert_eq!(code, Some(1), "{}", zombie.replica.log());
            assert!(zombie.replica.log().contains("no longer leader, shutting down"));
            let by_zombie = |entry: &testbed::Entry| {
                entry.namespace == world.namespace
                    && entry.user.ends_with(&zombie.name)
                    && entry.is_write()
                    && entry.request_received >= woken
            };
            let writes = world.plane.audit().matching(by_zombie).expect("the audit log");
            // An Event about what it did while it led changes nothing. A patch that a thread had asked the lease for just
            // before it was stopped is refused, because the workload has changed since.
            let effective: Vec<_> = writes
                .iter()
                .filter(|entry| entry.succeeded() && entry.resource != "events")
                .collect();
            assert!(effective.is_empty(), "{moment:?}: {effective:#?}");
            fleet.add().await;
        }
        contents.push("at peace".to_owned());
        field.change_all("at peace").await;
        field.wait_all_right(&contents).await;
        fleet.leader().await.wait_idle().await;
        field.wait_all_right(&contents).await;
        world.assert_only_leaders_wrote();
    });
}
