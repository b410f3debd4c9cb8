//! Whether the API server's certificate is trusted, as connecting shows.
//!
//! Input: how connecting ended. Output: [`Untrusted`] when it has failed for too long. I/O: none.
//!
//! The authority that signed it may be replaced, or what proves who this process is. kube reads the authority's file again
//! each minute; a kubeconfig with the certificates in it is read at the start only. A new process reads everything.

use std::{error::Error, io, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tower::BoxError;

/// How long each attempt to connect may end with a refused certificate: twice as long as until kube reads the file again.
const LIMIT: Duration = Duration::from_mins(2);

/// For too long no connection to the API server could be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no TLS connection to the API server since {}s: {error}. Check the authority that signed its certificate (ca.crt of the \
     ServiceAccount, or certificate-authority in the kubeconfig) and a client certificate's expiry; exiting so that the \
     pod is restarted and reads them again", LIMIT.as_secs()
)]
pub struct Untrusted {
    error: String,
}

/// The failures in a row; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Trust(Arc<watch::Sender<Option<Failing>>>);

#[derive(Clone, Debug)]
struct Failing {
    since: Instant,
    error: String,
}

impl Trust {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Takes in how an attempt to connect ended. That no one answered says nothing about certificates.
    pub(super) fn note<T>(&self, connected: &Result<T, BoxError>) {
        let error = match connected {
            Ok(_) => None,
            Err(error) => match tls_error(&**error) {
                Some(error) => Some(error.to_string()),
                None => return,
            },
        };
        self.0
            .send_if_modified(|failing| match (failing.is_some(), error) {
                (_, None) => failing.take().is_some(),
                (true, Some(_)) => false,
                (false, Some(error)) => {
                    let since = Instant::now();
                    *failing = Some(Failing { since, error });
                    true
                }
            });
    }

    /// Completes when no attempt has succeeded for too long.
    pub(super) async fn lost(&self) -> Untrusted {
        let mut failing = self.0.subscribe();
        loop {
            let began = failing.wait_for(Option::is_some).await;
            let Some(Failing { since, error }) = began.ok().and_then(|failing| failing.clone()) else {
                // The sender is part of `self`.
                return std::future::pending().await;
            };
            if timeout_at(since + LIMIT, failing.wait_for(Option::is_none))
                .await
                .is_err()
            {
                return Untrusted { error };
            }
        }
    }
}

/// What TLS refused, where that is why connecting failed.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // An I/O error's source is not the error within, but that one's source.
    let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match within {
        Some(within) => tls_error(within),
        None => tls_error(error.source()?),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use rustls::CertificateError;
    use tokio::time::advance;

    use super::*;

    fn refused() -> Result<(), BoxError> {
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        Err(io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error)).into())
    }

    fn unreachable() -> Result<(), BoxError> {
        Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_certificate_refused_for_long_is_a_reason_to_end() {
        let trust = Trust::new();
        let mut lost = Box::pin(trust.lost());
        for (connected, then_passes) in [
            (unreachable(), LIMIT),
            (refused(), LIMIT / 2),
            (Ok(()), LIMIT),
            (refused(), LIMIT / 2),
            (unreachable(), Duration::ZERO),
            (refused(), LIMIT / 4),
        ] {
            trust.note(&connected);
            advance(then_passes).await;
            assert_eq!((&mut lost).now_or_never(), None, "{connected:?}");
        }
        advance(LIMIT / 4).await;
        let untrusted = lost.now_or_never().expect("it has lasted for too long");
        assert!(untrusted.to_string().contains("UnknownIssuer"), "{untrusted}");
    }
}
