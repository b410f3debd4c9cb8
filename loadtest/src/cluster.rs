//! The load test on a cluster that exists: the chart installed by Helm, three replicas, objects in namespaces of its own.
//!
//! Input: [`Options`]. Output: a table with a column for each chart. I/O: makes, changes and removes objects in that cluster,
//! all in namespaces `reloader-loadtest-*` with its label but for what the chart itself has outside of namespaces.
//!
//! There is no audit log, so latencies are those that a watch shows, and its own lateness is measured and stated. What was
//! missed and what came twice is counted by the digests in the templates, as on the testbed.

mod columns;
mod counting;
mod failover;
mod figures;
mod load;
mod manifests;
mod metrics;
mod observer;
mod options;
mod owned;
mod record;
mod release;
mod shapes;
mod target;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use tokio::signal::unix::{SignalKind, signal};

use columns::{Column, Surroundings};
use load::Ground;
use observer::Observer;
pub use options::Options;
use owned::SYSTEM;
use release::{Plan, Release};
pub use shapes::Scenario;
use target::Target;

use crate::statistics::percentile;

/// Measures and prints the table; stores it below `runs` if given. Whatever happens, the cluster is left as it was.
pub async fn run(options: &Options, scenarios: &[Scenario], runs: Option<&Path>) -> Result<()> {
    let target = Target::find(options.kubeconfig.as_deref(), options.context.as_deref()).await?;
    eprintln!(
        "Cluster: context {} at {}, Kubernetes {}",
        target.context, target.server, target.version
    );
    if options.clean {
        let removed = clean_up(&target, options).await?;
        eprintln!("Removed {removed} namespaces of earlier runs");
        return Ok(());
    }
    check(&target, options).await?;
    announce(options, scenarios);
    if options.dry_run {
        return Ok(());
    }
    // Before anything that ends in a clean-up: if another run made it meanwhile, all of it is that run's.
    owned::create(&target.client, SYSTEM).await?;
    let measured = tokio::select! {
        measured = measure(&target, options, scenarios) => measured,
        signal = ended_by_signal() => signal.and_then(|name| bail!("ended by {name}")),
    };
    eprintln!("Removing what was made");
    let cleaned = clean_up(&target, options).await.with_context(|| {
        format!(
            "remove what was made; do so later with `--context {} --clean`",
            target.context
        )
    });
    let (surroundings, columns) = match (measured, cleaned) {
        (Ok(measured), Ok(_)) => measured,
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
        (Err(error), Err(left)) => return Err(error.context(format!("{left:#}"))),
    };
    println!("{}", columns::markdown(&surroundings, &columns));
    if let Some(runs) = runs {
        let folder = columns::save(&surroundings, &columns, runs)?;
        eprintln!("Stored in {}", folder.display());
    }
    Ok(())
}

/// Whether all is there that is needed, and nothing is in the way. Makes nothing.
async fn check(target: &Target, options: &Options) -> Result<()> {
    let helm = tokio::process::Command::new(&options.helm)
        .arg("version")
        .output()
        .await;
    let helm = helm.with_context(|| {
        format!(
            "start {}; install Helm, or name it with --helm",
            options.helm.display()
        )
    })?;
    ensure!(
        helm.status.success(),
        "{} version: {}",
        options.helm.display(),
        String::from_utf8_lossy(&helm.stderr)
    );
    let default_chart = options.chart == "charts/reloader";
    ensure!(
        !default_chart || Path::new(&options.chart).is_dir(),
        "{} is not in this folder; run from the root of the checkout, or name a chart with --chart",
        options.chart
    );
    owned::ensure_free(&target.client, &target.context).await?;
    let others = release::others(&target.client).await?;
    ensure!(
        others.is_empty() || options.beside_another,
        "Reloader runs in this cluster already ({}) and would restart the workloads of this test, too. Scale it to 0 \
         meanwhile, let it ignore namespaces labelled {}, or use another cluster; --beside-another goes on all the same",
        others.join(", "),
        owned::selector()
    );
    Ok(())
}

