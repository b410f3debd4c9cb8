//! What is measured: one file a scenario, each on a control plane of its own.

mod apply;
mod blast_radius;
mod burst;
mod cost;
mod deferred;
mod fan_out;
mod idle;
mod isolation;
mod rollouts;
mod scale;
mod scale_100k;
mod spread;
mod storm;
mod upgrade;

use std::{path::Path, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{lab::Lab, report::Figure};

/// How large and how long some scenarios are.
#[derive(Args, Clone, Copy, Debug)]
pub struct Sizes {
    /// Deployments of the scenarios `blast-radius` (500 unless set) and `deferred` (10,000)
    #[arg(long, value_name = "COUNT")]
    deployments: Option<usize>,
    /// How long the scenario `deferred` watches restarts that wait
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0)]
    minutes: f64,
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Single changes, one after the other
    Idle,
    /// 20 changes a second over 20 namespaces
    Spread,
    /// 300 sources changed at once
    Burst,
    /// One source that 50, then 500 Deployments use
    FanOut,
    /// Requests and processor time of a reload
    Cost,
    /// Memory and start with up to 29,100 objects
    Scale,
    /// Three replicas beside 100,000 sources and 10,000 Deployments, and beside a tenth of them
    #[value(name = "scale-100k")]
    Scale100k,
    /// A storm in one namespace, single changes in another
    Storm,
    /// 20 sources of one Deployment changed
    Rollouts,
    /// One deploy by a client some milliseconds away
    Apply,
    /// Single changes beside all that another namespace's tenant may do
    Isolation,
    /// From an earlier version (--former) in place and back, while sources change
    Upgrade,
    /// 500 Deployments of one Secret with a canary and a limit, the leader killed in the middle
    BlastRadius,
    /// 10,000 restarts that wait, for minutes
    Deferred,
}

impl Scenario {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Spread => "spread",
            Self::Burst => "burst",
            Self::FanOut => "fan-out",
            Self::Cost => "cost",
            Self::Scale => "scale",
            Self::Scale100k => "scale-100k",
            Self::Storm => "storm",
            Self::Rollouts => "rollouts",
            Self::Apply => "apply",
            Self::Isolation => "isolation",
            Self::Upgrade => "upgrade",
            Self::BlastRadius => "blast-radius",
            Self::Deferred => "deferred",
        }
    }

    /// Whether it runs only where it is named: it takes minutes by itself.
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Scale100k | Self::BlastRadius | Self::Deferred)
    }

    /// In words.
    pub fn describe(self) -> String {
        let help = self
            .to_possible_value()
            .and_then(|value| value.get_help().cloned());
        help.unwrap_or_default().to_string()
    }

    /// Measures it. `former`: a program of an earlier version, which [`Self::Upgrade`] needs.
    pub async fn measure(self, program: &Path, former: Option<&Path>, sizes: Sizes) -> Result<Vec<Figure>> {
        let lab = Lab::new(program).await?;
        match self {
            Self::Idle => idle::measure(&lab).await,
            Self::Spread => spread::measure(&lab).await,
            Self::Burst => burst::measure(&lab).await,
            Self::FanOut => fan_out::measure(&lab).await,
            Self::Cost => cost::measure(&lab).await,
            Self::Scale => scale::measure(&lab).await,
            Self::Scale100k => Box::pin(scale_100k::measure(&lab)).await,
            Self::Storm => storm::measure(&lab).await,
            Self::Rollouts => rollouts::measure(&lab).await,
            Self::Apply => apply::measure(&lab).await,
            Self::Isolation => isolation::measure(&lab).await,
            Self::Upgrade => upgrade::measure(&lab, former).await,
            Self::BlastRadius => blast_radius::measure(&lab, sizes.deployments.unwrap_or(500)).await,
            Self::Deferred => {
                let minutes = Duration::from_secs_f64(sizes.minutes * 60.0);
                deferred::measure(&lab, sizes.deployments.unwrap_or(10_000), minutes).await
            }
        }
    }
}
