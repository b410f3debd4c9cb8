//! Acts that belong together: what rarely meets by chance, and has cost changes.
//!
//! Input: what there is, when it begins. Output: acts, each of which can be left out when a plan shrinks. I/O: none.

use super::{Act, Setting, Timed, random::usize_within};
use crate::{
    draws::Draws,
    link::{Watched, Weather},
};

/// Acts one after the other.
struct Episode {
    at_ms: u64,
    acts: Vec<Timed>,
}

impl Episode {
    fn act(&mut self, act: Act) {
        let at_ms = self.at_ms;
        self.acts.push(Timed { at_ms, act });
    }

    /// Something happens, so many milliseconds after the act before.
    fn then(&mut self, after_ms: u64, act: Act) {
        self.at_ms += after_ms;
        self.act(act);
    }
}

/// One of the episodes.
pub(super) fn one(setting: &Setting, begins_ms: u64, draws: &mut Draws) -> Vec<Timed> {
    let mut episode = Episode {
        at_ms: begins_ms,
        acts: Vec::new(),
    };
    match draws.within(0..5) {
        0 => a_patch_without_an_answer(&mut episode, setting, draws),
        1 => a_death_before_the_ledger(&mut episode, setting, draws),
        2 => rollouts_behind_a_dead_watch(&mut episode, setting, draws),
        3 => sources_at_once(&mut episode, setting, draws),
        _ => sources_behind_a_dead_watch(&mut episode, setting, draws),
    }
    episode.acts
}

/// A patch is applied, its answer is lost, and the source returns to what it held before. The watch does not show the patch, and
/// another restart makes the ledger say that it has everything.
fn a_patch_without_an_answer(episode: &mut Episode, setting: &Setting, draws: &mut Draws) {
    let source = source(setting, draws);
    let (before, after) = two_contents(draws);
    episode.act(Act::Write {
        source,
        content: before,
    });
    let weather = Weather {
        unanswered_patches: 1000,
        silent_watches: draws.permille(800),
        silent_only: Some(Watched::Workloads),
        ..Weather::default()
    };
    let lasts = setting.window_ms + draws.within(3_000..12_000);
    episode.then(draws.within(6_000..12_000), network(None, weather, lasts));
    let begun = episode.at_ms;
    episode.then(
        draws.within(1..500),
        Act::Write {
            source,
            content: after,
        },
    );
    episode.then(
        setting.window_ms + draws.within(50..8_000),
        Act::Write {
            source,
            content: before,
        },
    );
    episode.at_ms = episode.at_ms.max(begun + lasts);
    if draws.permille(700) {
        let (source, content) = (source_beside(setting, source, draws), draws.within(0..3));
        episode.then(draws.within(1..4_000), Act::Write { source, content });
    }
    if draws.permille(700) {
        episode.at_ms += draws.within(6_000..20_000);
        deaths(episode, setting, draws);
    }
    afterwards(episode, setting, source, draws);
}

/// The leader dies between a restart and the ledger's write.
fn a_death_before_the_ledger(episode: &mut Episode, setting: &Setting, draws: &mut Draws) {
    let source = source(setting, draws);
    let (before, after) = two_contents(draws);
    episode.act(Act::Write {
        source,
        content: before,
    });
    if draws.permille(400) {
        let weather = silent(Some(*draws.one(&[Watched::Sources, Watched::Workloads])));
        let replica = draws
            .permille(500)
            .then(|| usize_within(draws, 0..setting.replicas as u64));
        episode.then(
            draws.within(6_000..15_000),
            network(replica, weather, draws.skewed(60_000)),
        );
    }
    episode.then(
        draws.within(1..8_000),
        Act::Write {
            source,
            content: after,
        },
    );
    death(episode, setting, draws, 7_000);
    episode.then(
        draws.skewed(15_000),
        Act::Write {
            source,
            content: before,
        },
    );
    afterwards(episode, setting, source, draws);
}

