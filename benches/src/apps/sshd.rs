//! sshd of OpenSSH with its sftp server, in this namespace, on every address; and the files that go to and from it.
//!
//! It runs in a user namespace as the one user whom it serves: there it needs no right that an ordinary user lacks. The
//! account stands in a passwd file that covers the system's for it alone.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::cable::SERVER as OVER_TAP;
use super::directory::Directory;
use super::kernel::SERVER_OVER_VETH as OVER_VETH;

pub(super) const PORT: u16 = 8422;
pub(super) const USER: &str = "tester";

/// The one cipher that the server takes, so that both clients use the same: the first of Wharf's, and the fastest that
/// OpenSSH has on a processor with AES.
const CIPHER: &str = "aes256-gcm@openssh.com";

/// Most that it may take until it serves.
const START: Duration = Duration::from_secs(30);

/// Bytes compared at a time.
const BLOCK: usize = 1 << 20;

/// Which way a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the server.
    Get,
    /// To the server.
    Put,
}

/// The server, which ends with this value, and its files.
pub(super) struct Sshd {
    directory: PathBuf,
    child: Child,
    bytes: u64,
}

impl Sshd {
    /// Starts it, with a file of `bytes` to be moved.
    ///
    /// # Errors
    /// When a program is missing, or does not serve.
    pub(super) fn start(directory: &Directory, bytes: u64) -> Result<Self> {
        let at = directory.path();
        fill(&at.join("sent.bin"), bytes).context("making the file to be moved")?;
        for key in ["host_key", "user_key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"]).arg(at.join(key));
            let output = keygen.output().context("starting ssh-keygen (Debian: apt install openssh-client)")?;
            ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let host_key = fs::read_to_string(at.join("host_key.pub"))?;
        fs::write(at.join("known_hosts"), format!("[{OVER_TAP}]:{PORT} {host_key}[{OVER_VETH}]:{PORT} {host_key}"))?;
        let place = at.display();
        let configuration = format!(
            "Port {PORT}\nListenAddress 0.0.0.0\nHostKey {place}/host_key\nAuthorizedKeysFile {place}/user_key.pub\n\
             UsePAM no\nStrictModes no\nPidFile none\nUseDNS no\nCiphers {CIPHER}\nSubsystem sftp internal-sftp\n"
        );
        fs::write(at.join("sshd.conf"), configuration)?;
        fs::write(
            at.join("passwd"),
            format!(
                "root:x:0:0::/root:/bin/sh\nsshd:x:102:65534::/run/sshd:/bin/false\n{USER}:*:1000:1000::{place}:/bin/sh\n"
            ),
        )?;
        fs::write(at.join("group"), format!("root:x:0:\nnogroup:x:65534:\n{USER}:x:1000:\n"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let log = File::create(at.join("sshd.log"))?;
        let child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c"])
            // sshd wants to be called by its whole name.
            .arg(
                "mount --bind passwd /etc/passwd && mount --bind group /etc/group && \
                 exec unshare --user --map-user=1000 --map-group=1000 -- \"$(command -v sshd)\" -D -e -f \"$PWD/sshd.conf\"",
            )
            .current_dir(at)
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting unshare(1) of util-linux")?;
        let mut server = Self { directory: at.to_owned(), child, bytes };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect((OVER_TAP, PORT)).is_err() {
            let said = fs::read_to_string(self.directory.join("sshd.log")).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("sshd ended at once ({status}; Debian: apt install openssh-server): {said}");
            }
            ensure!(begun.elapsed() < START, "sshd does not serve after {START:?}: {said}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The speed of `moving` the file in Gbit/s. That it came whole is checked afterwards.
    pub(super) fn measured(&self, way: Way, moving: impl FnOnce() -> Result<()>) -> Result<f64> {
        let _ = fs::remove_file(self.to());
        let begun = Instant::now();
        moving()?;
        let elapsed = begun.elapsed().as_secs_f64();
        ensure!(are_equal(&self.from(), &self.to())?, "what came by {way:?} is not what was sent");
        Ok(self.bytes as f64 * 8.0 / 1e9 / elapsed)
    }

    /// The file that is moved, on either side.
    pub(super) fn from(&self) -> PathBuf {
        self.directory.join("sent.bin")
    }

    /// The file that it becomes on the other.
    pub(super) fn to(&self) -> PathBuf {
        self.directory.join("came.bin")
    }

    /// The user's key.
    pub(super) fn key(&self) -> PathBuf {
        self.directory.join("user_key")
    }

    /// The file in which the server's key stands.
    pub(super) fn known_hosts(&self) -> PathBuf {
        self.directory.join("known_hosts")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // What has ended already cannot be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a file of `bytes` in which no two blocks are the same.
fn fill(file: &Path, bytes: u64) -> Result<()> {
    let mut file = File::create(file)?;
    // xorshift64: cheap, and without a pattern that would hide a piece in the wrong place.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let length = left.min(BLOCK as u64);
        file.write_all(&block[..length as usize])?;
        left -= length;
    }
    Ok(())
}

fn are_equal(one: &Path, other: &Path) -> Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut here, mut there) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let length = one.read(&mut here)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut there[..length])?;
        if here[..length] != there[..length] {
            return Ok(false);
        }
    }
}
