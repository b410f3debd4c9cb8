//! How far a workload is with bringing its pods to its present template.
//!
//! Input: none. Output: [`Rollout`]. I/O: none.
//!
//! Pods are not watched. What is known of them is what the workload's own status says; `watch` reads it by the rules of
//! each kind.

use std::time::Duration;

use super::UnixSeconds;

/// How long a workload counts as rolling after its restart where nothing shows how far it is.
const OPAQUE: Duration = Duration::from_mins(1);

/// What the status of a workload says of its rollout. It is kept for every workload that opts in: at most 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// How far it is.
    pub state: RolloutState,
    /// Every pod that is asked for is available, of whichever template.
    pub is_healthy: bool,
    /// At least one pod is asked for.
    pub has_pods: bool,
    /// When the last rollout was completed; of Deployments and DeploymentConfigs only.
    pub completed_at: Option<UnixSeconds>,
    /// A hash that differs when the rollout has made progress.
    pub progress: u32,
}

/// How far a workload is with bringing its pods to its present template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RolloutState {
    /// No pods of an earlier template are being replaced. Some may be unavailable all the same.
    #[default]
    Steady,
    /// Its controller has not seen the present spec yet.
    Unobserved,
    /// Pods of an earlier template are being replaced.
    Rolling,
    /// Its controller has given the rollout up, or says that it cannot go on.
    Failed,
    /// Reloader has paused it: its pods are replaced when the pause period ends.
    Paused,
    /// Others have paused it, or its strategy keeps pods from being replaced.
    Held,
    /// A custom kind whose status has no field that tells.
    Opaque,
    /// A Job or CronJob, which have no rollouts.
    Never,
}

impl RolloutState {
    /// Every state there is.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 8] = [
        Self::Steady,
        Self::Unobserved,
        Self::Rolling,
        Self::Failed,
        Self::Paused,
        Self::Held,
        Self::Opaque,
        Self::Never,
    ];

    /// Whether pods are being replaced, or are about to be.
    pub const fn is_in_progress(self) -> bool {
        matches!(self, Self::Unobserved | Self::Rolling | Self::Paused)
    }

    /// Whether it counts among the rollouts in progress, where it has not moved for so long, and need not for `timeout`.
    pub fn takes_a_place(self, unmoved_for: Duration, timeout: Duration) -> bool {
        match self {
            Self::Paused => true,
            Self::Unobserved | Self::Rolling => unmoved_for < timeout,
            Self::Opaque => unmoved_for < OPAQUE,
            Self::Steady | Self::Failed | Self::Held | Self::Never => false,
        }
    }
}

const _: () = assert!(size_of::<Rollout>() <= 32, "one for each workload");

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(RolloutState::Steady, false)]
    #[case(RolloutState::Unobserved, true)]
    #[case(RolloutState::Rolling, true)]
    #[case(RolloutState::Failed, false)]
    #[case(RolloutState::Paused, true)]
    #[case(RolloutState::Held, false)]
    #[case(RolloutState::Opaque, false)]
    #[case(RolloutState::Never, false)]
    fn what_is_stuck_is_not_in_progress(#[case] state: RolloutState, #[case] expected: bool) {
        assert_eq!(state.is_in_progress(), expected);
    }

    #[test]
    fn a_place_is_free_when_nothing_has_moved_for_too_long() {
        use RolloutState::{Opaque, Paused, Rolling, Unobserved};

        let taken = |seconds| {
            let unmoved_for = Duration::from_secs(seconds);
            let taken = |state: &RolloutState| state.takes_a_place(unmoved_for, Duration::from_mins(10));
            RolloutState::ALL.into_iter().filter(taken).collect::<Vec<_>>()
        };
        assert_eq!(taken(59), [Unobserved, Rolling, Paused, Opaque]);
        assert_eq!(taken(599), [Unobserved, Rolling, Paused]);
        assert_eq!(taken(600), [Paused]);
    }
}
