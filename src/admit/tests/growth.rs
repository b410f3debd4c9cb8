//! How long a good content takes to reach many workloads, in rollouts that follow each other.

use super::*;
use crate::admit::census::Tally;

const WORKLOADS: usize = 500;

/// Rounds in which all that may begin do, and all of these are healthy at the next.
fn rounds(annotations: &[(&str, &str)]) -> usize {
    let limits = policy(annotations).and_then(|policy| policy.limits);
    let rules = Rules::of(limits.as_deref(), None, &Limits::default());
    let source = SourceRef::new(SourceKind::Secret, "token");
    let workload = well();
    let (mut served, mut rounds) = (0, 0);
    while served < WORKLOADS {
        let mut begun = 0;
        while served + begun < WORKLOADS {
            let seats = (0..WORKLOADS).map(|number| Seat {
                key: &workload.key,
                owes: number >= served,
                state: RolloutState::Steady,
                is_healthy: true,
                has_pods: true,
                healthy_since: Some(UnixSeconds(0)),
                moved_at: Some(UnixSeconds(0)),
                wave: 0,
                is_reserved: (served..served + begun).contains(&number),
                was_sick: false,
                is_stuck: false,
            });
            let tally = Tally::of(seats, &rules, UnixSeconds(0));
            let groups = [Group {
                source: &source,
                rules,
                tally: &tally,
                is_owed: true,
                is_released: false,
            }];
            let others = Others {
                groups: &groups,
                ..Others::default()
            };
            let candidate = candidate(&workload);
            if among(candidate, &others) != Admission::Now {
                break;
            }
            begun += 1;
        }
        assert!(begun > 0, "{served} of {WORKLOADS} after {rounds} rounds");
        served += begun;
        rounds += 1;
    }
    rounds
}

/// docs/safe-rollouts.md has the first.
#[rstest]
#[case::canary(&[("reloader.stakater.com/canary", "1")], 10)]
#[case::canary_and_limit(
    &[("reloader.stakater.com/canary", "1"), ("reloader.stakater.com/max-concurrent-rollouts", "50")],
    16
)]
#[case::limit(&[("reloader.stakater.com/max-concurrent-rollouts", "10%")], 10)]
#[case::nothing(&[], 1)]
fn five_hundred_workloads_take_so_many_rollouts(
    #[case] annotations: &[(&str, &str)],
    #[case] expected: usize,
) {
    assert_eq!(rounds(annotations), expected);
}
