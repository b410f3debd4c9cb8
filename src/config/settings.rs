//! The parts of [`Config`](super::Config) with several fields or rules.

use super::{error::ConfigError, scope::Scope};
use crate::{
    admit::{
        Flags, Texts,
        window::{Windows, Zone},
    },
    args::{Environment, RolloutArgs},
    model::limits::{Limits, Share},
};

/// What is watched beside Kubernetes' own kinds, where the cluster has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Integrations {
    /// Argo Rollouts are restarted as well (`--is-Argo-Rollouts`).
    pub argo_rollouts: bool,
    /// Secrets that the secrets store CSI driver mounts are sources as well (`--enable-csi-integration`).
    pub csi: bool,
}

/// Which changes beside updates restart workloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadOn {
    /// Sources that are created (`--reload-on-create`).
    pub create: bool,
    /// Sources that are deleted (`--reload-on-delete`).
    pub delete: bool,
    /// Markers show what changed where the ledger has no entry (`--sync-after-restart`).
    pub sync_after_restart: bool,
}

/// Whose word counts on when workloads may restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// The annotations of Namespaces are obeyed; never unless the scope is [`Scope::All`].
    pub of_namespaces: bool,
    /// When restarts of all workloads may begin; `None`: at any time.
    pub window: Option<Windows>,
    /// Of windows that name none.
    pub zone: Zone,
    /// How many restarts may be under way.
    pub limits: Flags,
}

impl PolicySettings {
    pub(super) fn parse(
        args: &RolloutArgs,
        scope: &Scope,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let is_global = *scope == Scope::All;
        if args.namespace_policies && !is_global {
            warnings.push(
                "--namespace-policies is set but is only honored without --namespaces: annotations of Namespaces are not \
                 read. Annotate the workloads or the sources instead"
                    .to_owned(),
            );
        }
        let zone = match args.time_zone.trim() {
            "" => Zone::UTC,
            name => Zone::named(name).map_err(|error| ConfigError::Window("--time-zone", error))?,
        };
        let window = Some(args.restart_window.as_str()).filter(|text| !text.trim().is_empty());
        let window = window.map(|text| Windows::parse(text, &zone)).transpose();
        Ok(Self {
            of_namespaces: args.namespace_policies && is_global,
            window: window.map_err(|error| ConfigError::Window("--restart-window", error))?,
            zone,
            limits: limits(args),
        })
    }

    /// For [`crate::admit::alone`].
    pub fn texts(&self) -> Texts {
        Texts::new(self.zone.clone(), self.window.clone())
    }
}

/// What is zero limits nothing.
fn limits(args: &RolloutArgs) -> Flags {
    let share = |share: Share| Some(share).filter(|share| !share.is_none());
    let count = |count| Some(count).filter(|count| *count > 0);
    Flags {
        limits: Limits {
            max_concurrent: share(args.max_concurrent_rollouts_per_source),
            canary: share(args.canary),
            bake_time: Some(args.bake_time),
            max_failures: Some(args.max_failures),
            rollout_timeout: Some(args.rollout_timeout),
            min_interval: Some(args.min_restart_interval).filter(|interval| !interval.is_zero()),
            wave: None,
        },
        per_namespace: count(args.max_concurrent_rollouts_per_namespace),
        in_all: count(args.max_concurrent_rollouts),
    }
}

/// The settings for Go's profiles; their only effects are a warning and entries in the meta-info.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pprof {
    /// `--enable-pprof`.
    pub enabled: bool,
    /// `--pprof-addr`, as typed.
    pub address: String,
}

/// Where the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// The namespace Reloader itself runs in.
    pub namespace: String,
    /// `metadata.name` of its first ConfigMap: the Deployment's name and `-ledger`.
    pub name: String,
}

/// A log level, the most verbose first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything, the HTTP client's own log included.
    Trace,
    /// Every decision.
    Debug,
    /// Every restart.
    Info,
    /// What an operator should look at some day.
    Warning,
    /// What failed.
    Error,
}

