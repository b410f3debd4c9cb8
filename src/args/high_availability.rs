//! Flags for leader election.
//!
//! Input: command line and variables, through clap. Output: [`HighAvailabilityArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use super::values::go_bool;
use crate::model::go_duration::parse_go_duration;

/// Leader election.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "High availability")]
pub struct HighAvailabilityArgs {
    /// Enable leader election: only the replica that holds the Lease writes (upstream)
    ///
    /// Requires POD_NAME and POD_NAMESPACE. Standby replicas watch too, so that a takeover starts from a warm cache.
    #[arg(long, env = "RELOADER_ENABLE_HA", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub enable_ha: bool,
    /// Name of the Lease; the default is upstream's, so that a mix of both elects one leader
    #[arg(long, visible_alias = "leader-election-id", env = "RELOADER_LEASE_NAME", value_name = "NAME",
        default_value = "stakater-reloader-lock", value_parser = NonEmptyStringValueParser::new())]
    pub lease_name: String,
    /// Namespace of the Lease; empty means POD_NAMESPACE (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_LEADER_ELECTION_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    pub leader_election_namespace: String,
    /// How long a Lease stays valid after its last renewal; the default is upstream's
    ///
    /// Must be longer than --renew-deadline. A longer one tolerates a slower API server, a shorter one allows a faster
    /// takeover.
    #[arg(long, visible_alias = "leader-election-lease-duration", env = "RELOADER_LEASE_DURATION", value_name = "DURATION",
        default_value = "15s", value_parser = parse_go_duration)]
    pub lease_duration: Duration,
    /// How long the leader retries a renewal before it stops writing; the default is upstream's
    ///
    /// Must be longer than 1.2 times --retry-period.
    #[arg(long, visible_alias = "leader-election-renew-deadline", env = "RELOADER_RENEW_DEADLINE", value_name = "DURATION",
        default_value = "10s", value_parser = parse_go_duration)]
    pub renew_deadline: Duration,
    /// Interval of the leader's renewals and of a standby's checks; the default is upstream's
    #[arg(long, visible_alias = "leader-election-retry-period", env = "RELOADER_RETRY_PERIOD", value_name = "DURATION",
        default_value = "2s", value_parser = parse_go_duration)]
    pub retry_period: Duration,
    /// Accepted for compatibility; a leader that stops always gives the Lease back (upstream's version 2)
    #[arg(long, env = "RELOADER_LEADER_ELECTION_RELEASE_ON_CANCEL", hide = true, value_name = "BOOL",
        value_parser = go_bool, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true", hide_possible_values = true)]
    pub leader_election_release_on_cancel: bool,
}
