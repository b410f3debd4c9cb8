//! The leader is killed in the middle of a burst, or stands still while another takes over and wakes again.

use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    lab::Lab,
    load::{Load, Replicas},
    references::{CRASH_WRONG, STOPPED_PATCHES, STOPPED_WRITES, STOPPED_WRONG},
    report::Figure,
};

const SCENARIO: &str = "crash";
/// Sources that change at once.
const BURST: usize = 100;
/// Workloads under load while the leader stands still.
const WORKLOADS: usize = 50;
/// Twice the lease.
const STOPPED: Duration = Duration::from_secs(30);
/// How long it is watched after it woke.
const AWAKE: Duration = Duration::from_secs(20);
/// Longer than a lease and a takeover: what is wrong then stays wrong.
const FOR_GOOD: Duration = Duration::from_secs(40);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (patch, reference) in CRASH_WRONG {
        figures.push(killed_at(lab, patch, reference).await?);
    }
    figures.extend(stopped(lab).await?);
    Ok(figures)
}

async fn killed_at(lab: &Lab, patch: usize, reference: crate::references::Reference) -> Result<Figure> {
    let namespace = format!("crash-{patch}");
    let mut load = Load::create(lab, &namespace, BURST).await?;
    let Replicas { leader, standby } = Replicas::start(lab, &mut load).await?;
    let burst = Timestamp::now();
    let kill = async {
        loop {
            let count = lab.trace(burst)?.patches(&leader.user, &namespace).len();
            if count >= patch {
                leader.replica.kill();
                return Ok::<_, anyhow::Error>(count);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (changed, killed_after) = tokio::join!(load.change_at_once(BURST), kill);
    changed?;
    let wrong = load.wrong_after(FOR_GOOD).await?;
    standby.stop().await?;
    let what = format!("kill -9 at patch {patch} of 100: workloads wrong for good");
    let note = format!("{} had been answered", killed_after?);
    Ok(Figure::count(SCENARIO, what, wrong, reference).note(note))
}

async fn stopped(lab: &Lab) -> Result<[Figure; 3]> {
    let namespace = "stopped";
    let mut load = Load::create(lab, namespace, WORKLOADS).await?;
    let Replicas { leader, standby } = Replicas::start(lab, &mut load).await?;
    leader.replica.pause()?;
    keep_changing(&mut load, STOPPED).await?;
    let woken = Timestamp::now();
    leader.replica.resume()?;
    keep_changing(&mut load, AWAKE).await?;
    let wrong = load.wrong_after(FOR_GOOD).await?;
    let writes = lab.plane.audit().writes_by(&leader.user)?;
    let accepted = writes
        .iter()
        .filter(|write| write.request_received >= woken && write.succeeded() && write.resource != "events");
    let patches = lab.trace(woken)?.patches(&leader.user, namespace).len();
    standby.stop().await?;
    Ok([
        Figure::count(
            SCENARIO,
            "stopped for 30 s: its writes after another led",
            accepted.count(),
            STOPPED_WRITES,
        ),
        Figure::count(
            SCENARIO,
            "stopped for 30 s: markers it set back",
            patches,
            STOPPED_PATCHES,
        ),
        Figure::count(
            SCENARIO,
            "stopped for 30 s: workloads wrong for good, of 50",
            wrong,
            STOPPED_WRONG,
        ),
    ])
}

async fn keep_changing(load: &mut Load<'_>, time: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        load.next().await?;
    }
    Ok(())
}
