//! The network below TLS: copies bytes while its gate is open. Input and output: byte streams. I/O: as its streams.

use std::io::Result;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// Bytes read at once.
const BUFFER: usize = 16 * 1024;

/// One direction of a network.
pub(super) struct Gate {
    open: watch::Sender<bool>,
    /// Bytes a second for each connection; 0: as fast as it goes.
    rate: AtomicU32,
}

/// Both directions.
pub(super) struct Gates {
    pub(super) to_server: Gate,
    pub(super) to_client: Gate,
}

impl Gates {
    /// Nothing held back.
    pub(super) fn open() -> Self {
        let gate = || Gate {
            open: watch::Sender::new(true),
            rate: AtomicU32::new(0),
        };
        Self {
            to_server: gate(),
            to_client: gate(),
        }
    }
}

impl Gate {
    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    pub(super) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn limit(&self, bytes_per_second: u32) {
        self.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Copies until `from` ends; its end passes the gate like anything else.
    pub(super) async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<()> {
        let mut opened = self.open.subscribe();
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = from.read(&mut buffer).await;
            // Fails only when the sender is gone, and `self` is the sender.
            let _ = opened.wait_for(|open| *open).await;
            match read? {
                0 => return to.shutdown().await,
                count => {
                    to.write_all(&buffer[..count]).await?;
                    let rate = self.rate.load(Ordering::Relaxed);
                    if rate > 0 {
                        let bytes = u32::try_from(count).unwrap_or(u32::MAX);
                        tokio::time::sleep(Duration::from_secs(1) * bytes / rate).await;
                    }
                }
            }
        }
    }
}
