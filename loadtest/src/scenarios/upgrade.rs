//! An upgrade from an earlier version in place, and back, while sources change: what is lost, and what rolls twice.
//!
//! Each change has a content of its own, so the markers of a workload, in order, have to be some of its contents in their
//! order, and the last one of both has to be the same.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use testbed::digest_of;

use crate::{
    controller::Controller,
    lab::Lab,
    objects::{change, create_namespace, create_pairs, pair},
    references::{SWAP_LOST, SWAP_ROLLED, SWAP_TWICE},
    report::Figure,
};

const SCENARIO: &str = "upgrade";
const NAMESPACE: &str = "upgrade";
const WORKLOADS: usize = 100;
/// Between two changes: 20 a second.
const PAUSE: Duration = Duration::from_millis(50);
/// Changes between two swaps.
const CHANGES: usize = 150;
/// Longer than the ledger's delay and the default window.
const QUIET: Duration = Duration::from_secs(8);

/// Which versions lead one after the other.
const ORDER: [Version; 5] = [
    Version::Former,
    Version::Present,
    Version::Former,
    Version::Present,
    Version::Former,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Former,
    Present,
}

/// Measures it.
pub async fn measure(lab: &Lab, former: Option<&Path>) -> Result<Vec<Figure>> {
    let former = former.context("name a program of the earlier version with --former")?;
    create_namespace(&lab.client, NAMESPACE).await?;
    create_pairs(&lab.client, NAMESPACE, WORKLOADS, true).await?;
    let under_load = beside_changes(lab, former).await?;
    let at_rest = at_rest(lab, former).await?;
    Ok(vec![under_load.lost, under_load.twice, at_rest])
}

struct UnderLoad {
    lost: Figure,
    twice: Figure,
}

/// Swaps while sources change.
async fn beside_changes(lab: &Lab, former: &Path) -> Result<UnderLoad> {
    let mut contents: Vec<Vec<String>> = vec![Vec::new(); WORKLOADS];
    let mut number = 0;
    let mut leader: Option<Controller> = None;
    for (swap, version) in ORDER.into_iter().enumerate() {
        let next = launch(lab, former, version, &format!("load-{swap}"))?;
        next.wait_ready().await?;
        for changed in 0..CHANGES {
            let value = format!("load-{number}");
            let workload = number % WORKLOADS;
            change(&lab.client, NAMESPACE, &pair(workload), &value).await?;
            contents[workload].push(value);
            number += 1;
            // The one before ends in the midst of the changes.
            if changed == CHANGES / 2
                && let Some(before) = leader.take()
            {
                before.replica.terminate()?;
                before.replica.wait_exit(Duration::from_secs(30)).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        leader = Some(next);
    }
    let remaining = leader.context("no leader")?;
    lab.wait_for_quiet(&remaining.user, QUIET).await?;
    remaining.stop().await?;

    let (mut left_behind, mut twice) = (0, 0);
    for (workload, contents) in contents.iter().enumerate() {
        let markers = markers(lab, workload)?;
        let last = contents.last().map(|content| digest_of(content));
        left_behind += usize::from(markers.last() != last.as_ref());
        let mut later = contents.iter().map(|content| digest_of(content));
        twice += markers
            .iter()
            .filter(|marker| !later.any(|digest| digest == **marker))
            .count();
    }
    let what = format!("{number} changes and {} swaps: ", ORDER.len() - 1);
    Ok(UnderLoad {
        lost: Figure::count(
            SCENARIO,
            format!("{what}workloads left behind"),
            left_behind,
            SWAP_LOST,
        ),
        twice: Figure::count(
            SCENARIO,
            format!("{what}rollouts twice or out of order"),
            twice,
            SWAP_TWICE,
        ),
    })
}

/// Swaps while nothing changes.
async fn at_rest(lab: &Lab, former: &Path) -> Result<Figure> {
    let since = Timestamp::now();
    for (swap, version) in ORDER.into_iter().enumerate() {
        let next = launch(lab, former, version, &format!("rest-{swap}"))?;
        next.wait_ready().await?;
        lab.wait_for_quiet(&next.user, QUIET).await?;
        next.stop().await?;
    }
    let patches = lab.trace(since)?;
    let rolled: usize = (0..ORDER.len())
        .map(|swap| patches.patches(&format!("rest-{swap}"), NAMESPACE).len())
        .sum();
    Ok(Figure::count(
        SCENARIO,
        format!("{} swaps, nothing changed: rollouts", ORDER.len()),
        rolled,
        SWAP_ROLLED,
    ))
}

fn launch(lab: &Lab, former: &Path, version: Version, user: &str) -> Result<Controller> {
    match version {
        Version::Former => Controller::launch_other(lab, former, user, &["--enable-ha=true"]),
        Version::Present => Controller::launch(lab, user, &["--enable-ha=true"]),
    }
}

/// What the workload's variable showed, one for each rollout.
fn markers(lab: &Lab, workload: usize) -> Result<Vec<String>> {
    let changes = lab
        .plane
        .audit()
        .template_changes("deployments", NAMESPACE, &pair(workload))?;
    let mut markers = Vec::new();
    for entry in changes {
        let template = entry.pod_template().context("no pod template in the audit log")?;
        let variables = template["spec"]["containers"][0]["env"].as_array();
        let name = format!("STAKATER_W_{workload}_CONFIGMAP");
        let marker = variables
            .into_iter()
            .flatten()
            .find(|variable| variable["name"] == *name)
            .and_then(|variable| variable["value"].as_str());
        match marker {
            Some(marker) => markers.push(marker.to_owned()),
            None => bail!("{} was changed and has no {name}", pair(workload)),
        }
    }
    Ok(markers)
}
