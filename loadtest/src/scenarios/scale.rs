//! Memory and start of a controller that watches many objects, most of which are not opted in.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};
use testbed::proxy::{Fault, RequestHead, Rule};

use crate::{
    controller::{Controller, Memory},
    lab::{Lab, PATIENCE},
    objects::{change, create_all, create_namespace, create_pairs, pair},
    references::{MEMORY_EMPTY, MEMORY_LARGE, MEMORY_MANY, MEMORY_PAGED, MEMORY_PEAK, START, START_CPU},
    report::Figure,
};

const SCENARIO: &str = "scale";
const NAMESPACE: &str = "scale";
/// One of so many is large, as the release records of Helm are.
const LARGE_ONE_OF: usize = 10;
/// Longer than jemalloc keeps freed pages (10 s).
const SETTLE: Duration = Duration::from_secs(15);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    create_pairs(&lab.client, NAMESPACE, 1, true).await?;
    let empty = observe(lab, Controller::launch(lab, "empty", &[WINDOW])?).await?;

    // 5,900 Secrets of 129 MB and 3,200 ConfigMaps of 84 MB: 213 MB raw.
    let secrets = (0..5_900).map(|number| secret(number, size(number, 6_000, 165_000)));
    create_all::<Secret>(&lab.client, NAMESPACE, secrets).await?;
    let config_maps = (0..3_200).map(|number| filled_config_map(number, size(number, 10_900, 165_000)));
    create_all::<ConfigMap>(&lab.client, NAMESPACE, config_maps).await?;
    let large = observe(lab, Controller::launch(lab, "large", &[WINDOW])?).await?;

    let secrets = (10_000..20_000).map(|number| secret(number, 1_024));
    create_all::<Secret>(&lab.client, NAMESPACE, secrets).await?;
    let config_maps = (10_000..20_000).map(|number| filled_config_map(number, 1_024));
    create_all::<ConfigMap>(&lab.client, NAMESPACE, config_maps).await?;
    let many = observe(lab, Controller::launch(lab, "many", &[WINDOW])?).await?;

    let paged = start_paged(lab).await?;

    let resident = |what: &str, started: &Started, reference| {
        let Memory {
            resident,
            peak,
            anonymous,
        } = started.memory;
        let file = resident - anonymous;
        let note = format!("{anonymous:.1} heap and stacks, {file:.1} program file; peak {peak:.1}");
        Figure::new(SCENARIO, what, "MiB", started.memory.resident, reference).note(note)
    };
    let peak = large.memory.peak.max(many.memory.peak);
    Ok(vec![
        resident("resident, empty", &empty, MEMORY_EMPTY),
        resident("resident, 9,100 objects of 213 MB", &large, MEMORY_LARGE),
        resident("resident, 20,000 objects more", &many, MEMORY_MANY),
        Figure::new(SCENARIO, "resident, peak", "MiB", peak, MEMORY_PEAK),
        Figure::new(
            SCENARIO,
            "resident, peak, first lists in pages",
            "MiB",
            paged.memory.peak,
            MEMORY_PAGED,
        )
        .note(format!("{:.1} later", paged.memory.resident)),
        Figure::new(SCENARIO, "start → first PATCH", "s", many.first_patch, START),
        Figure::new(SCENARIO, "processor time until then", "s", many.cpu, START_CPU),
    ])
}

/// A start against an API server that streams no lists, as before Kubernetes 1.32: what was listed comes page by page.
async fn start_paged(lab: &Lab) -> Result<Started> {
    let proxy = lab.plane.proxy().await?;
    let refused = Fault::Status {
        code: 422,
        retry_after: None,
    };
    let streamed = Rule::new(refused).when(|head| head.query.contains("sendInitialEvents=true"));
    let streamed = proxy.add(streamed);
    let started = observe(
        lab,
        Controller::launch_behind(lab, &proxy, "paged", &[WINDOW]).await?,
    )
    .await?;
    let log = proxy.log();
    let pages = |kind: &str| {
        let path = format!("/api/v1/{kind}");
        let of_kind = |request: &RequestHead| request.path == path && !request.is_watch();
        log.iter().filter(|passage| of_kind(&passage.request)).count()
    };
    // One page would be no proof that they were pages.
    anyhow::ensure!(
        streamed.hits() > 0 && pages("secrets") > 1 && pages("configmaps") > 1,
        "Secrets and ConfigMaps were not listed in pages"
    );
    Ok(started)
}

/// Shorter than the pauses between the changes that ask for the first PATCH.
const WINDOW: &str = "--coalesce-window=100ms";

struct Started {
    memory: Memory,
    /// Seconds from the start of the process to the arrival of the first PATCH, while a source changes all the time.
    first_patch: f64,
    /// Seconds of processor time until then.
    cpu: f64,
}

/// From the launch of a controller to its end.
async fn observe(lab: &Lab, controller: Controller) -> Result<Started> {
    let begun = controller.begun;
    let user = &controller.user;
    let waiting = Instant::now();
    let mut number = 0;
    let first_patch = loop {
        anyhow::ensure!(
            waiting.elapsed() < PATIENCE,
            "no PATCH: {}",
            controller.replica.log()
        );
        number += 1;
        change(&lab.client, NAMESPACE, &pair(0), &format!("{user}-{number}")).await?;
        // Longer than the coalescing window: changes that come faster put the answer off.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let trace = lab.trace(begun)?;
        if let Some(first) = trace.patches(user, NAMESPACE).first() {
            break first.request_received;
        }
    };
    let cpu = controller.cpu()?.as_secs_f64();
    controller.wait_ready().await.context("after the first PATCH")?;
    tokio::time::sleep(SETTLE).await;
    let memory = controller.memory()?;
    controller.stop().await?;
    Ok(Started {
        memory,
        first_patch: first_patch.duration_since(begun).as_secs_f64(),
        cpu,
    })
}

fn size(number: usize, small: usize, large: usize) -> usize {
    if number.is_multiple_of(LARGE_ONE_OF) {
        large
    } else {
        small
    }
}

fn secret(number: usize, size: usize) -> Value {
    json!({ "metadata": { "name": format!("secret-{number}") }, "stringData": { "key": noise(number, size) } })
}

fn filled_config_map(number: usize, size: usize) -> Value {
    json!({ "metadata": { "name": format!("config-{number}") }, "data": { "key": noise(number, size) } })
}

/// Text that does not compress well and is the same in every run (xorshift).
fn noise(seed: usize, size: usize) -> String {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(size + 16);
    while text.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Writing to a String cannot fail.
        let _ = write!(text, "{state:016x}");
    }
    text.truncate(size);
    text
}
