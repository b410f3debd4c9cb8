//! Sources changed while no replica runs: those are to be reloaded afterwards, and nothing else.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    controller::Controller,
    lab::Lab,
    objects::{change_all, create_namespace, create_pairs, pair},
    references::{DOWNTIME_NEEDLESS, DOWNTIME_RELOADED},
    report::Figure,
};

const SCENARIO: &str = "downtime";
const NAMESPACE: &str = "downtime";
const SOURCES: usize = 100;
const CHANGED: usize = 20;
/// Longer than the ledger waits before it writes (5 s) and than anything else takes.
const QUIET: Duration = Duration::from_secs(7);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    create_pairs(&lab.client, NAMESPACE, SOURCES, true).await?;
    let before = Controller::start(lab, "before", &[]).await?;
    lab.wait_for_quiet(&before.user, QUIET).await?;
    before.stop().await?;

    change_all(&lab.client, NAMESPACE, (0..CHANGED).map(pair), "1").await?;

    let since = Timestamp::now();
    let after = Controller::start(lab, "after", &[]).await?;
    lab.wait_for_quiet(&after.user, QUIET).await?;
    let trace = lab.trace(since)?;
    let patches = trace.patches(&after.user, NAMESPACE);
    let is_changed = |name: &str| (0..CHANGED).any(|number| pair(number) == name);
    let mut reloaded: Vec<&str> = patches.iter().map(|patch| patch.name.as_str()).collect();
    let all = reloaded.len();
    reloaded.retain(|name| is_changed(name));
    reloaded.sort_unstable();
    reloaded.dedup();
    Ok(vec![
        Figure::count(
            SCENARIO,
            "reloaded, of 20 changed meanwhile",
            reloaded.len(),
            DOWNTIME_RELOADED,
        ),
        Figure::count(
            SCENARIO,
            "rolled needlessly",
            all - reloaded.len(),
            DOWNTIME_NEEDLESS,
        ),
    ])
}
