//! Clients and kubeconfigs for others than the administrator. Input: a name; output: a client or a kubeconfig file.
//! I/O: writes files; asks the API server for tokens.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};

use super::ControlPlane;
use crate::client::{Credentials, client_from};
use crate::error::{Error, Result};

/// Life of a token: longer than any test.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

impl ControlPlane {
    /// A client for a user with a certificate: RBAC decides what it may do, the audit log shows its name.
    ///
    /// # Errors
    /// As [`kubeconfig_for_user`](Self::kubeconfig_for_user).
    pub async fn client_for_user(&self, name: &str, groups: &[&str]) -> Result<Client> {
        client_from(&self.kubeconfig_for_user(name, groups)?).await
    }

    /// A kubeconfig for a user with a certificate, in two groups at most (`system:authenticated` comes by itself).
    ///
    /// # Errors
    /// [`Error::TooManyGroups`], [`Error::Certificate`] or [`Error::Io`].
    pub fn kubeconfig_for_user(&self, name: &str, groups: &[&str]) -> Result<PathBuf> {
        self.layout
            .write_user(&self.next_user_file(), &self.ca.client(name, groups)?)
    }

    /// A client for a `ServiceAccount`, which must exist. The audit log calls it `system:serviceaccount:<namespace>:<name>`.
    ///
    /// # Errors
    /// As [`kubeconfig_for_service_account`](Self::kubeconfig_for_service_account).
    pub async fn client_for_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        client_from(&self.kubeconfig_for_service_account(namespace, name).await?).await
    }

    /// A kubeconfig with a token for a `ServiceAccount`, which must exist; valid for a day.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] if the API server gives no token, [`Error::Io`].
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = Api::<ServiceAccount>::namespaced(self.admin(), namespace)
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(Error::kubernetes(format!(
                "get a token for ServiceAccount {namespace}/{name}"
            )))?;
        let token = answer.status.and_then(|status| status.token).unwrap_or_default();
        self.layout
            .write_kubeconfig(&self.next_user_file(), &Credentials::Token(&token))
    }

    /// User names hold colons and slashes, so files are numbered instead.
    fn next_user_file(&self) -> String {
        format!("user-{}", self.next_user.fetch_add(1, Ordering::Relaxed))
    }
}
