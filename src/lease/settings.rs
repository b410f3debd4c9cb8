//! Settings of an election.
//!
//! Input: plain values. Output: [`Settings`]. I/O: [`unique_identity`] reads the kernel's random source.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::rand::{SecureRandom, SystemRandom};

/// client-go's `JitterFactor`: a candidate waits up to this many retry periods on top of the one it must wait, and
/// the renew deadline must leave room for at least that.
const JITTER_FACTOR: f64 = 1.2;

/// Settings of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `metadata.name` of the Lease.
    pub name: String,
    /// `metadata.namespace` of the Lease.
    pub namespace: String,
    /// What this process writes into `holderIdentity`; must be unique to the process, see [`unique_identity`].
    pub identity: String,
    /// Its durations.
    pub timings: Timings,
}

/// The three durations of an election; only valid combinations exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

impl Timings {
    /// Checks client-go's rule `lease duration > renew deadline > retry period × 1.2`, and that none is below one
    /// second (`leaseDurationSeconds` is a whole number of seconds above zero).
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, SettingsError> {
        for (what, value) in [
            ("lease-duration", lease_duration),
            ("renew-deadline", renew_deadline),
            ("retry-period", retry_period),
        ] {
            if value < Duration::from_secs(1) {
                return Err(SettingsError::TooShort { what, value });
            }
        }
        if lease_duration.subsec_nanos() != 0 || i32::try_from(lease_duration.as_secs()).is_err() {
            return Err(SettingsError::NotWholeSeconds {
                value: lease_duration,
            });
        }
        if lease_duration <= renew_deadline {
            return Err(SettingsError::DeadlineNotBelowLease {
                lease_duration,
                renew_deadline,
            });
        }
        if renew_deadline <= retry_period.mul_f64(JITTER_FACTOR) {
            return Err(SettingsError::RetryTooLong {
                renew_deadline,
                retry_period,
            });
        }
        Ok(Self {
            lease_duration,
            renew_deadline,
            retry_period,
        })
    }

    /// How long others must see no change before they may take the lease; whole seconds.
    pub const fn lease_duration(self) -> Duration {
        self.lease_duration
    }

    /// How long after sending its last successful renewal the holder may write.
    pub const fn renew_deadline(self) -> Duration {
        self.renew_deadline
    }

    /// The time between two renewals, the longest a request may take, and the least time between two polls.
    pub const fn retry_period(self) -> Duration {
        self.retry_period
    }
}

impl Default for Timings {
    /// The defaults of the Kubernetes core components, and upstream Reloader's: 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Durations that would let two replicas write, or never elect a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A duration is below one second.
    #[error("--{what} is {value:?}, it must be at least 1s")]
    TooShort {
        /// Which duration, as its flag is called.
        what: &'static str,
        /// The value given.
        value: Duration,
    },
    /// `leaseDurationSeconds` cannot hold the value.
    #[error(
        "--lease-duration is {value:?}, it must be whole seconds below 2^31: the Lease object stores seconds"
    )]
    NotWholeSeconds {
        /// The value given.
        value: Duration,
    },
    /// Nothing would be left between the holder giving up and another one taking over.
    #[error(
        "--renew-deadline ({renew_deadline:?}) must be shorter than --lease-duration ({lease_duration:?}): the \
         difference is what keeps two replicas from writing at once"
    )]
    DeadlineNotBelowLease {
        /// The lease duration given.
        lease_duration: Duration,
        /// The renew deadline given.
        renew_deadline: Duration,
    },
    /// One failed renewal would cost the lease.
    #[error(
        "--retry-period ({retry_period:?}) times 1.2 must be shorter than --renew-deadline \
         ({renew_deadline:?}), or one failed renewal costs the lease"
    )]
    RetryTooLong {
        /// The renew deadline given.
        renew_deadline: Duration,
        /// The retry period given.
        retry_period: Duration,
    },
}

/// `<pod name>_<128 random bits>`: a restarted container keeps its pod's name, and must not mistake its predecessor's
/// record for its own (the predecessor may still have a write under way).
///
/// Where the system gives no random bits, process id, wall clock and the standard library's per-process hash keys are
/// hashed instead: not secret, but not repeated.
pub fn unique_identity(pod_name: &str) -> String {
    let mut bits = [0; 16];
    let nonce = match SystemRandom::new().fill(&mut bits) {
        Ok(()) => format!("{:032x}", u128::from_be_bytes(bits)),
        Err(_) => fallback_nonce(),
    };
    format!("{pod_name}_{nonce}")
}

fn fallback_nonce() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let half = |salt: u8| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u8(salt);
        hasher.write_u32(process::id());
        hasher.write_u128(since_epoch.as_nanos());
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn timings(lease: u64, renew: u64, retry: u64) -> Result<Timings, SettingsError> {
        let millis = Duration::from_millis;
        Timings::new(millis(lease), millis(renew), millis(retry))
    }

    #[rstest]
    #[case::the_defaults(15_000, 10_000, 2000)]
    #[case::cert_manager(60_000, 40_000, 15_000)]
    #[case::the_shortest(3000, 1201, 1000)]
    fn sound_timings_are_accepted(#[case] lease: u64, #[case] renew: u64, #[case] retry: u64) {
        let timings = timings(lease, renew, retry).unwrap();
        assert_eq!(timings.lease_duration(), Duration::from_millis(lease));
        assert_eq!(timings.renew_deadline(), Duration::from_millis(renew));
        assert_eq!(timings.retry_period(), Duration::from_millis(retry));
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(timings(15_000, 10_000, 2000), Ok(Timings::default()));
    }

    #[rstest]
    #[case::no_margin(10_000, 10_000, 2000, "--renew-deadline")]
    #[case::negative_margin(10_000, 15_000, 2000, "--renew-deadline")]
    #[case::retry_fills_the_deadline(15_000, 10_000, 10_000, "--retry-period")]
    #[case::jittered_retry_fills_the_deadline(15_000, 12_000, 10_000, "--retry-period")]
    #[case::zero_lease(0, 10_000, 2000, "--lease-duration is 0ns")]
    #[case::short_retry(15_000, 10_000, 999, "--retry-period is 999ms")]
    #[case::fraction(15_500, 10_000, 2000, "whole seconds")]
    #[case::too_long_for_the_field(3_000_000_000_000, 10_000, 2000, "whole seconds")]
    fn unsound_timings_are_refused(
        #[case] lease: u64,
        #[case] renew: u64,
        #[case] retry: u64,
        #[case] says: &str,
    ) {
        let error = timings(lease, renew, retry).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn identities_start_with_the_pod_and_never_repeat() {
        let (first, second) = (unique_identity("reloader-0"), unique_identity("reloader-0"));
        assert!(first.starts_with("reloader-0_") && first.len() > "reloader-0_".len() + 31);
        assert_ne!(first, second);
        assert_ne!(fallback_nonce(), fallback_nonce());
        assert_eq!(fallback_nonce().len(), 32);
    }
}
