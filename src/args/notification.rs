//! Flags for alerts about restarts, and for webhook calls about changes.
//!
//! Input: command line and variables, through clap. Output: [`NotificationArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use super::values::go_bool;

/// The values of `--webhook-payload`: upstream's constant body first.
pub const WEBHOOK_PAYLOADS: [&str; 2] = ["constant", "details"];

/// Notifications over HTTP; the receiver of alerts is in variables, since its URL holds a token.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Notifications")]
pub struct NotificationArgs {
    /// URL that receives a POST request for each change; no workload is restarted then (upstream)
    #[arg(
        long,
        env = "RELOADER_WEBHOOK_URL",
        value_name = "URL",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub webhook_url: String,
    /// Body of the POST to --webhook-url: constant, which is upstream's body, or details
    ///
    /// details adds the kind, namespace and name of the source, what happened to it and when; never any of its content.
    #[arg(long, env = "RELOADER_WEBHOOK_PAYLOAD", value_name = "PAYLOAD", default_value = WEBHOOK_PAYLOADS[0],
        value_parser = WEBHOOK_PAYLOADS, hide_possible_values = true)]
    pub webhook_payload: String,
    /// Also send an alert when a restart fails; requires ALERT_WEBHOOK_URL
    ///
    /// One alert per workload and reason, not one per attempt.
    #[arg(long, env = "RELOADER_ALERT_ON_FAILURE", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub alert_on_failure: bool,
    /// Send an alert for each restart, as ALERT_ON_RELOAD=true does (upstream's version 2)
    #[arg(long, env = "RELOADER_ALERT_ON_RELOAD", value_name = "BOOL", value_parser = go_bool, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub alert_on_reload: Option<bool>,
    /// Receiver of alerts, instead of ALERT_WEBHOOK_URL; turns them on (upstream's version 2)
    ///
    /// It often holds a token, which is shown to everyone who may read the Deployment: prefer the variable, from a Secret.
    #[arg(
        long,
        env = "RELOADER_ALERT_WEBHOOK_URL",
        value_name = "URL",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub alert_webhook_url: Option<String>,
    /// Form of alerts, instead of ALERT_SINK: slack, teams, gchat or raw (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_ALERT_SINK",
        value_name = "SINK",
        allow_hyphen_values = true
    )]
    pub alert_sink: Option<String>,
    /// Proxy of alerts, instead of ALERT_WEBHOOK_PROXY (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_ALERT_PROXY",
        value_name = "URL",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub alert_proxy: Option<String>,
    /// Beginning of alerts, instead of ALERT_ADDITIONAL_INFO (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_ALERT_ADDITIONAL_INFO",
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    pub alert_additional_info: Option<String>,
    /// Send raw alerts as JSON instead of text (upstream's version 2)
    #[arg(long, env = "RELOADER_ALERT_STRUCTURED", value_name = "BOOL", value_parser = go_bool, num_args = 0..=1,
        require_equals = true, default_value = "false", default_missing_value = "true", hide_possible_values = true)]
    pub alert_structured: bool,
}
