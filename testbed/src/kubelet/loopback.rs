//! The loopback device of a new network namespace: up, and with the addresses that the pod is to have.
//!
//! Input: addresses. I/O: sends rtnetlink messages (rtnetlink(7)), which work on the namespace of the calling thread.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// In every network namespace the loopback device is the first one.
const LOOPBACK: u32 = 1;

// From <linux/rtnetlink.h>, <linux/netlink.h>, <linux/if.h> and <linux/if_addr.h>.
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;

/// Length of a message's header, which precedes what is asked for.
const HEADER: usize = 16;

/// Brings the loopback device of this thread's network namespace up and gives it the addresses, beside 127.0.0.1.
pub fn set_up(addresses: &[Ipv4Addr]) -> io::Result<()> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    // struct ifinfomsg: family, type, index, flags, which flags to change.
    let mut up = vec![0; 4];
    up.extend(LOOPBACK.to_ne_bytes());
    up.extend(IFF_UP.to_ne_bytes());
    up.extend(IFF_UP.to_ne_bytes());
    ask(&kernel, RTM_NEWLINK, 0, &up)?;
    for address in addresses {
        // struct ifaddrmsg: family, prefix length, flags, scope, index; then one attribute of eight bytes.
        let mut body = vec![AF_INET, 32, 0, 0];
        body.extend(LOOPBACK.to_ne_bytes());
        body.extend(8_u16.to_ne_bytes());
        body.extend(IFA_LOCAL.to_ne_bytes());
        body.extend(address.octets());
        ask(&kernel, RTM_NEWADDR, NLM_F_CREATE, &body)?;
    }
    Ok(())
}

/// Sends one request and waits for the kernel's word that it is done.
fn ask(kernel: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags | NLM_F_REQUEST_ACK).to_ne_bytes());
    // Sequence number and sender: there is one request at a time, and the kernel knows the sender.
    message.extend([0; 8]);
    message.extend(body);
    let to_kernel = NetlinkAddr::new(0, 0);
    sendto(kernel.as_raw_fd(), &message, &to_kernel, MsgFlags::empty())?;

    let mut answer = [0; 512];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let number = |at: usize| answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let is_word = length >= HEADER + 4 && answer[4..6] == NLMSG_ERROR.to_ne_bytes();
    match number(HEADER).map(i32::from_ne_bytes) {
        Some(0) if is_word => Ok(()),
        Some(error) if is_word => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::other("the kernel's answer is none")),
    }
}
