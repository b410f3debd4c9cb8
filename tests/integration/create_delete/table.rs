//! The table: what happens to a source, under which flags and strategy, with the controller there or not.

use futures::{StreamExt, stream};
use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use rstest::rstest;
use testbed::eventually;

use super::{
    Strategy::{self, Annotations, EnvVars},
    args, delete, wait_for_ledger, wait_for_line,
};
use crate::harness::{
    Controller, PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

const LAST_RELOADED_FROM: &str = "reloader.stakater.com/last-reloaded-from";
/// SHA-1 of `__RELOADER_EMPTY_DELETE_MARKER__`.
const DELETED: &str = "aae45badef99284e4dae01d6046154ea9d99532f";

/// When the controller is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// All the time.
    Running,
    /// It is killed after it has acted, and another one goes on.
    KilledInBetween,
    /// Only between the events: no replica runs while they happen.
    AwayMeanwhile,
}
use Presence::{AwayMeanwhile, KilledInBetween, Running};

/// What happens to a ConfigMap and its Deployment, both of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// The Deployment waits for it, and it comes.
    Created,
    Deleted,
    /// As [`Self::Deleted`], of a Deployment that was never restarted before.
    DeletedUnmarked,
    ReturnsTheSame,
    ReturnsTheSameUnmarked,
    ReturnsChanged,
    /// Deleted and recreated at once.
    Replaced,
    /// The same with other content.
    ReplacedChanged,
    /// Nothing.
    Left,
}

impl Story {
    const ALL: [Self; 9] = [
        Self::Created,
        Self::Deleted,
        Self::DeletedUnmarked,
        Self::ReturnsTheSame,
        Self::ReturnsTheSameUnmarked,
        Self::ReturnsChanged,
        Self::Replaced,
        Self::ReplacedChanged,
        Self::Left,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether its Deployment has a marker before anything comes or goes.
    fn is_marked(self) -> bool {
        !matches!(
            self,
            Self::Created | Self::DeletedUnmarked | Self::ReturnsTheSameUnmarked
        )
    }

    fn is_away_for_a_while(self) -> bool {
        matches!(
            self,
            Self::Deleted
                | Self::DeletedUnmarked
                | Self::ReturnsTheSame
                | Self::ReturnsTheSameUnmarked
                | Self::ReturnsChanged
        )
    }

    /// The first half of what happens.
    async fn first(self, world: &World) {
        match self {
            Self::Created => drop(world.create(&config_map(&self.name(), "one")).await),
            Self::Replaced => replace(world, &self.name(), "one").await,
            Self::ReplacedChanged => replace(world, &self.name(), "two").await,
            _ if self.is_away_for_a_while() => delete(world, &self.name()).await,
            _ => {}
        }
    }

    async fn second(self, world: &World) {
        let value = match self {
            Self::ReturnsTheSame | Self::ReturnsTheSameUnmarked => "one",
            Self::ReturnsChanged => "two",
            _ => return,
        };
        world.create(&config_map(&self.name(), value)).await;
    }
}

async fn replace(world: &World, name: &str, value: &str) {
    delete(world, name).await;
    world.create(&config_map(name, value)).await;
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    create: bool,
    delete: bool,
    strategy: Strategy,
    presence: Presence,
}

impl Row {
    /// Restarts after the first half and after the second.
    fn rollouts(self, story: Story) -> (usize, usize) {
        let restarts_on_delete = self.delete && (self.strategy == Annotations || story.is_marked());
        let first = match story {
            Story::Created => self.create,
            Story::ReplacedChanged => true,
            Story::Replaced | Story::Left => false,
            _ => restarts_on_delete,
        };
        let second = match story {
            Story::ReturnsTheSame => self.create && self.delete,
            // A deletion that restarted nothing leaves the pods with what they had. A later leader does not know that,
            // and restarts as upstream would.
            Story::ReturnsTheSameUnmarked => {
                self.create && self.delete && (restarts_on_delete || self.presence != Running)
            }
            Story::ReturnsChanged => true,
            _ => false,
        };
        (usize::from(first), usize::from(first) + usize::from(second))
    }

    /// The digest that the marker shows at the end.
    fn marker(self, story: Story) -> Option<String> {
        let one = || Some(digest_of("one"));
        match story {
            Story::Created => one().filter(|_| self.create),
            Story::Deleted if self.delete && self.strategy == EnvVars => None,
            Story::Deleted if self.delete => Some(DELETED.to_owned()),
            Story::DeletedUnmarked | Story::ReturnsTheSameUnmarked if self.rollouts(story).1 == 0 => None,
            Story::DeletedUnmarked => Some(DELETED.to_owned()),
            Story::ReturnsTheSame | Story::ReturnsTheSameUnmarked if self.delete && !self.create => {
                (self.strategy == Annotations).then(|| DELETED.to_owned())
            }
            Story::ReturnsChanged | Story::ReplacedChanged => Some(digest_of("two")),
            _ => one(),
        }
    }

