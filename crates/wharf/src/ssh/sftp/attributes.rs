//! What is known of a file: size, owner, permissions, times (draft-ietf-secsh-filexfer-02 section 5).

use bytes::{BufMut, Bytes, BytesMut};

use super::packet::{Broken, take_string, take_u32, take_u64};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// The kinds of files, in the upper bits of the permissions.
const KIND: u32 = 0o170_000;

/// What is known of a file, or is to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The size in bytes.
    pub size: Option<u64>,
    /// The numbers of its user and its group.
    pub owner: Option<(u32, u32)>,
    /// Kind and permissions, as in `st_mode`.
    pub permissions: Option<u32>,
    /// The times of the last reading and the last change, in seconds since 1970.
    pub times: Option<(u32, u32)>,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

impl Attributes {
    /// What kind of file it is; a plain one if nothing is said.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.permissions.map(|mode| mode & KIND) {
            None | Some(0 | 0o100_000) => Kind::File,
            Some(0o040_000) => Kind::Folder,
            Some(0o120_000) => Kind::Link,
            Some(_) => Kind::Other,
        }
    }

    /// The permissions without the kind.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        self.permissions.map(|mode| mode & 0o7777)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        let Self { size, owner, permissions, times } = *self;
        let flag = |is_there: bool, flag| if is_there { flag } else { 0 };
        out.put_u32(
            flag(size.is_some(), SIZE)
                | flag(owner.is_some(), OWNER)
                | flag(permissions.is_some(), PERMISSIONS)
                | flag(times.is_some(), TIMES),
        );
        if let Some(size) = size {
            out.put_u64(size);
        }
        if let Some((user, group)) = owner {
            out.put_u32(user);
            out.put_u32(group);
        }
        if let Some(permissions) = permissions {
            out.put_u32(permissions);
        }
        if let Some((read, changed)) = times {
            out.put_u32(read);
            out.put_u32(changed);
        }
    }

    pub(super) fn decode(packet: &mut Bytes) -> Result<Self, Broken> {
        let flags = take_u32(packet)?;
        let mut attributes = Self::default();
        if flags & SIZE != 0 {
            attributes.size = Some(take_u64(packet)?);
        }
        if flags & OWNER != 0 {
            attributes.owner = Some((take_u32(packet)?, take_u32(packet)?));
        }
        if flags & PERMISSIONS != 0 {
            attributes.permissions = Some(take_u32(packet)?);
        }
        if flags & TIMES != 0 {
            attributes.times = Some((take_u32(packet)?, take_u32(packet)?));
        }
        if flags & EXTENDED != 0 {
            for _ in 0..take_u32(packet)? {
                take_string(packet)?;
                take_string(packet)?;
            }
        }
        Ok(attributes)
    }
}