impl Level {
    /// The spelling in log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Upstream's names, in any case. `fatal` and `panic` become [`Level::Error`], the highest there is here.
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warning,
            "error" | "fatal" | "panic" => Self::Error,
            _ => return None,
        })
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `time="…" level=info msg="…" key=value`.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// The minimum level that is logged.
    pub level: Level,
}

impl LogSettings {
    /// Upstream's rules: a bad value is a warning and the default, and a bad format leaves the level at info as well.
    pub(super) fn parse(format: &str, level: &str, warnings: &mut Vec<String>) -> Self {
        let format = match format {
            "" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                warnings.push(format!(
                    "unsupported logging formatter: {other:?} (--log-format must be json or empty); \
                     logging text at level info"
                ));
                return Self {
                    format: LogFormat::Text,
                    level: Level::Info,
                };
            }
        };
        let level = Level::parse(level).unwrap_or_else(|| {
            warnings.push(format!(
                "not a valid log level: {level:?} (--log-level must be trace, debug, info, warn, error, fatal or \
                 panic); logging at level info"
            ));
            Level::Info
        });
        Self { format, level }
    }
}

/// How spans are encoded on their way to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceProtocol {
    /// `http/protobuf`.
    HttpProtobuf,
    /// `http/json`.
    HttpJson,
}

/// Where spans go. Headers, timeout, sampler and batch sizes stay with the OpenTelemetry SDK, which reads its own
/// [variables](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceExport {
    /// The full URL that spans are posted to.
    pub endpoint: String,
    /// The encoding.
    pub protocol: TraceProtocol,
    /// `service.name`, `reloader` unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` sets another.
    pub service_name: String,
    /// Which pod it is, by OpenTelemetry's
    /// [names](https://opentelemetry.io/docs/specs/semconv/resource/k8s/), as far as the environment says it.
    pub resource: Vec<(&'static str, String)>,
}

impl TraceExport {
    /// `None` unless an endpoint is set and the SDK is enabled.
    pub(super) fn from_environment(environment: &Environment, warnings: &mut Vec<String>) -> Option<Self> {
        let is_true = |value: &String| value.eq_ignore_ascii_case("true");
        if environment.otel_sdk_disabled.as_ref().is_some_and(is_true) {
            return None;
        }
        let endpoint = match (&environment.otlp_traces_endpoint, &environment.otlp_endpoint) {
            (Some(full), _) => full.clone(),
            (None, Some(base)) => format!("{}/v1/traces", base.trim_end_matches('/')),
            (None, None) => return None,
        };
        let protocol = environment
            .otlp_traces_protocol
            .as_ref()
            .or(environment.otlp_protocol.as_ref());
        let named_in_attributes = || {
            let attributes = environment
                .otel_resource_attributes
                .as_deref()
                .unwrap_or_default();
            let pairs = attributes.split(',').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| key.trim() == "service.name")
                .map(|(_, value)| value.trim().to_owned())
                .next_back()
        };
        Some(Self {
            endpoint,
            protocol: match protocol.map(String::as_str) {
                Some("http/json") => TraceProtocol::HttpJson,
                None | Some("http/protobuf") => TraceProtocol::HttpProtobuf,
                Some(other) => {
                    warnings.push(format!(
                        "OTEL_EXPORTER_OTLP_PROTOCOL {other:?} is not supported (http/protobuf and http/json are); \
                         using http/protobuf"
                    ));
                    TraceProtocol::HttpProtobuf
                }
            },
            service_name: environment
                .otel_service_name
                .clone()
                .or_else(named_in_attributes)
                .unwrap_or_else(|| "reloader".to_owned()),
            resource: [
                ("k8s.pod.name", &environment.pod_name),
                (
                    "k8s.namespace.name",
                    if environment.pod_namespace.is_some() {
                        &environment.pod_namespace
                    } else {
                        &environment.reloader_namespace
                    },
                ),
                ("k8s.deployment.name", &environment.reloader_deployment_name),
            ]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect(),
        })
    }
}
