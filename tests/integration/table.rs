//! Every kind of workload, every kind of source, every way to ask for it, both strategies, everything that can happen to
//! a source, under the roles that ship and under upstream's: one change is one restart.

mod cases;
mod roles;
mod state;

use futures::{StreamExt, stream};
use reloader::explain::Simulation;
use rstest::rstest;
use testbed::eventually;

use crate::harness::{
    Controller, PATIENCE, World,
    csi::{self, ClassSentinel},
    kinds::ROLLOUT,
    run,
    sentinel::Sentinel,
};
use cases::{CLONE_SET, Case, Kind};
use roles::Roles;
use state::State;

/// What happens to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Update,
    /// Deleted, and created with other content.
    Recreation,
    /// The workload was there first, and waits for it.
    Creation,
    /// After a restart, whose marker goes with the source.
    Deletion,
}

impl Trigger {
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Creation => Some("--reload-on-create=true"),
            Self::Deletion => Some("--reload-on-delete=true"),
            Self::Update | Self::Recreation => None,
        }
    }
}

/// Where the controller is when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Running,
    /// No replica runs: the next one has to notice.
    Away,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    EnvVars,
    Annotations,
}

impl Strategy {
    fn flag(self) -> &'static str {
        match self {
            Self::EnvVars => "--reload-strategy=env-vars",
            Self::Annotations => "--reload-strategy=annotations",
        }
    }
}

/// One cell of the table, with a namespace of its own.
#[derive(Clone, Copy, Debug)]
struct Cell {
    roles: Roles,
    strategy: Strategy,
    trigger: Trigger,
    presence: Presence,
}

impl Cell {
    /// How often the trigger restarts the workload: once. But a CronJob itself is never written, so it has no variable
    /// that could go with its source, and without one a deletion restarts nothing, as upstream.
    fn restarts(self, case: Case) -> usize {
        let has_no_variable = case.kind == Kind::CronJob && self.strategy == Strategy::EnvVars;
        usize::from(!(self.trigger == Trigger::Deletion && has_no_variable))
    }

    async fn start(self, world: &World) -> Controller {
        let flags = [
            "--is-Argo-Rollouts=true",
            "--enable-csi-integration=true",
            "--workload-kind=apps.kruise.io/v1alpha1/CloneSet",
            self.strategy.flag(),
        ];
        let builder = world.controller().args(flags).args(self.trigger.flag());
        builder.start().await
    }

    async fn play(self) {
        let world = World::openshift("table").await;
        csi::install(&world.client).await;
        world.define(ROLLOUT).await;
        world.define(CLONE_SET).await;
        self.roles.grant(&world).await;
        let cases = Case::all(self.trigger, self.presence);
        each(&cases, async |case| {
            if self.trigger != Trigger::Creation {
                case.create_source(&world, "before").await;
            }
            case.create_workload(&world).await;
        })
        .await;
        let mut sentinel = Sentinel::new(&world).await;
        let mut class_sentinel = ClassSentinel::new(&world).await;
        let mut controller = self.start(&world).await;

        let mut before = 0;
        if self.trigger == Trigger::Deletion {
            each(&cases, async |case| case.change(&world, "marked").await).await;
            before = 1;
            wait_for(&world, &controller, &cases, |_| before).await;
        }
        if self.presence == Presence::Away {
            sentinel.pass().await;
            controller.wait_idle().await;
            // Everything is known, the sources of the three sentinels too. What is settled is written at the end.
            wait_until_noted(&world, &controller, cases.len() + 3).await;
            controller.replica.terminate().expect("it runs");
            controller.wait_exit(PATIENCE).await;
        }
        if self.trigger == Trigger::Update && self.presence == Presence::Running {
            each(&cases, async |case| foretold(case, &world, &controller).await).await;
        }
        each(&cases, async |case| self.pull(case, &world).await).await;
        if self.presence == Presence::Away {
            controller = self.start(&world).await;
        }

        let expected = |case| before + self.restarts(case);
        wait_for(&world, &controller, &cases, expected).await;
        sentinel.pass().await;
        class_sentinel.pass().await;
        controller.wait_idle().await;
        let state = State::of(&world).await;
        for case in cases {
            assert_eq!(state.restarts(case), expected(case), "{case:?}: {self:?}");
        }
    }

    async fn pull(self, case: Case, world: &World) {
        match self.trigger {
            Trigger::Update => case.change(world, "after").await,
            Trigger::Creation => case.create_source(world, "after").await,
            Trigger::Deletion => case.delete_source(world).await,
            Trigger::Recreation => {
                case.delete_source(world).await;
                case.create_source(world, "after").await;
            }
        }
    }
}

/// Asked before, the controller answers that this workload would restart, and no other.
async fn foretold(case: Case, world: &World, controller: &Controller) {
    let simulation: Simulation = controller.answer(&case.question(&world.namespace)).await;
    let names: Vec<String> = simulation
        .restarts
        .iter()
        .map(|row| format!("{}/{}", row.workload.kind, row.workload.name))
        .collect();
    let expected = format!("{:?}/{}", case.kind, case.name());
    assert_eq!(
        (names, simulation.exists),
        (vec![expected], Some(true)),
        "{simulation:?}"
    );
}

/// Does the same for every case, for some of them at a time.
async fn each(cases: &[Case], action: impl AsyncFn(Case)) {
    stream::iter(cases)
        .for_each_concurrent(8, async |case| action(*case).await)
        .await;
}

/// Waits until every workload was restarted that often.
async fn wait_for(world: &World, controller: &Controller, cases: &[Case], expected: impl Fn(Case) -> usize) {
    let waited = eventually(PATIENCE, "the restarts", async || -> Result<_, String> {
        let state = State::of(world).await;
        let is_late = |case: &&Case| state.restarts(**case) < expected(**case);
        let late: Vec<String> = cases.iter().filter(is_late).map(|case| case.name()).collect();
        if late.is_empty() {
            Ok(Some(()))
        } else {
            Err(late.join(", "))
        }
    });
    if let Err(error) = waited.await {
        panic!("{error}\n{}", controller.replica.log());
    }
}

/// Waits until the ledger has that many lines.
async fn wait_until_noted(world: &World, controller: &Controller, sources: usize) {
    let waited = eventually(PATIENCE, "the ledger", async || -> Result<_, String> {
        let lines = world.ledger().await;
        let is_complete = lines.len() == sources;
        is_complete.then_some(Some(())).ok_or_else(|| lines.join("\n"))
    });
    if let Err(error) = waited.await {
        panic!("{error}\n{}", controller.replica.log());
    }
}

#[rstest]
fn one_change_is_one_restart(
    #[values(Roles::Shipped, Roles::Upstreams)] roles: Roles,
    #[values(Strategy::EnvVars, Strategy::Annotations)] strategy: Strategy,
    #[values(Trigger::Update, Trigger::Recreation, Trigger::Creation, Trigger::Deletion)] trigger: Trigger,
) {
    let cell = Cell {
        roles,
        strategy,
        trigger,
        presence: Presence::Running,
    };
    run(cell.play());
}

#[rstest]
fn changes_while_no_replica_runs_are_one_restart(
    #[values(Roles::Shipped, Roles::Upstreams)] roles: Roles,
    #[values(Strategy::EnvVars, Strategy::Annotations)] strategy: Strategy,
    #[values(Trigger::Update, Trigger::Creation, Trigger::Deletion)] trigger: Trigger,
) {
    let cell = Cell {
        roles,
        strategy,
        trigger,
        presence: Presence::Away,
    };
    run(cell.play());
}
