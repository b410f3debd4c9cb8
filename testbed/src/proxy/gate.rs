//! The network below TLS: copies bytes while its gate is open. Input and output: byte streams. I/O: as its streams.

use std::io::Result;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// Bytes read at once.
const BUFFER: usize = 16 * 1024;

/// One direction of a network.
pub(super) struct Gate(watch::Sender<bool>);

/// Both directions.
pub(super) struct Gates {
    pub(super) to_server: Gate,
    pub(super) to_client: Gate,
}

impl Gates {
    /// Nothing held back.
    pub(super) fn open() -> Self {
        let gate = || Gate(watch::Sender::new(true));
        Self {
            to_server: gate(),
            to_client: gate(),
        }
    }
}

impl Gate {
    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn close(&self) {
        self.0.send_replace(false);
    }

    /// Copies until `from` ends; its end passes the gate like anything else.
    pub(super) async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<()> {
        let mut opened = self.0.subscribe();
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = from.read(&mut buffer).await;
            // Fails only when the sender is gone, and `self` is the sender.
            let _ = opened.wait_for(|open| *open).await;
            match read? {
                0 => return to.shutdown().await,
                count => to.write_all(&buffer[..count]).await?,
            }
        }
    }
}