    async fn start(self, world: &World) -> Controller {
        let controller = world
            .controller()
            .args(args(self.create, self.delete, self.strategy))
            .start()
            .await;
        controller.wait_log("became leader").await;
        controller.wait_idle().await;
        controller
    }

    /// The controller as it is when the next thing happens.
    async fn go_on(self, world: &World, controller: Controller) -> Option<Controller> {
        match self.presence {
            Running => Some(controller),
            KilledInBetween => {
                controller.replica.kill();
                Some(self.start(world).await)
            }
            AwayMeanwhile => {
                in_another_second(world).await;
                controller.replica.terminate().expect("it runs");
                controller.wait_exit(PATIENCE).await;
                None
            }
        }
    }

    async fn play(self) {
        let world = World::new("create-delete").await;
        for story in Story::ALL {
            if story != Story::Created {
                let first = if story.is_marked() { "zero" } else { "one" };
                world.create(&config_map(&story.name(), first)).await;
            }
            let pod = pod_with_config_map(&story.name());
            world.create(&deployment(&story.name(), &AUTO, &pod)).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let controller = self.start(&world).await;
        wait_for_ledger(&world, Story::ALL.len() + 1 + usize::from(self.create)).await;

        let marked: Vec<Story> = Story::ALL.into_iter().filter(|story| story.is_marked()).collect();
        for story in &marked {
            world.change_config_map(&story.name(), "one").await;
        }
        for story in &marked {
            world.wait_for_rollouts("deployments", &story.name(), 1).await;
        }
        sentinel.pass().await;
        wait_for_ledger(&world, Story::ALL.len() + 1 + usize::from(self.create)).await;

        let controller = self.go_on(&world, controller).await;
        stream::iter(Story::ALL)
            .for_each_concurrent(8, async |story| story.first(&world).await)
            .await;
        let controller = self.come_back(&world, controller).await;
        sentinel.pass().await;
        // What is owed since before the start is behind the sentinel's change.
        controller.wait_idle().await;
        self.check(&world, "first", |story| self.rollouts(story).0);
        if self.presence == KilledInBetween {
            // What was done and is not written down yet is the one thing that another leader cannot know.
            let away = Story::ALL.into_iter().filter(|story| story.is_away_for_a_while());
            for story in away {
                let line = format!("{} {} absent", story.name(), digest_of("one"));
                wait_for_line(&world, &line).await;
            }
        }

        let controller = self.go_on(&world, controller).await;
        stream::iter(Story::ALL)
            .for_each_concurrent(8, async |story| story.second(&world).await)
            .await;
        let controller = self.come_back(&world, controller).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        self.check(&world, "second", |story| self.rollouts(story).1);
        for story in Story::ALL {
            let shown = marker(&world, self.strategy, &story.name()).await;
            assert_eq!(shown, self.marker(story), "{story:?}: {self:?}");
        }
    }

    async fn come_back(self, world: &World, controller: Option<Controller>) -> Controller {
        match controller {
            Some(controller) => controller,
            None => self.start(world).await,
        }
    }

    fn check(self, world: &World, half: &str, expected: impl Fn(Story) -> usize) {
        let rollouts = |story: Story| {
            let all = world.rollouts("deployments", &story.name());
            (story, all - usize::from(story.is_marked()))
        };
        let seen: Vec<_> = Story::ALL.into_iter().map(rollouts).collect();
        let expected: Vec<_> = Story::ALL
            .into_iter()
            .map(|story| (story, expected(story)))
            .collect();
        assert_eq!(seen, expected, "after the {half} half: {self:?}");
    }
}

/// Waits for the second after the last restart. The next leader doubts what was done in the very second in which the
/// ledger was written last (ADR 7): here its markers show the deletion, and the source is back.
async fn in_another_second(world: &World) {
    let last = world
        .writes_to("deployments")
        .last()
        .map(|patch| patch.stage_timestamp.as_second());
    eventually(PATIENCE, "another second", async || {
        (last < Some(Timestamp::now().as_second())).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// The digest that a Deployment's marker shows.
async fn marker(world: &World, strategy: Strategy, name: &str) -> Option<String> {
    if strategy == EnvVars {
        let variable = format!("STAKATER_{}_CONFIGMAP", name.to_uppercase());
        return world.variables(name).await.remove(&variable);
    }
    let deployment = world.api::<Deployment>().get(name).await.expect("the Deployment");
    let annotations = deployment.spec.template.metadata.expect("metadata").annotations;
    let text = annotations?.remove(LAST_RELOADED_FROM)?;
    let marker: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    marker["hash"].as_str().map(str::to_owned)
}

#[rstest]
fn each_creation_and_deletion_restarts_as_in_the_table(
    #[values(false, true)] create: bool,
    #[values(false, true)] delete: bool,
    #[values(EnvVars, Annotations)] strategy: Strategy,
    #[values(Running, KilledInBetween, AwayMeanwhile)] presence: Presence,
) {
    let row = Row {
        create,
        delete,
        strategy,
        presence,
    };
    run(row.play());
}
