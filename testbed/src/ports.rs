//! Free TCP ports on the loopback address. Output: a port number. I/O: binds and releases a socket.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Below the range from which the kernel takes the local ports of outgoing connections (32768 and up on Linux, 49152 and up
/// elsewhere). A port from that range could be taken by any client while the API server is down for a restart; a client that
/// keeps dialling the closed port could even be given it as its own source port and connect to itself.
const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;

/// A TCP port on 127.0.0.1 that nobody listens on right now.
///
/// Never the same one twice in this process, until about 17,000 were handed out. Another process may take it before the caller binds
/// it; that is rare because each process starts at a random place.
///
/// # Errors
/// [`Error::Io`] if no port of the range can be bound.
pub fn free_port() -> Result<u16> {
    static START: OnceLock<u64> = OnceLock::new();
    static HANDED_OUT: AtomicU64 = AtomicU64::new(0);

    let start = *START.get_or_init(|| RandomState::new().hash_one(std::process::id()) >> 32);
    let size = u64::from(LAST - FIRST);
    let mut last_error = None;
    for _ in 0..size {
        let offset = (start + HANDED_OUT.fetch_add(1, Ordering::Relaxed)) % size;
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_released_here) => return Ok(port),
            Err(error) => last_error = Some(error),
        }
    }
    let source = last_error.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(Error::Io {
        what: format!("bind a port from {FIRST} to {LAST} on 127.0.0.1"),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports: BTreeSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            assert!((FIRST..LAST).contains(&port), "{port}");
        }
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let port = free_port().unwrap();
        // The numbers follow one another, so holding the next few makes the following calls meet them.
        let held: Vec<_> = (port + 1..port + 4)
            .filter_map(|p| TcpListener::bind((Ipv4Addr::LOCALHOST, p)).ok())
            .collect();
        let taken: Vec<u16> = held.iter().map(|l| l.local_addr().unwrap().port()).collect();
        for _ in 0..4 {
            assert!(!taken.contains(&free_port().unwrap()));
        }
    }
}
