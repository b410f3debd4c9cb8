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
    sync::atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::OnceCell;

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
    stored: OnceCell<Seal>,
    /// Of this process.
    own: Option<Seal>,
    /// It was logged that the key cannot be stored.
    told: AtomicBool,
}

impl Seals {
    pub(super) fn new(client: Client, place: Option<KeyPlace>) -> Self {
        Self {
            place: place.map(|place| (Api::namespaced(client, &place.namespace), place.name)),
            stored: OnceCell::new(),
            own: random().map(|key| Seal::new(&key)),
            told: AtomicBool::new(false),
        }
    }

    /// What the next copy is sealed with.
    pub(super) async fn to_sign(&self) -> Result<Seal, ApiError> {
        let own = || self.own.clone().ok_or_else(no_randomness);
        if let Some(seal) = self.stored.get() {
            return Ok(seal.clone());
        }
        let Some((api, name)) = &self.place else {
            return own();
        };
        match load(api, name, Missing::Create).await {
            Ok(Some(seal)) => Ok(self.stored.get_or_init(async || seal).await.clone()),
            Ok(None) => own(),
            // A role that may not: recreating is worth more than continuing after a crash.
            Err(error) if error.class == Class::Rejected => {
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

    /// What a copy may be sealed with: the key of this process, and the stored one if there is one.
    pub(super) async fn to_verify(&self) -> Result<Vec<Seal>, ApiError> {
        let mut seals = Vec::from_iter(self.own.clone());
        if let Some(seal) = self.stored.get() {
            seals.push(seal.clone());
        } else if let Some((api, name)) = &self.place
            && let Some(seal) = load(api, name, Missing::Leave).await?
        {
            seals.push(self.stored.get_or_init(async || seal).await.clone());
        }
        Ok(seals)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Leave,
}

async fn load(api: &Api<ConfigMap>, name: &str, missing: Missing) -> Result<Option<Seal>, ApiError> {
    let get = async || ApiError::within(REQUEST_TIMEOUT, api.get_opt(name)).await;
    let stored = match get().await? {
        None if missing == Missing::Create => {
            let key = random().ok_or_else(no_randomness)?;
            let created = ApiError::within(REQUEST_TIMEOUT, api.create(&post(), &object(name, &key))).await;
            match created {
                // Another replica was faster.
                Err(error) if error.class == Class::Exists => get().await?,
                created => Some(created?),
            }
        }
        stored => stored,
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
    Ok(key.map(|key| Seal::new(&key)))
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
