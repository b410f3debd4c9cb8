//! The way from the API server to pods, whose networks only the kubelet can enter.
//!
//! Input: `CONNECT address:port` on a socket, as of an API server's egress selector. Output: the connection into the pod of that
//! address. I/O: listens on a Unix socket, connects to pods.

use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::Shared;
use crate::error::{Error, Result};

/// Longest request for a connection; it has one header.
const LONGEST_REQUEST: usize = 4096;

/// Listens; the socket's file goes with the folder that it is in.
pub fn listen(socket: &Path) -> Result<UnixListener> {
    // A kubelet before this one has left its own.
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket).map_err(Error::io(format!("listen on {}", socket.display())))
}

/// Leads connections into pods for ever.
pub async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // What goes wrong is seen by both ends as a connection that ends.
        tokio::spawn(async move { lead(stream, &shared).await });
    }
}

async fn lead(mut outside: UnixStream, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    // The client sends nothing more before it has the answer.
    while !request.ends_with(b"\r\n\r\n") && request.len() < LONGEST_REQUEST {
        if outside.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let target = target_of(&String::from_utf8_lossy(&request));
    match connect(target, shared).await {
        Some(mut inside) => {
            outside
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
            copy_bidirectional(&mut outside, &mut inside).await?;
        }
        None => {
            outside
                .write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
                .await?;
        }
    }
    Ok(())
}

/// The address that a request asks for.
fn target_of(request: &str) -> Option<SocketAddrV4> {
    let line = request.lines().next()?;
    let mut words = line.split(' ');
    (words.next()? == "CONNECT").then_some(())?;
    words.next()?.parse().ok()
}

async fn connect(target: Option<SocketAddrV4>, shared: &Shared) -> Option<TcpStream> {
    let target = target?;
    let sandbox = {
        let running = shared.running();
        let mut sandboxes = running.values().map(|running| &running.sandbox);
        Arc::clone(sandboxes.find(|sandbox| sandbox.address() == *target.ip())?)
    };
    sandbox.connect(target.port()).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connect_to_an_address_is_understood() {
        let target = target_of("CONNECT 10.244.0.1:9090 HTTP/1.1\r\nHost: 10.244.0.1:9090\r\n\r\n");
        assert_eq!(target, "10.244.0.1:9090".parse().ok());
        for other in [
            "",
            "GET / HTTP/1.1\r\n\r\n",
            "CONNECT example:1 HTTP/1.1\r\n\r\n",
            "CONNECT",
        ] {
            assert_eq!(target_of(other), None, "{other}");
        }
    }
}