fn announce(options: &Options, scenarios: &[Scenario]) {
    let names: Vec<String> = scenarios.iter().map(|scenario| scenario.name()).collect();
    eprintln!("Will measure {}", names.join(", "));
    for (name, plan) in options.plans() {
        eprintln!(
            "  {name}: chart {} as release {} in {SYSTEM}",
            plan.chart,
            owned::RELEASE
        );
    }
    eprintln!(
        "  making namespaces {}* (label {}), with {}; the chart's ClusterRole and its binding; all of it removed at the end",
        owned::PREFIX,
        owned::selector(),
        sizes(options)
    );
    eprintln!("  The release acts on namespaces with that label only");
}

fn sizes(options: &Options) -> String {
    format!(
        "up to {} ConfigMaps, {} Secrets and {} Deployments in {} namespaces, {} of each scenario's workloads with a pod, \
         {} changes a second or the scenario's own pace for {} s",
        options.config_maps,
        options.secrets,
        options.workloads,
        options.namespaces,
        options.pods(),
        options.rate,
        options.duration.as_secs()
    )
}

/// Waits for Ctrl-C or SIGTERM; gives its name.
async fn ended_by_signal() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| "Ctrl-C").context("listen for Ctrl-C"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

/// Removes the release and every namespace of this tool; gives how many there were.
async fn clean_up(target: &Target, options: &Options) -> Result<usize> {
    let own = owned::list(&target.client).await?;
    if own
        .iter()
        .any(|namespace| namespace.metadata.name.as_deref() == Some(SYSTEM))
    {
        let plans = options.plans();
        if let Some((_, plan)) = plans.first()
            && let Err(error) = Release::new(target, &options.helm, plan).uninstall().await
        {
            eprintln!("Helm did not uninstall the release, so its objects are deleted one by one: {error:#}");
        }
    }
    owned::delete_all(&target.client).await
}

async fn measure(
    target: &Target,
    options: &Options,
    scenarios: &[Scenario],
) -> Result<(Surroundings, Vec<Column>)> {
    let nodes = Api::<Node>::all(target.client.clone())
        .list_metadata(&ListParams::default())
        .await;
    let mut surroundings = Surroundings {
        begun: Surroundings::now()?,
        kubernetes: target.version.clone(),
        nodes: nodes.context("list nodes")?.items.len(),
        sizes: sizes(options),
        lateness: (f64::NAN, f64::NAN),
    };
    let mut columns = Vec::new();
    for (name, plan) in options.plans() {
        if !columns.is_empty() {
            clean_up(target, options).await?;
            owned::create(&target.client, SYSTEM).await?;
        }
        eprintln!("{name}");
        let (figures, lateness) = measure_one(target, options, scenarios, &plan)
            .await
            .with_context(|| name.clone())?;
        surroundings.lateness = (percentile(&lateness, 50.0), percentile(&lateness, 99.0));
        columns.push((name, figures));
    }
    Ok((surroundings, columns))
}

/// Installs a chart into its namespace and measures every scenario with it; gives also how late a watch is.
async fn measure_one(
    target: &Target,
    options: &Options,
    scenarios: &[Scenario],
    plan: &Plan,
) -> Result<(Vec<columns::Figure>, Vec<f64>)> {
    let client = &target.client;
    let release = Release::new(target, &options.helm, plan);
    release.install(&[]).await?;
    let lateness = observer::lateness(client).await?;
    let observer = Observer::start(client);
    let ground = Ground {
        client,
        observer: &observer,
        release: &release,
        sizes: options.sizes(),
        pods: options.pods(),
        image: &options.pause_image,
        duration: options.duration,
        patience: options.patience,
    };
    let mut figures = Vec::new();
    for scenario in scenarios {
        eprintln!("{}: {}", scenario.name(), scenario.describe());
        if !scenario.values().is_empty() {
            release.install(scenario.values()).await?;
        }
        let measured = match scenario {
            Scenario::Failover => failover::run(&ground, options.failovers).await,
            other => ground.run(*other).await,
        };
        let measured = measured.with_context(|| format!("scenario {}", scenario.name()))?;
        for figure in &measured {
            eprintln!("  {}", figure.line());
        }
        figures.extend(measured);
        if !scenario.values().is_empty() {
            release.install(&[]).await?;
        }
    }
    Ok((figures, lateness))
}
