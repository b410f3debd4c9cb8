//! 300 different sources, each used by a Deployment of its own, changed at once in one namespace.

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::idle::WINDOW;
use crate::{
    controller::Controller,
    floor::{self, Floor},
    lab::Lab,
    objects::{change_all, create_namespace, create_pairs, pair},
    references::BURST,
    report::Figure,
};

const SCENARIO: &str = "burst";
const SOURCES: usize = 300;
const NAMESPACE: &str = "burst";

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    create_pairs(&lab.client, NAMESPACE, SOURCES, true).await?;
    let ours = {
        let controller = Controller::start(lab, "default", &[]).await?;
        let rate = served(lab, &controller.user).await?;
        controller.stop().await?;
        rate
    };
    let floors = {
        let _floor = Floor::start(lab, NAMESPACE, |source| vec![source.to_owned()]).await?;
        served(lab, floor::USER).await?
    };
    let note = format!(
        "the last PATCH came {:.2} s after the first source's write and {:.2} s after the last one's; floor: {:.2} s \
         and {:.2} s",
        ours.since_first, ours.since_last, floors.since_first, floors.since_last
    );
    Ok(vec![
        Figure::new(SCENARIO, "changes served", "/s", ours.rate(WINDOW), BURST)
            .floor(floors.rate(0.0))
            .note(note),
    ])
}

/// When the last PATCH came, in seconds.
struct Served {
    since_first: f64,
    since_last: f64,
}

impl Served {
    /// Changes a second from the first source's write on, the coalescing window left out. The API server needs most of
    /// that time for the writes themselves, so no controller can show much more than the floor.
    #[allow(clippy::cast_precision_loss, reason = "hundreds")]
    fn rate(&self, window: f64) -> f64 {
        SOURCES as f64 / (self.since_first - window / 1000.0)
    }
}

async fn served(lab: &Lab, user: &str) -> Result<Served> {
    let since = Timestamp::now();
    change_all(&lab.client, NAMESPACE, (0..SOURCES).map(pair), user).await?;
    lab.wait_for_patches(user, NAMESPACE, SOURCES, since).await?;
    let trace = lab.trace(since)?;
    let changes = trace.changes(NAMESPACE);
    let first = changes.first().context("no change in the audit log")?;
    let last = changes.last().context("no change in the audit log")?;
    let patches = trace.patches(user, NAMESPACE);
    let end = patches
        .last()
        .context("no PATCH in the audit log")?
        .request_received;
    Ok(Served {
        since_first: end.duration_since(first.request_received).as_secs_f64(),
        since_last: end.duration_since(last.stage_timestamp).as_secs_f64(),
    })
}
