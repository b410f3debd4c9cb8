//! One HTTP request to a program under test. Input: where it listens, a path; output: status and body. I/O: that request.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends GET to a port of this computer; status (0 where the answer is no HTTP) and body.
///
/// # Errors
/// If nobody listens there, or the answer is cut off.
pub async fn http_get(port: u16, path: &str) -> io::Result<(u16, String)> {
    let address = (Ipv4Addr::LOCALHOST, port);
    exchange(TcpStream::connect(address).await?, "localhost", path).await
}

/// The same through a connection that is there.
pub(crate) async fn exchange(mut stream: TcpStream, host: &str, path: &str) -> io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.unwrap_or(0), body.to_owned()))
}
