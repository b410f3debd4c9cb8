//! The key of the seals on Jobs' copies.
//!
//! Input: the key's place in the cluster. Output: a [`Seal`] to sign with, and whether a signature is genuine. I/O: reads
//! and creates one ConfigMap of the controller's own namespace, when the first Job is recreated.
//!
//! A later process must be able to trust the copies of this one, so the key is stored: in a ConfigMap, since the roles
//! of upstream grant no Secret to create. An account that may read it can forge copies; one that may only create Jobs cannot. Where
//! the key cannot be stored, a key of this process takes its place, and interrupted recreations are finished by this
//! process only.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    request::{REQUEST_TIMEOUT, post},
    seal::{KEY_BYTES, Seal},
};
use crate::{
    api_error::{ApiError, Class},
    model::LEDGER_LABEL,
};

/// The value of the label that keeps the object from being watched as a source.
const LABEL: &str = "key";
/// The one secret field of the object's data.
const KEY: &str = "key";
/// An explanation for users who find the object.
const ABOUT: &str = "about";
const ABOUT_TEXT: &str = "With this key Reloader signs the suspended copies of Jobs that it is about to delete and create \
    again, so that no other client can make it do so. Safe to delete while no copy is waiting.";

/// Where the key is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    /// The controller's own namespace.
    pub namespace: String,
    /// `metadata.name` of the ConfigMap.
    pub name: String,
}

/// The keys that copies may be sealed with.
pub(super) struct Seals {
    place: Option<(Api<ConfigMap>, String)>,
    /// As last read.
    stored: Mutex<Option<[u8; KEY_BYTES]>>,
    /// Of this process.
    own: Option<Seal>,
    /// It was logged that the key cannot be stored.
    told: AtomicBool,
}

impl Seals {
    pub(super) fn new(client: Client, place: Option<KeyPlace>) -> Self {
        Self {
            place: place.map(|place| (Api::namespaced(client, &place.namespace), place.name)),
            stored: Mutex::default(),
            own: random().map(|key| Seal::new(&key)),
            told: AtomicBool::new(false),
        }
    }

    /// What the next copy is sealed with: the stored key. One that was deleted meanwhile is stored again first, so that a
    /// later process trusts the copy.
    pub(super) async fn to_sign(&self) -> Result<Seal, ApiError> {
        let own = || self.own.clone().ok_or_else(no_randomness);
        let Some((api, name)) = &self.place else {
            return own();
        };
        let key = self.known().or_else(random).ok_or_else(no_randomness)?;
        match load(api, name, Missing::Create(key)).await {
            Ok(Some(key)) => Ok(self.learn(key)),
            Ok(None) => own(),
            // A role that may not, or no such namespace: recreating is worth more than continuing after a crash.
            Err(error) if matches!(error.class, Class::Rejected | Class::NotFound) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        category = error.category(),
                        "The key that signs copies of Jobs cannot be stored in the ConfigMap {name}: {error}. If this \
                         process ends between deleting a Job and creating it again, no other one creates it"
                    );
                }
                own()
            }
            Err(error) => Err(error),
        }
    }

    /// What a copy may be sealed with: the key of this process, and the stored one if there is one that may be read.
    pub(super) async fn to_verify(&self) -> Result<Vec<Seal>, ApiError> {
        let mut seals = Vec::from_iter(self.own.clone());
        let stored = match (self.known(), &self.place) {
            (Some(key), _) => Some(key),
            (None, Some((api, name))) => match load(api, name, Missing::Leave).await {
                // What this process has sealed it can continue all the same.
                Err(error) if matches!(error.class, Class::Rejected | Class::NotFound) => None,
                loaded => loaded?,
            },
            (None, None) => None,
        };
        seals.extend(stored.map(|key| self.learn(key)));
        Ok(seals)
    }

    fn known(&self) -> Option<[u8; KEY_BYTES]> {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, key: [u8; KEY_BYTES]) -> Seal {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Seal::new(&key)
    }
}

/// What to do where there is no key.
#[derive(Clone, Copy)]
enum Missing {
    /// Store this one.
    Create([u8; KEY_BYTES]),
    Leave,
}

async fn load(
    api: &Api<ConfigMap>,
    name: &str,
    missing: Missing,
) -> Result<Option<[u8; KEY_BYTES]>, ApiError> {
    let get = async || ApiError::within(REQUEST_TIMEOUT, api.get_opt(name)).await;
    let stored = match (get().await?, missing) {
        (None, Missing::Create(key)) => {
            let created = ApiError::within(REQUEST_TIMEOUT, api.create(&post(), &object(name, &key))).await;
            match created {
                // Another replica was faster.
                Err(error) if error.class == Class::Exists => get().await?,
                created => Some(created?),
            }
        }
        (stored, _) => stored,
    };
    let Some(stored) = stored else {
        return Ok(None);
    };
    let key = stored
        .data
        .and_then(|data| STANDARD_NO_PAD.decode(data.get(KEY)?).ok())
        .and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok());
    if key.is_none() {
        tracing::warn!(
            "The ConfigMap {name} does not hold the key that signs copies of Jobs; delete it, and a new one is made"
        );
    }
    Ok(key)
}

fn object(name: &str, key: &[u8; KEY_BYTES]) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(LEDGER_LABEL.to_owned(), LABEL.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            (ABOUT.to_owned(), ABOUT_TEXT.to_owned()),
            (KEY.to_owned(), STANDARD_NO_PAD.encode(key)),
        ])),
        ..ConfigMap::default()
    }
}

fn random() -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).ok()?;
    Some(key)
}

fn no_randomness() -> ApiError {
    ApiError {
        class: Class::Unavailable,
        code: None,
        message: "the system gives no random numbers".to_owned(),
    }
}
