//! What the candidates exchange: the spec of the Lease, read leniently and written as client-go writes it.
//!
//! Input: a Lease. Output: [`Record`]. I/O: none.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};

/// The content of a Lease.
///
/// Two equal records mean "not renewed in between". Metadata is left out on purpose, as in client-go: a client who
/// labels the Lease does not keep a dead holder alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds the lease; `None` when the field is missing or empty, which is how a holder releases it.
    pub holder: Option<Arc<str>>,
    /// How long others must wait; `None` when the field is missing or not above zero.
    pub duration: Option<Duration>,
    /// When the holder got it, by the holder's wall clock.
    pub acquire_time: Option<Timestamp>,
    /// When the holder last renewed it, by the holder's wall clock. Read for equality only.
    pub renew_time: Option<Timestamp>,
    /// How many times the holder has changed.
    pub transitions: i32,
}

impl Record {
    /// The content of `lease`; missing fields and nonsense are tolerated.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        Self {
            holder: spec
                .holder_identity
                .filter(|holder| !holder.is_empty())
                .map(Arc::from),
            duration: spec
                .lease_duration_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            acquire_time: spec.acquire_time.map(|time| time.0),
            renew_time: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or_default().max(0),
        }
    }

    /// `base` with this content; its metadata stays, so that its `resourceVersion` and `uid` guard the replacement.
    ///
    /// Every field of the spec is replaced. `strategy` and `preferredHolder` belong to coordinated leader election,
    /// which this is not; client-go drops them, too.
    pub fn written_over(&self, base: &Lease) -> Lease {
        let seconds = self
            .duration
            .map(|duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
        Lease {
            metadata: base.metadata.clone(),
            spec: Some(LeaseSpec {
                acquire_time: self.acquire_time.map(MicroTime),
                holder_identity: Some(self.holder.as_deref().unwrap_or_default().to_owned()),
                lease_duration_seconds: seconds,
                lease_transitions: Some(self.transitions),
                renew_time: self.renew_time.map(MicroTime),
                ..LeaseSpec::default()
            }),
        }
    }

    /// A Lease of that name with this content, to be created.
    pub fn new_lease(&self, namespace: &str, name: &str) -> Lease {
        self.written_over(&Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            spec: None,
        })
    }
}

/// `wall` in whole microseconds, which is all that a Lease stores.
pub fn micros(wall: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall)
}

