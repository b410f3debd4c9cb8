//! The settings that change decisions.

use std::str::FromStr;

/// Where a restart leaves its marker in the pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One environment variable for each source, its value the source's digest.
    #[default]
    EnvVars,
    /// One annotation, which names the source that caused the last restart.
    Annotations,
}

/// The text names no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reload-strategy must be one of: env-vars, annotations")]
pub struct ParseStrategyError;

impl Strategy {
    /// The strategy as the flag spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnvVars => "env-vars",
            Self::Annotations => "annotations",
        }
    }
}

impl FromStr for Strategy {
    type Err = ParseStrategyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "env-vars" => Ok(Self::EnvVars),
            "annotations" => Ok(Self::Annotations),
            _ => Err(ParseStrategyError),
        }
    }
}

/// The settings that change decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--reload-strategy`.
    pub strategy: Strategy,
    /// `--auto-reload-all`: a workload without opt-in annotations is restarted for every source its pods use.
    pub auto_reload_all: bool,
    /// `--reload-suspended-cronjobs`: a suspended CronJob is restarted like any other.
    pub reload_suspended: bool,
}
