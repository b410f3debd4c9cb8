//! How a test knows that nothing more is to come, without waiting for a length of time.
//!
//! Within a namespace the controller takes workloads in the order in which their changes came. So once a workload is
//! rolled whose source changed last, everything before it has been dealt with, or never will be. With `--workers=1`
//! this is exact; with more, a write that began before may still be under way.

use super::{World, objects::deployment, sources::SourceType};

/// One opted-in Deployment for each kind of source: each kind has its own watch stream, so one says nothing of the
/// other.
pub struct Sentinel<'a> {
    world: &'a World,
    passed: usize,
}

impl<'a> Sentinel<'a> {
    /// What the names of its objects begin with.
    pub const NAME: &'static str = "sentinel-";

    /// Sources and Deployments in the world's namespace; to be made before the controller is ready.
    pub async fn new(world: &'a World) -> Self {
        Self::opted_in_by(world, "reloader.stakater.com/auto").await
    }

    /// As [`Self::new`], with another name for the annotation that opts in.
    pub async fn opted_in_by(world: &'a World, annotation: &str) -> Self {
        for kind in SourceType::ALL {
            let name = name(kind);
            world.create_source(kind, &name, &[], "0").await;
            let object = deployment(&name, &[(annotation, "true")], &kind.used_by_pod(&name));
            world.create(&object).await;
        }
        Self { world, passed: 0 }
    }

    /// Returns when every change made before this call has been dealt with, by one worker that need not retry.
    ///
    /// Twice: a workload that was being restarted while its source changed again comes back to the queue behind the first.
    pub async fn pass(&mut self) {
        for _ in 0..2 {
            self.pass_once().await;
        }
    }

    async fn pass_once(&mut self) {
        self.passed += 1;
        for kind in SourceType::ALL {
            let value = self.passed.to_string();
            self.world.change_source(kind, &name(kind), &value).await;
        }
        for kind in SourceType::ALL {
            self.world
                .wait_for_rollouts("deployments", &name(kind), self.passed)
                .await;
        }
    }
}

fn name(kind: SourceType) -> String {
    format!("{}{}", Sentinel::NAME, kind.word())
}
