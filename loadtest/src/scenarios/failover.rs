//! The leader of two replicas ends under load: how long nobody acts, and whether anything is lost.

use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    lab::{Lab, PATIENCE},
    load::{Load, Replicas},
    references::{KILL_GAP, KILL_WRONG, Reference, TERM_GAP, TERM_WRONG},
    report::Figure,
};

const SCENARIO: &str = "failover";
const WORKLOADS: usize = 50;
/// Load before the leader ends, and after the next one has begun.
const CHANGES_AROUND: usize = 25;
/// Longer than the longest wait of a takeover's catching up.
const QUIET: Duration = Duration::from_secs(3);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    figures.extend(ending(lab, "kill -9", Ending::Kill, KILL_GAP, KILL_WRONG).await?);
    figures.extend(ending(lab, "SIGTERM", Ending::Terminate, TERM_GAP, TERM_WRONG).await?);
    Ok(figures)
}

/// How the leader ends.
enum Ending {
    /// At once, as when its node is lost.
    Kill,
    /// In order, as in a rolling update.
    Terminate,
}

async fn ending(
    lab: &Lab,
    how: &'static str,
    end: Ending,
    gap_reference: Reference,
    wrong_reference: Reference,
) -> Result<[Figure; 2]> {
    let word = how.split(' ').next().unwrap_or(how).to_lowercase();
    let namespace = format!("failover-{word}");
    let mut load = Load::create(lab, &namespace, WORKLOADS).await?;
    let Replicas { leader, standby } = Replicas::start(lab, &mut load).await?;
    for _ in 0..CHANGES_AROUND {
        load.next().await?;
    }

    let ended = Timestamp::now();
    match end {
        Ending::Kill => leader.replica.kill(),
        Ending::Terminate => leader.replica.terminate()?,
    }
    let begun = Instant::now();
    let first = loop {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "no takeover: {}",
            standby.replica.log()
        );
        load.next().await?;
        let trace = lab.trace(ended)?;
        if let Some(first) = trace.patches(&standby.user, &namespace).first() {
            break first.request_received;
        }
    };
    for _ in 0..CHANGES_AROUND {
        load.next().await?;
    }
    lab.wait_for_quiet(&standby.user, QUIET).await?;
    let wrong = load.wrong().await?;
    standby.stop().await?;
    let gap = first.duration_since(ended).as_secs_f64();
    Ok([
        Figure::new(
            SCENARIO,
            format!("{how}: until the next leader's first PATCH"),
            "s",
            gap,
            gap_reference,
        ),
        Figure::count(
            SCENARIO,
            format!("{how}: workloads wrong for good, of 50"),
            wrong,
            wrong_reference,
        ),
    ])
}
