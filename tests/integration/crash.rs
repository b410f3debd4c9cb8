//! The leader dies in the middle of a burst: nothing is lost, nothing is rolled twice.

mod flush;

use crate::harness::{
    Controller, PATIENCE, World,
    field::{Field, catch},
    fleet::Fleet,
    ledger::is_ledger,
    run,
};

/// Sooner over than the default lease, yet not lost because a busy computer renews it a little late.
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=5s", "--retry-period=1s"];

/// Deployments of the burst, in 20 namespaces.
const BURST: usize = 200;
/// Twenty at once and then twenty a second: each death comes more than two seconds before the burst is over.
const SLOW: &str = "--total-rate=20";

/// How the leader ends in a burst of 200 changes.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// SIGKILL when so many patches have been answered.
    KilledAtPatch(usize),
    /// SIGTERM when so many patches have been answered.
    ToldToStopAtPatch(usize),
    /// SIGTERM in the same way, and SIGKILL when the ledger's last write has been stored.
    KilledWhileStopping(usize),
}

impl Death {
    /// Ends the leader, and returns how many patches of the burst had been answered by then.
    async fn come_to(
        self,
        leader: &Controller,
        world: &World,
        field: &Field,
        patched_before: usize,
    ) -> usize {
        let patched = || field.patches().len() - patched_before;
        let ledger_writes = || {
            let by_ledger =
                |entry: &testbed::Entry| entry.is_write() && entry.succeeded() && is_ledger(entry);
            world
                .plane
                .audit()
                .matching(by_ledger)
                .expect("the audit log")
                .len()
        };
        match self {
            Self::KilledAtPatch(count) => {
                field.catch_patches(patched_before + count).await;
                leader.replica.kill();
                patched()
            }
            Self::ToldToStopAtPatch(count) => {
                field.catch_patches(patched_before + count).await;
                leader.replica.terminate().expect("it runs");
                let patched = patched();
                assert_eq!(leader.wait_exit(PATIENCE).await, Some(0));
                patched
            }
            Self::KilledWhileStopping(count) => {
                field.catch_patches(patched_before + count).await;
                let before = ledger_writes();
                leader.replica.terminate().expect("it runs");
                let patched = patched();
                catch("the ledger's last write, or the end", || {
                    ledger_writes() > before || !leader.replica.is_running().expect("a status")
                })
                .await;
                leader.replica.kill();
                patched
            }
        }
    }
}

/// 200 Deployments in 20 namespaces, each changed once a death; a replica that has died is replaced.
async fn die_in_bursts(strategy: &str, deaths: &[Death]) {
    let world = World::alone("crash").await;
    let field = Field::create(&world, 20, BURST / 20).await;
    let mut fleet = Fleet::start_cluster_wide(&world, &[&[strategy, SLOW], &SHORT_LEASE[..]].concat()).await;
    let mut contents = Vec::new();
    for (number, death) in deaths.iter().enumerate() {
        let leader = fleet.take_leader().await;
        let patched_before = field.patches().len();
        contents.push(format!("{number}: {death:?}"));
        let ((), patched) = tokio::join!(
            field.change_all(&contents[number]),
            death.come_to(&leader, &world, &field, patched_before)
        );
        eprintln!("{death:?}: {patched} of {BURST} patches");
        assert!(patched < BURST, "{death:?}: the burst was over");
        fleet.add().await;
        field.wait_all_right(&contents).await;
    }
    // Everything that was repeated after a round shows in the next; this one is for the last.
    contents.push("at peace".to_owned());
    field.change_all("at peace").await;
    field.wait_all_right(&contents).await;
    fleet.leader().await.wait_idle().await;
    field.wait_all_right(&contents).await;
    world.assert_only_leaders_wrote();
}

#[test]
fn a_leader_that_dies_in_a_burst_loses_and_repeats_nothing_with_env_vars() {
    run(die_in_bursts(
        "--reload-strategy=env-vars",
        &[
            Death::KilledAtPatch(1),
            Death::KilledAtPatch(10),
            Death::KilledAtPatch(60),
            Death::KilledAtPatch(120),
            Death::KilledAtPatch(150),
            Death::ToldToStopAtPatch(60),
            Death::KilledWhileStopping(60),
        ],
    ));
}

#[test]
fn a_leader_that_dies_in_a_burst_loses_and_repeats_nothing_with_annotations() {
    run(die_in_bursts(
        "--reload-strategy=annotations",
        &[
            Death::KilledAtPatch(10),
            Death::KilledAtPatch(120),
            Death::ToldToStopAtPatch(60),
            Death::KilledWhileStopping(60),
        ],
    ));
}
