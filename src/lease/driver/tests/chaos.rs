//! Random mishaps: never two writers, and a writer again when they are over.

use proptest::prelude::*;

use super::{Candidate, Fault, Link, Server, StoreError, leader, millis, pass, pass_until, secs};

const CANDIDATES: usize = 3;

#[derive(Clone, Debug)]
enum Mishap {
    /// Requests and answers of one candidate take this many milliseconds.
    Latency(usize, u64, u64),
    /// Its next requests go wrong.
    Faults(usize, Vec<Fault>),
    /// Nothing gets through from or to it.
    Cut(usize, bool),
    /// It is not scheduled.
    Freeze(usize, bool),
    Kill(usize),
    Release(usize),
    /// One more candidate, with or without the permission to watch.
    Start(bool),
    /// No request gets through.
    Outage(bool),
    /// Another client labels the Lease.
    Label,
    /// One wall clock is off by this many seconds.
    WallClock(usize, i64),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let who = || 0..CANDIDATES;
    let fault = prop_oneof![
        Just(Fault::RequestLost),
        Just(Fault::AnswerLost),
        Just(Fault::Refused(StoreError::Timeout)),
        Just(Fault::Refused(StoreError::Conflict)),
    ];
    prop_oneof![
        3 => (who(), 0_u64..3000, 0_u64..3000).prop_map(|(who, there, back)| Mishap::Latency(who, there, back)),
        3 => (who(), prop::collection::vec(fault, 1..6)).prop_map(|(who, faults)| Mishap::Faults(who, faults)),
        3 => (who(), any::<bool>()).prop_map(|(who, cut)| Mishap::Cut(who, cut)),
        3 => (who(), any::<bool>()).prop_map(|(who, frozen)| Mishap::Freeze(who, frozen)),
        1 => who().prop_map(Mishap::Kill),
        1 => who().prop_map(Mishap::Release),
        1 => any::<bool>().prop_map(Mishap::Start),
        1 => any::<bool>().prop_map(Mishap::Outage),
        1 => Just(Mishap::Label),
        1 => (who(), -3600_i64..3600).prop_map(|(who, seconds)| Mishap::WallClock(who, seconds)),
    ]
}

fn apply(mishap: Mishap, server: &Server, candidates: &mut Vec<Candidate>) {
    match mishap {
        Mishap::Latency(who, there, back) => {
            candidates[who]
                .link
                .set(|link| link.latency = (millis(there), millis(back)));
        }
        Mishap::Faults(who, faults) => candidates[who].link.set(|link| link.faults.extend(faults)),
        Mishap::Cut(who, cut) => candidates[who].link.set(|link| link.cut = cut),
        Mishap::Freeze(who, frozen) => candidates[who].freeze(frozen),
        Mishap::Kill(who) => candidates[who].kill(),
        Mishap::Release(who) => {
            let leadership = candidates[who].leadership.clone();
            tokio::spawn(async move { leadership.release().await });
        }
        Mishap::Start(may_watch) => {
            let link = Link::new();
            link.set(|link| link.may_watch = may_watch);
            candidates.push(Candidate::start_with(
                server,
                &format!("late-{}", candidates.len()),
                link,
            ));
        }
        Mishap::Outage(cut) => candidates
            .iter()
            .for_each(|candidate| candidate.link.set(|link| link.cut = cut)),
        Mishap::Label => server.edit(|lease| {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            lease
                .metadata
                .labels
                .get_or_insert_default()
                .insert("seen".to_owned(), version);
        }),
        Mishap::WallClock(who, seconds) => candidates[who].clock.put_wall(seconds),
    }
}

/// [`pass`] asserts every 5 ms that at most one candidate may write.
async fn run(script: Vec<(u64, Mishap)>) {
    let server = Server::default();
    let mut candidates: Vec<_> = ["a", "b", "c"]
        .map(|identity| Candidate::start(&server, identity))
        .into();
    pass(secs(4), &candidates).await;
    for (pause, mishap) in script {
        apply(mishap, &server, &mut candidates);
        pass(millis(pause), &candidates).await;
    }
    for candidate in &candidates {
        candidate.freeze(false);
        candidate.link.set(|link| {
            link.cut = false;
            link.faults.clear();
            link.latency = (millis(2), millis(2));
        });
    }
    pass(secs(12), &candidates).await;
    if candidates.iter().any(|candidate| !candidate.task.is_finished()) {
        let led = pass_until(secs(30), &candidates, || leader(&candidates).is_some()).await;
        assert!(led.is_some(), "no candidate leads although one is there");
    }
}

proptest! {
    // No regression files: what they would keep belongs into a named test.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn never_two_writers_and_always_one_in_the_end(
        script in prop::collection::vec((0_u64..9000, mishap()), 1..14),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(script));
    }
}