/// The renew time to write at `wall` over a record that says `previous`: never the same twice.
///
/// A replacement that changes nothing is not stored (Kubernetes keeps the resourceVersion), and candidates that see no
/// change consider a holder dead. So a wall clock that stands still, or falls back by less than a second, is pushed on
/// by a microsecond. A greater jump back is followed: no process trusts the value, it only has to change.
pub fn next_renew_time(wall: Timestamp, previous: Option<Timestamp>) -> Timestamp {
    let wall = micros(wall);
    let Some(previous) = previous.map(micros) else {
        return wall;
    };
    let behind = previous.as_microsecond().saturating_sub(wall.as_microsecond());
    if (0..1_000_000).contains(&behind) {
        Timestamp::from_microsecond(previous.as_microsecond().saturating_add(1)).unwrap_or(wall)
    } else {
        wall
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::serde_json::{self, json};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// As client-go 0.36 stores it.
    fn client_go() -> serde_json::Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "stakater-reloader-lock", "namespace": "reloader", "uid": "u-1", "resourceVersion": "77",
                "labels": {"team": "platform"}
            },
            "spec": {
                "holderIdentity": "reloader-6f7c-abcde",
                "leaseDurationSeconds": 15,
                "acquireTime": "2025-11-20T08:00:00.123456Z",
                "renewTime": "2025-11-20T09:30:00.000000Z",
                "leaseTransitions": 4
            }
        })
    }

    fn lease(spec: &serde_json::Value) -> Lease {
        serde_json::from_value(json!({"metadata": {"name": "lock"}, "spec": spec})).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_record_of_client_go_is_read() {
        let record = Record::of(&serde_json::from_value(client_go()).unwrap());
        assert_eq!(
            record,
            Record {
                holder: Some("reloader-6f7c-abcde".into()),
                duration: Some(Duration::from_secs(15)),
                acquire_time: Some(time("2025-11-20T08:00:00.123456Z")),
                renew_time: Some(time("2025-11-20T09:30:00Z")),
                transitions: 4,
            }
        );
    }

    #[test]
    fn what_is_written_has_the_shape_that_client_go_writes() {
        let stored: Lease = serde_json::from_value(client_go()).unwrap();
        let written = Record::of(&stored).written_over(&stored);
        assert_eq!(serde_json::to_value(written).unwrap(), client_go());
    }

    #[test]
    fn a_released_record_names_an_empty_holder() {
        let released = Record {
            holder: None,
            duration: Some(Duration::from_secs(1)),
            acquire_time: Some(time("2025-11-20T08:00:00Z")),
            renew_time: Some(time("2025-11-20T08:00:00Z")),
            transitions: 4,
        };
        let spec = serde_json::to_value(released.new_lease("reloader", "lock")).unwrap()["spec"].clone();
        assert_eq!(
            spec,
            json!({
                "holderIdentity": "",
                "leaseDurationSeconds": 1,
                "acquireTime": "2025-11-20T08:00:00.000000Z",
                "renewTime": "2025-11-20T08:00:00.000000Z",
                "leaseTransitions": 4
            })
        );
    }

    #[rstest]
    #[case::no_fields(json!({}))]
    #[case::empty_holder(json!({"holderIdentity": ""}))]
    #[case::zero_duration(json!({"leaseDurationSeconds": 0}))]
    #[case::negative_numbers(json!({"leaseDurationSeconds": -15, "leaseTransitions": -3}))]
    fn nonsense_is_read_as_missing(#[case] spec: serde_json::Value) {
        let record = Record::of(&lease(&spec));
        assert_eq!(
            (record.holder, record.duration, record.transitions),
            (None, None, 0)
        );
    }

    #[test]
    fn a_lease_without_spec_is_free() {
        assert_eq!(Record::of(&Lease::default()).holder, None);
    }

    #[rstest]
    #[case::goes_on("10:00:02Z", "10:00:00Z", "10:00:02Z")]
    #[case::stands_still("10:00:00Z", "10:00:00Z", "10:00:00.000001Z")]
    #[case::still_stands_still("10:00:00Z", "10:00:00.000001Z", "10:00:00.000002Z")]
    #[case::an_hour_back("09:00:00Z", "10:00:00Z", "09:00:00Z")]
    #[case::finer_than_it_is_stored("10:00:00.0000009Z", "10:00:00Z", "10:00:00.000001Z")]
    fn two_renewals_never_look_the_same(#[case] wall: &str, #[case] previous: &str, #[case] expected: &str) {
        let at = |text: &str| time(&format!("2025-11-20T{text}"));
        assert_eq!(next_renew_time(at(wall), Some(at(previous))), at(expected));
    }

    proptest! {
        /// Whatever the API server stores: the next record is a valid one, and different.
        #[test]
        fn no_lease_makes_it_panic(
            holder in prop::option::of("\\PC{0,300}"),
            duration in prop::option::of(any::<i32>()),
            transitions in prop::option::of(any::<i32>()),
            times in prop::collection::vec(prop::option::of(-400_000_000_000_i64..300_000_000_000), 2),
            wall in 0_i64..4_000_000_000,
        ) {
            let time = |seconds: Option<i64>| seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
            let spec = LeaseSpec {
                holder_identity: holder,
                lease_duration_seconds: duration,
                lease_transitions: transitions,
                acquire_time: time(times[0]).map(MicroTime),
                renew_time: time(times[1]).map(MicroTime),
                ..LeaseSpec::default()
            };
            let stored = Lease { spec: Some(spec), ..Lease::default() };
            let record = Record::of(&stored);
            prop_assert!(record.duration.is_none_or(|duration| duration >= Duration::from_secs(1)));
            prop_assert!(record.transitions >= 0);
            let wall = Timestamp::from_second(wall).unwrap();
            let renewed = Record { renew_time: Some(next_renew_time(wall, record.renew_time)), ..record.clone() };
            prop_assert_ne!(&renewed, &record);
            prop_assert_eq!(Record::of(&renewed.written_over(&stored)), renewed);
        }

        /// A byte of the stored object is wrong: it is read or refused.
        #[test]
        fn no_text_makes_it_panic(
            garbled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut text = client_go().to_string().into_bytes();
            for (at, byte) in garbled {
                *at.get_mut(&mut text) = byte;
            }
            if let Ok(lease) = serde_json::from_slice::<Lease>(&text) {
                let record = Record::of(&lease);
                prop_assert_eq!(Record::of(&record.written_over(&lease)), record);
            }
        }
    }
}
