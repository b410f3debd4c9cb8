//! Hostile neighbours: single changes in one namespace while another one does all that its tenant may do.
//!
//! Each attack meets a controller of its own, so that what it keeps is the attack's.

mod attacks;

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};

use super::idle::WINDOW;
use crate::{
    controller::Controller,
    lab::{Lab, OWN_NAMESPACE},
    objects::{change, create_namespace, create_pairs, pair},
    references::{DESCRIPTORS, ISOLATED_LEDGER, ISOLATED_MEMORY, ISOLATED_P99, LIVE_FAILURES},
    report::Figure,
    statistics::percentile,
    trace::answered,
};
use attacks::Attack;

const SCENARIO: &str = "isolation";
/// The namespace of the single changes.
const CALM: &str = "calm";
const WORKLOADS: usize = 20;
/// Single changes beside each attack, at least.
const CHANGES: usize = 60;
const PAUSE: Duration = Duration::from_millis(150);
/// Namespaces that are watched one by one.
const NAMESPACES: usize = 80;

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, CALM).await?;
    create_pairs(&lab.client, CALM, WORKLOADS, true).await?;
    let mut figures = Vec::new();
    for attack in Attack::ALL {
        attack.prepare(lab).await?;
        figures.extend(beside(lab, attack).await?);
        attack.clear(lab).await?;
    }
    figures.push(descriptors(lab).await?);
    Ok(figures)
}

/// What single changes meet beside an attack, and what it makes the controller keep.
async fn beside(lab: &Lab, attack: Attack) -> Result<Vec<Figure>> {
    let controller = Controller::start(lab, attack.name(), &[]).await?;
    let since = Timestamp::now();
    let mut failed = 0;
    let mut number = 0;
    let attacking = attack.run(lab);
    tokio::pin!(attacking);
    let mut is_over = false;
    while !is_over || number < CHANGES {
        let value = format!("{}-{number}", attack.name());
        change(&lab.client, CALM, &pair(number % WORKLOADS), &value).await?;
        failed += usize::from(!controller.is_live().await);
        number += 1;
        tokio::select! {
            ended = &mut attacking, if !is_over => {
                ended?;
                is_over = true;
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    lab.wait_for_quiet(&controller.user, Duration::from_secs(8))
        .await?;
    let answers = lab.trace(since)?.answers(&controller.user, CALM);
    let waited = answered(&answers);
    let peak = controller.memory()?.peak;
    controller.stop().await?;

    let what = |figure: &str| format!("{}: {figure}", attack.describe());
    Ok(vec![
        Figure::new(
            SCENARIO,
            what("change → PATCH elsewhere beyond the window, p99"),
            "ms",
            percentile(&waited, 99.0) - WINDOW,
            ISOLATED_P99,
        )
        .note(format!("{} of {} changes answered", waited.len(), answers.len())),
        Figure::count(SCENARIO, what("/live other than 200"), failed, LIVE_FAILURES),
        Figure::new(SCENARIO, what("peak resident"), "MiB", peak, ISOLATED_MEMORY),
        Figure::count(
            SCENARIO,
            what("ledger ConfigMaps"),
            ledger(lab).await?,
            ISOLATED_LEDGER,
        ),
    ])
}

/// How many ConfigMaps the controller keeps in its own namespace.
async fn ledger(lab: &Lab) -> Result<usize> {
    let api = Api::<ConfigMap>::namespaced(lab.client.clone(), OWN_NAMESPACE);
    let kept = api.list_metadata(&ListParams::default()).await?;
    Ok(kept.items.len())
}

/// Open files where each namespace is watched by itself.
async fn descriptors(lab: &Lab) -> Result<Figure> {
    let names: Vec<String> = (0..NAMESPACES).map(|number| format!("space-{number}")).collect();
    for name in &names {
        create_namespace(&lab.client, name).await?;
    }
    let namespaces = format!("--namespaces={}", names.join(","));
    let controller = Controller::start(lab, "spaces", &[&namespaces]).await?;
    let folder = format!("/proc/{}/fd", controller.replica.pid());
    let open = std::fs::read_dir(&folder).with_context(|| format!("read {folder}"))?;
    let each = f64::from(u32::try_from(open.count())?) / f64::from(u32::try_from(NAMESPACES)?);
    controller.stop().await?;
    Ok(Figure::new(
        SCENARIO,
        "--namespaces with 80 of them: descriptors for each",
        "",
        each,
        DESCRIPTORS,
    ))
}
