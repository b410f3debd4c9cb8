//! Who is told of restarts over HTTP.
//!
//! Input: `--webhook-url` and the `ALERT_` variables. Output: [`Alerts`] and [`HiddenUrl`]. I/O: none.

use std::fmt;

use super::ConfigError;
use crate::args::Environment;

/// A URL that is never shown: webhook URLs hold tokens as a rule.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenUrl(String);

impl HiddenUrl {
    /// The URL itself, for the request and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `--webhook-url`; nothing where it is empty.
    pub(super) fn of_webhook(text: &str) -> Result<Option<Self>, ConfigError> {
        if text.is_empty() {
            return Ok(None);
        }
        let after_scheme = text
            .split_once("://")
            .filter(|(scheme, _)| ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()))
            .map(|(_, rest)| rest);
        let has_host = |rest: &str| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            !host.is_empty() && !host.starts_with(':')
        };
        let whole = !text.contains(|character: char| character.is_whitespace() || character.is_control());
        if whole && after_scheme.is_some_and(has_host) {
            Ok(Some(Self(text.to_owned())))
        } else {
            Err(ConfigError::WebhookUrl(text.to_owned()))
        }
    }
}

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenUrl(…)")
    }
}

/// The form of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertSink {
    /// Slack's incoming webhooks.
    Slack,
    /// Microsoft Teams' incoming webhooks.
    Teams,
    /// Google Chat's incoming webhooks.
    GoogleChat,
    /// Plain text, for everything else.
    Raw,
}

/// Alerts after restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// Where they are sent.
    pub url: HiddenUrl,
    /// Their form.
    pub sink: AlertSink,
    /// What is put before each, trimmed; empty and none differ, as in upstream: the colon after it stays.
    pub additional_info: Option<String>,
    /// The proxy they go through; other variables about proxies do not count.
    pub proxy: Option<HiddenUrl>,
}

impl Alerts {
    /// Nothing unless `ALERT_ON_RELOAD` is exactly `true` and there is somewhere to send alerts to.
    pub(super) fn from_environment(environment: &Environment, warnings: &mut Vec<String>) -> Option<Self> {
        if environment.alert_on_reload.as_deref() != Some("true") {
            return None;
        }
        let trimmed = |value: &Option<String>| {
            let value = value.as_deref().map(str::trim);
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let Some(url) = trimmed(&environment.alert_webhook_url) else {
            warnings.push(
                "ALERT_ON_RELOAD is true, but ALERT_WEBHOOK_URL is not set: no alerts are sent. Set it to the URL of \
                 a webhook"
                    .to_owned(),
            );
            return None;
        };
        let sink = trimmed(&environment.alert_sink)
            .unwrap_or_default()
            .to_lowercase();
        Some(Self {
            url: HiddenUrl(url),
            sink: match sink.as_str() {
                "slack" => AlertSink::Slack,
                "teams" => AlertSink::Teams,
                "gchat" => AlertSink::GoogleChat,
                _ => AlertSink::Raw,
            },
            additional_info: environment
                .alert_additional_info
                .as_deref()
                .map(|info| info.trim().to_owned()),
            proxy: trimmed(&environment.alert_webhook_proxy).map(HiddenUrl),
        })
    }
}
