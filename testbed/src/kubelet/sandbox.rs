//! The surroundings of one pod: a network of its own, and a root of its own for its container.
//!
//! Input: addresses, files and a program. Output: a running process, connections into the pod. I/O: makes namespaces and
//! mounts, starts a process.
//!
//! Namespaces belong to threads. A thread of its own, which ends afterwards, enters the pod for each thing that is to be done
//! there: a process or socket that it makes stays in the pod. So nothing has to be relayed by a program inside, no device or
//! mount is visible outside, and the kernel removes all of it with the last process and handle.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::chroot;
use tokio::net::{TcpListener, TcpStream};

use super::loopback;
use crate::error::{Error, Result};
use crate::process::{Process, open_log};

/// What a program that is not static needs of the computer's own files, and what every container has.
const SHARED: [&str; 6] = ["usr", "lib", "lib64", "proc", "etc/ssl", "dev/null"];

/// One pod's network; lives until the last handle, process and connection is gone.
pub struct Sandbox {
    network: File,
    address: Ipv4Addr,
}

/// A file of a volume.
pub struct VolumeFile {
    /// Where the container sees it, from the root, without `/` in front.
    pub path: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
}

/// One container to be started.
pub struct Container {
    /// What it is called in messages.
    pub name: String,
    /// The program on this computer.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Files of its volumes, which it cannot change.
    pub files: Vec<VolumeFile>,
    /// Empty folders that it can write to, from the root.
    pub empty_folders: Vec<PathBuf>,
    /// Whether it can write nowhere else.
    pub read_only: bool,
    /// Whom it runs as, where this process may choose.
    pub uid: u32,
    /// An empty folder to make its root in.
    pub root: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

impl Sandbox {
    /// A network in which the pod has `address`, and in which one may listen at `inside`: that is where it finds the API server.
    pub async fn new(address: Ipv4Addr, inside: SocketAddrV4) -> Result<(Self, TcpListener)> {
        let (network, listener) = in_thread("make a network", move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            loopback::set_up(&[address, *inside.ip()])?;
            let listener = std::net::TcpListener::bind(inside)?;
            listener.set_nonblocking(true)?;
            Ok((File::open("/proc/thread-self/ns/net")?, listener))
        })
        .await?;
        let listener = TcpListener::from_std(listener).map_err(Error::io("listen in a pod"))?;
        Ok((Self { network, address }, listener))
    }

    /// The pod's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A connection to a port of the pod, as from its node.
    pub async fn connect(&self, port: u16) -> Result<TcpStream> {
        let network = self.handle()?;
        let to = SocketAddrV4::new(self.address, port);
        let what = format!("connect to {to}");
        let stream = in_thread(&what, move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            let stream = std::net::TcpStream::connect(to)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        })
        .await?;
        TcpStream::from_std(stream).map_err(Error::io(what))
    }

    /// Starts a container in the pod.
    pub async fn start(&self, container: Container) -> Result<Process> {
        let network = self.handle()?;
        let what = format!("start container {}", container.name);
        let output = open_log(&container.log)?;
        let started = in_thread(&what, move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            let entry_point = enter_root(&container)?;
            let mut command = Command::new(entry_point);
            command
                .args(&container.args)
                .env_clear()
                .envs(container.env)
                .current_dir("/");
            if is_mapped(container.uid)? {
                command.uid(container.uid).gid(container.uid);
            }
            Ok(Process::start_into(
                &container.name,
                &mut command,
                &container.log,
                output,
            ))
        });
        started.await?
    }

    fn handle(&self) -> Result<File> {
        self.network
            .try_clone()
            .map_err(Error::io("copy the handle of a network"))
    }
}

/// Does something in a thread of its own, whose namespaces nobody else shares.
pub async fn in_thread<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("kubelet".to_owned())
        .spawn(move || drop(answer.send(work())))
        .map_err(Error::io("start a thread"))?;
    let done = answered
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")));
    done.map_err(Error::io(what))
}

/// Makes the container's root and goes there; gives the path of its program in it.
fn enter_root(container: &Container) -> io::Result<PathBuf> {
    let root = &container.root;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // Nothing that is mounted from here on shows up outside.
    mount_at(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    mount_tmpfs(root)?;
    for shared in SHARED {
        share(root, shared)?;
    }
    let name = container
        .program
        .file_name()
        .ok_or_else(|| io::Error::other("the program has no name"))?;
    let program = root.join(name);
    File::create(&program)?;
    mount_at(Some(&container.program), &program, MsFlags::MS_BIND)?;
    for file in &container.files {
        let path = root.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, &file.content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    for folder in &container.empty_folders {
        let path = root.join(folder);
        fs::create_dir_all(&path)?;
        mount_tmpfs(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    }
    if container.read_only {
        let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount_at(None, root, read_only)?;
    }
    chroot(root)?;
    std::env::set_current_dir("/")?;
    Ok(Path::new("/").join(name))
}

/// Makes a file or folder of the computer visible under the same name, if there is one.
fn share(root: &Path, name: &str) -> io::Result<()> {
    let (outside, inside) = (Path::new("/").join(name), root.join(name));
    let Ok(kind) = fs::symlink_metadata(&outside) else {
        return Ok(());
    };
    if let Some(folder) = inside.parent() {
        fs::create_dir_all(folder)?;
    }
    if kind.is_symlink() {
        return symlink(fs::read_link(&outside)?, inside);
    }
    if kind.is_dir() {
        fs::create_dir(&inside)?;
    } else {
        File::create(&inside)?;
    }
    // In a user namespace a folder can only be shown together with what is mounted below it.
    mount_at(Some(&outside), &inside, MsFlags::MS_BIND | MsFlags::MS_REC)
}

fn mount_at(source: Option<&Path>, target: &Path, flags: MsFlags) -> io::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>).map_err(|error| {
        let message = format!("mount {}: {error}", target.display());
        io::Error::new(io::Error::from(error).kind(), message)
    })
}

fn mount_tmpfs(target: &Path) -> io::Result<()> {
    let options = Some("mode=755");
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), options)?;
    Ok(())
}

/// Whether a process here may become this user: in a user namespace only those that are mapped exist.
fn is_mapped(uid: u32) -> io::Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let holds = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (first..first + count).contains(&u64::from(uid))
    };
    Ok(map.lines().any(holds))
}