/// Other clients change templates that replicas do not see, and sources that they see.
fn rollouts_behind_a_dead_watch(episode: &mut Episode, setting: &Setting, draws: &mut Draws) {
    // Connections that are dead are so until that is noticed, a minute later.
    episode.act(network(
        None,
        silent(Some(Watched::Workloads)),
        draws.skewed(5_000),
    ));
    let workload = workload(setting, draws);
    for _ in 0..draws.within(1..4) {
        let content = draws.within(0..3);
        let act = match draws.within(0..6) {
            0 | 1 => Act::Upgrade { workload, content },
            2 => Act::Edit { workload },
            3 => Act::Undo { workload },
            4 => Act::Recreate { workload },
            _ => Act::Label { workload },
        };
        episode.then(draws.skewed(15_000), act);
        let source = source(setting, draws);
        let content = draws.within(0..3);
        episode.then(draws.skewed(10_000), Act::Write { source, content });
    }
    if draws.permille(500) {
        death(episode, setting, draws, 20_000);
    }
}

/// Sources change, go and come, which replicas do not see, while others lead.
fn sources_behind_a_dead_watch(episode: &mut Episode, setting: &Setting, draws: &mut Draws) {
    let replica = draws
        .permille(500)
        .then(|| usize_within(draws, 0..setting.replicas as u64));
    episode.act(network(
        replica,
        silent(Some(Watched::Sources)),
        draws.skewed(60_000),
    ));
    let source = source(setting, draws);
    for _ in 0..draws.within(1..4) {
        let content = draws.within(0..3);
        let act = match draws.within(0..4) {
            0 => Act::Replace {
                source,
                gone_ms: draws.skewed(20_000),
                content,
            },
            _ => Act::Write { source, content },
        };
        episode.then(draws.skewed(15_000), act);
    }
    death(episode, setting, draws, 20_000);
    afterwards(episode, setting, source, draws);
}

/// Another source changes while the patch for one is under way, mostly to the same content.
fn sources_at_once(episode: &mut Episode, setting: &Setting, draws: &mut Draws) {
    for _ in 0..draws.within(1..4) {
        let (first, content) = (source(setting, draws), draws.within(0..3));
        episode.then(
            draws.skewed(15_000),
            Act::Write {
                source: first,
                content,
            },
        );
        let other = source_beside(setting, first, draws);
        let content = if draws.permille(700) {
            content
        } else {
            draws.within(0..3)
        };
        let decided = setting.window_ms + draws.within(0..30);
        episode.then(
            decided,
            Act::Write {
                source: other,
                content,
            },
        );
    }
}

/// The leader dies, or all replicas at once, within that time; or none.
fn death(episode: &mut Episode, setting: &Setting, draws: &mut Draws, within_ms: u64) {
    let after = draws.within(1..within_ms);
    let down_ms = draws.skewed(20_000);
    match draws.within(0..5) {
        0 | 1 => episode.then(after, Act::KillLeader { down_ms }),
        2 | 3 => {
            episode.at_ms += after;
            deaths(episode, setting, draws);
        }
        _ => {}
    }
}

/// All replicas die at once.
fn deaths(episode: &mut Episode, setting: &Setting, draws: &mut Draws) {
    for replica in 0..setting.replicas {
        let down_ms = draws.skewed(20_000);
        episode.act(Act::Kill { replica, down_ms });
    }
}

/// The source changes once more, or does not.
fn afterwards(episode: &mut Episode, setting: &Setting, source: usize, draws: &mut Draws) {
    if draws.permille(250) {
        let content = draws.within(0..3);
        episode.then(draws.skewed(20_000), Act::Write { source, content });
    }
    if draws.permille(250) {
        let workload = workload(setting, draws);
        episode.then(draws.skewed(20_000), Act::Undo { workload });
    }
}

const fn network(replica: Option<usize>, weather: Weather, for_ms: u64) -> Act {
    Act::Network {
        replica,
        weather,
        for_ms,
    }
}

fn silent(only: Option<Watched>) -> Weather {
    Weather {
        silent_watches: true,
        silent_only: only,
        ..Weather::default()
    }
}

fn source(setting: &Setting, draws: &mut Draws) -> usize {
    usize_within(draws, 0..setting.sources as u64)
}

/// Another one, where there is one.
fn source_beside(setting: &Setting, source: usize, draws: &mut Draws) -> usize {
    (source + usize_within(draws, 1..setting.sources.max(2) as u64)) % setting.sources
}

fn workload(setting: &Setting, draws: &mut Draws) -> usize {
    usize_within(draws, 0..setting.workloads.len() as u64)
}

/// Two that differ.
fn two_contents(draws: &mut Draws) -> (u64, u64) {
    let before = draws.within(0..3);
    (before, (before + 1 + draws.within(0..2)) % 3)
}
