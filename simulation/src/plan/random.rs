//! Plans that follow from seeds.
//!
//! Input: a seed. Output: [`Plan`]. I/O: none.

use super::{Act, Plan, Setting, Timed, WorkloadSetting, episodes};
use crate::{
    draws::Draws,
    link::{Watched, Weather},
};

/// How long acts go on, in milliseconds.
const DURATION: u64 = 120_000;

/// The plan of that seed: acts that have nothing to do with each other, and [`episodes`].
pub(super) fn plan(seed: u64) -> Plan {
    let draws = Draws::new(seed);
    let setting = setting(&mut draws.of("setting", 0));
    let mut draw = draws.of("acts", 0);
    let (count, trouble) = (draw.within(4..40), draw.within(0..3));
    // Of much that happens at once, one thing often mends what another has broken.
    let is_calm = trouble > 0 && draw.permille(300);
    let count = if is_calm { count / 8 } else { count };
    let mut acts: Vec<Timed> = (0..count)
        .map(|number| {
            let mut draws = draws.of("act", number);
            Timed {
                at_ms: draws.within(0..DURATION),
                act: act(&setting, trouble, &mut draws),
            }
        })
        .collect();
    for number in 0..draw.within(0..trouble + 1) {
        let mut draws = draws.of("episode", number);
        let begins = draws.within(0..DURATION / 2);
        acts.extend(episodes::one(&setting, begins, &mut draws));
    }
    acts.sort_by_key(|timed| timed.at_ms);
    Plan { seed, setting, acts }
}

fn setting(draws: &mut Draws) -> Setting {
    let sources = usize_within(draws, 1..4);
    let workloads = usize_within(draws, 1..5);
    let workloads = (0..workloads).map(|_| {
        let plural = *draws.one(&["deployments", "deployments", "statefulsets", "daemonsets"]);
        let mut used: Vec<usize> = (0..sources).filter(|_| draws.permille(600)).collect();
        if used.is_empty() {
            used.push(0);
        }
        WorkloadSetting {
            plural: plural.to_owned(),
            sources: used,
            auto: draws.permille(400),
            replicas: usize_within(draws, 1..4),
        }
    });
    let workloads = workloads.collect();
    Setting {
        replicas: 3,
        fronts: 2,
        streams_lists: draws.permille(800),
        sources,
        workloads,
        strategy: draws.one(&["env-vars", "env-vars", "annotations"]).to_string(),
        window_ms: *draws.one(&[1000, 1000, 0, 100]),
        fast_permille: (0..3).map(|_| around_zero(draws, 200)).collect(),
        pod_start_ms: *draws.one(&[200, 3000, 20_000]),
        policies: None,
    }
}

fn around_zero(draws: &mut Draws, most: u32) -> i64 {
    let number = draws.within(0..2 * u64::from(most) + 1);
    i64::try_from(number).unwrap_or_default() - i64::from(most)
}

pub(super) fn usize_within(draws: &mut Draws, range: std::ops::Range<u64>) -> usize {
    usize::try_from(draws.within(range)).unwrap_or_default()
}

/// `trouble`: 0: users only; 1: also faults; 2: mostly faults.
fn act(setting: &Setting, trouble: u64, draws: &mut Draws) -> Act {
    let is_fault = draws.permille(trouble * 300);
    if is_fault {
        fault(setting, draws)
    } else {
        user(setting, draws)
    }
}

fn user(setting: &Setting, draws: &mut Draws) -> Act {
    let source = usize_within(draws, 0..setting.sources as u64);
    let workload = usize_within(draws, 0..setting.workloads.len() as u64);
    // Few, so that contents return.
    let content = draws.within(0..3);
    match draws.within(0..100) {
        0..55 => Act::Write { source, content },
        55..58 => Act::Touch { source },
        58..62 => Act::Replace {
            source,
            gone_ms: draws.skewed(20_000),
            content,
        },
        62..68 => Act::Upgrade { workload, content },
        68..74 => Act::Edit { workload },
        74..80 => Act::Undo { workload },
        80..84 => Act::Label { workload },
        84..88 => Act::Recreate { workload },
        88..92 => Act::Scale {
            workload,
            pods: usize_within(draws, 0..4),
        },
        _ => Act::PodDies {
            workload,
            pod: usize_within(draws, 0..3),
        },
    }
}

fn fault(setting: &Setting, draws: &mut Draws) -> Act {
    let replica = usize_within(draws, 0..setting.replicas as u64);
    let front = usize_within(draws, 0..setting.fronts as u64);
    let kinds = [
        "configmaps",
        "deployments",
        "statefulsets",
        "daemonsets",
        "leases",
    ];
    match draws.within(0..100) {
        0..30 => Act::Network {
            replica: draws.permille(700).then_some(replica),
            weather: weather(draws),
            for_ms: draws.skewed(40_000),
        },
        30..40 => Act::Lag {
            front,
            plural: draws.one(&kinds).to_string(),
            lag_ms: draws.skewed(10_000),
            for_ms: draws.skewed(30_000),
        },
        40..44 => Act::RestartFront { front },
        44..48 => Act::Compact,
        48..55 => Act::Kill {
            replica,
            down_ms: draws.skewed(40_000),
        },
        55..62 => Act::KillLeader {
            down_ms: draws.skewed(40_000),
        },
        62..70 => Act::Terminate {
            replica,
            down_ms: draws.skewed(40_000),
        },
        70..80 => Act::Stop {
            replica,
            for_ms: draws.skewed(40_000),
        },
        80..86 => Act::Slow {
            replica,
            permille: draws.within(1..200),
            for_ms: draws.skewed(30_000),
        },
        86..89 => Act::Wall {
            replica,
            ahead_ms: around_zero(draws, 2000),
        },
        89..91 => Act::Suspend {
            replica,
            for_ms: draws.skewed(30_000),
        },
        91..94 => Act::DeleteLease,
        94..96 => Act::DeleteLedger,
        _ => Act::Forbid {
            verb: draws
                .one(&["patch", "watch", "list", "update", "create"])
                .to_string(),
            plural: draws.one(&kinds[..4]).to_string(),
            at_home: false,
            for_ms: draws.skewed(40_000),
        },
    }
}

fn weather(draws: &mut Draws) -> Weather {
    let mut weather = Weather::default();
    match draws.within(0..8) {
        0 => weather.lost = 1000,
        1 => weather.unanswered = 1000,
        2 => {
            weather.lost = draws.within(0..500);
            weather.unanswered = draws.within(0..500);
        }
        3 => {
            weather.late = draws.within(100..1000);
            weather.late_ms = draws.skewed(9000);
        }
        4 => weather.refused = draws.within(100..1000),
        5 => {
            weather.silent_watches = true;
            weather.silent_only = *draws.one(&[None, Some(Watched::Sources), Some(Watched::Workloads)]);
        }
        6 => weather.unanswered_patches = draws.within(300..1001),
        _ => weather.cut_watches = true,
    }
    weather
}
