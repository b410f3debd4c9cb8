//! Settings of notifications: alerts about restarts, or webhook calls instead of restarts.
//!
//! Input: `--webhook-url` and what goes with it, the `--alert-` flags and `ALERT_` variables. Output: [`AlertSettings`] and
//! [`WebhookSettings`]. I/O: none.

use super::error::ConfigError;
use crate::{
    args::{Environment, NotificationArgs, WEBHOOK_PAYLOADS},
    notify::{AlertSettings, Endpoint, Sink, WebhookPayload, WebhookSettings},
};

/// `--webhook-url` and `--webhook-payload`; `None` if the URL is empty.
pub(super) fn webhook(url: &str, payload: &str) -> Result<Option<WebhookSettings>, ConfigError> {
    if url.is_empty() {
        return Ok(None);
    }
    Ok(Some(WebhookSettings {
        endpoint: Endpoint::parse(url).map_err(ConfigError::WebhookUrl)?,
        payload: if payload == WEBHOOK_PAYLOADS[1] {
            WebhookPayload::Details
        } else {
            WebhookPayload::Constant
        },
    }))
}

/// `None` unless alerts are enabled (`ALERT_ON_RELOAD` is exactly `true`, or a flag says so) and there is a URL to send them
/// to. Upstream logs a missing URL at each alert; here it is logged once, at startup. A flag wins over its variable; the
/// one for the URL enables alerts, as in upstream's version 2.
pub(super) fn alerts(
    environment: &Environment,
    flags: &NotificationArgs,
    warnings: &mut Vec<String>,
    errors: &mut Vec<String>,
) -> Option<AlertSettings> {
    let on_failure = flags.alert_on_failure;
    let has_url = trimmed(flags.alert_webhook_url.as_ref()).is_some();
    let on_reload = flags
        .alert_on_reload
        .unwrap_or_else(|| has_url || environment.alert_on_reload.as_deref() == Some("true"));
    if !on_reload && !on_failure {
        return None;
    }
    let wanted = if on_reload {
        "alerts are turned on (ALERT_ON_RELOAD or --alert-on-reload)"
    } else {
        "--alert-on-failure is set"
    };
    let url = trimmed(flags.alert_webhook_url.as_ref()).or(trimmed(environment.alert_webhook_url.as_ref()));
    let endpoint = match url.map(Endpoint::parse) {
        Some(Ok(endpoint)) => endpoint,
        Some(Err(error)) => {
            errors.push(format!(
                "{wanted}, but the URL of ALERT_WEBHOOK_URL or --alert-webhook-url cannot be posted to ({error}): no alerts are sent. Set it to the URL \
                 of a webhook"
            ));
            return None;
        }
        None => {
            errors.push(format!(
                "{wanted}, but ALERT_WEBHOOK_URL is not set, nor is --alert-webhook-url: no alerts are sent. Set it to the URL of a webhook"
            ));
            return None;
        }
    };
    let proxy = flags
        .alert_proxy
        .as_ref()
        .or(environment.alert_webhook_proxy.as_ref());
    let proxy = match trimmed(proxy).map(Endpoint::parse_proxy) {
        Some(Err(error)) => {
            warnings.push(format!(
                "ALERT_WEBHOOK_PROXY (or --alert-proxy) is ignored ({error}): alerts are sent without a proxy. Set it to the proxy's URL"
            ));
            None
        }
        Some(Ok(proxy)) => Some(proxy),
        None => None,
    };
    let sink = flags.alert_sink.as_ref().or(environment.alert_sink.as_ref());
    let is_structured = flags.alert_structured || environment.alert_structured.as_deref() == Some("true");
    let info = flags.alert_additional_info.as_ref();
    let info = info.or(environment.alert_additional_info.as_ref());
    Some(AlertSettings {
        endpoint,
        sink: Sink::parse(sink.map_or("", String::as_str), is_structured),
        additional_info: info.map(|info| info.trim().to_owned()),
        proxy,
        on_reload,
        on_failure,
    })
}

/// The value without surrounding spaces; `None` if it is empty.
fn trimmed(value: Option<&String>) -> Option<&str> {
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}
